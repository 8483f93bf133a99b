//! Changes from the page: login, sessions, forms. Off unless the operator switched it on.
//!
//! ```text
//! link (used once) ─► session (cookie) ─► form with its token ─► same origin? ─► Desk ─► guard, kernel
//! ```
//!
//! Every change is the request of a command (`pause`, `block`, `allow`), so the guard and the
//! limits of commands hold for it.

mod cookie;
mod fields;
mod form;
mod origin;
pub(super) mod pages;
mod sessions;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, LOCATION, SET_COOKIE},
    },
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use jiff::{Timestamp, tz::TimeZone};
use tokio::task::spawn_blocking;

pub use form::{Subject, actions};
pub use sessions::{BadLink, LINK_LIFE, Secret, Session, Sessions};

use self::fields::Fields;
use super::page::Clock;
use crate::{
    control::{ChangeRequest, Changed, StandingChange},
    evidence::page_event::PageAct,
};

/// The longest form, in bytes.
const MOST_FORM: usize = 4_096;

/// The media type of forms.
const FORM: &str = "application/x-www-form-urlencoded";

/// The operator who asks for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Name of the session.
    pub session: Option<String>,
    /// Address of the browser.
    pub address: IpAddr,
}

/// What the daemon does for operators who are signed in. Each call may block.
pub trait Desk: Send + Sync {
    /// Makes or undoes a change, as the command does, and stores an event about it.
    ///
    /// # Errors
    ///
    /// Returns why the change is refused.
    fn change(&self, request: &ChangeRequest, author: &Author) -> Result<Changed, String>;

    /// The changes in force.
    fn standing(&self) -> Vec<StandingChange>;

    /// Stores an event that is no change.
    fn note(&self, act: PageAct, author: &Author);

    /// The time since boot.
    fn now(&self) -> Duration;

    /// The time, and the time zone of the gateway.
    fn moment(&self) -> (Timestamp, TimeZone);
}

/// The login of the page, and what it opens. Clones share it.
#[derive(Clone)]
pub struct Login {
    /// Links and sessions.
    pub sessions: Arc<Mutex<Sessions>>,
    /// How long a session lasts.
    pub life: Duration,
    /// The daemon.
    pub desk: Arc<dyn Desk>,
    /// True if this endpoint speaks TLS.
    pub is_tls: bool,
}

/// The address of the browser, which the server adds to each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// The session of a request. Every request that was let in has this extension.
#[derive(Clone)]
pub(super) struct Signed(pub(super) Option<Session>);

impl Login {
    /// The session that a request shows.
    pub(super) fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let secret = cookie::secret_in(headers, self.is_tls)?;
        self.lock().find(&secret, self.desk.now())
    }

    fn clock(&self) -> Clock {
        let (now, zone) = self.desk.moment();
        Clock { now, zone }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The paths of the login and of changes. Without a login, they say how to switch it on.
pub(super) fn routes(login: Option<Login>) -> Router {
    let Some(login) = login else {
        let off = || async { pages::off() };
        return Router::new()
            .route("/login", get(off))
            .route("/login/{link}", get(off))
            .route("/changes", get(off));
    };
    Router::new()
        .route("/login", get(ask_for_link).post(open))
        .route("/login/{link}", get(show_link))
        .route("/logout", post(end))
        .route("/changes", get(list))
        .route("/changes/{verb}", post(change))
        .with_state(login)
}

async fn ask_for_link(Extension(Signed(session)): Extension<Signed>) -> Response {
    pages::ask_for_link(session.as_ref())
}

/// Shows a button. A program that fetches links before a person clicks opens no session.
async fn show_link(Path(link): Path<String>) -> Response {
    match Secret::parse(&link) {
        Some(link) => pages::sign_in(&link),
        None => pages::bad_link(BadLink::Unknown),
    }
}

async fn open(
    State(login): State<Login>,
    Extension(Peer(address)): Extension<Peer>,
    request: Request,
) -> Response {
    let mut fields = match own_form(request, login.is_tls).await {
        Ok((_, fields)) => fields,
        Err(refusal) => return *refusal,
    };
    let link = fields.take("link");
    let Some(link) = link.and_then(|text| Secret::parse(&text)) else {
        return pages::bad_link(BadLink::Unknown);
    };
    let opened = login.lock().open(&link, login.life, login.desk.now());
    let author = |session| Author { session, address };
    match opened {
        Ok(Ok((secret, session))) => {
            note(&login, PageAct::Login, author(Some(session.name))).await;
            let cookie = cookie::begin(&secret, login.life, login.is_tls);
            let mut response = to("/");
            response.headers_mut().insert(SET_COOKIE, cookie);
            response
        }
        Ok(Err(bad)) => {
            if bad == (BadLink::Used { is_first: true }) {
                note(&login, PageAct::LinkUsedAgain, author(None)).await;
            }
            pages::bad_link(bad)
        }
        Err(error) => pages::trouble(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("no random numbers: {error}"),
        ),
    }
}

async fn end(
    State(login): State<Login>,
    Extension(Peer(address)): Extension<Peer>,
    request: Request,
) -> Response {
    let (headers, session, _) = match signed_form(login.is_tls, request).await {
        Ok(signed) => signed,
        Err(refusal) => return *refusal,
    };
    if let Some(secret) = cookie::secret_in(&headers, login.is_tls) {
        login.lock().end(&secret);
    }
    let session = Some(session.name);
    note(&login, PageAct::Logout, Author { session, address }).await;
    let mut response = to("/login");
    let cookie = cookie::end(login.is_tls);
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

async fn list(
    State(login): State<Login>,
    Extension(Signed(session)): Extension<Signed>,
) -> Response {
    let Some(session) = session else {
        return pages::not_signed_in();
    };
    let desk = Arc::clone(&login.desk);
    match spawn_blocking(move || desk.standing()).await {
        Ok(standing) => pages::changes(&login.clock(), &standing, &session),
        Err(_panic) => pages::trouble(StatusCode::INTERNAL_SERVER_ERROR, "the daemon failed"),
    }
}

async fn change(
    State(login): State<Login>,
    Extension(Peer(address)): Extension<Peer>,
    Path(verb): Path<String>,
    request: Request,
) -> Response {
    let (_, session, fields) = match signed_form(login.is_tls, request).await {
        Ok(signed) => signed,
        Err(refusal) => return *refusal,
    };
    let asked = match fields.asked(&verb) {
        Ok(asked) => asked,
        Err(error) => return pages::trouble(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    };
    let author = Author {
        session: Some(session.name.clone()),
        address,
    };
    let desk = Arc::clone(&login.desk);
    let back = asked.back.clone();
    let changed = spawn_blocking(move || desk.change(&asked.request, &author)).await;
    match changed {
        Ok(Ok(changed)) => pages::changed(&login.clock(), &changed, &session, &back),
        Ok(Err(why)) => pages::refused(&why, &session, &back),
        Err(_panic) => pages::trouble(StatusCode::INTERNAL_SERVER_ERROR, "the daemon failed"),
    }
}

/// The headers and fields of a form that this page sent and whose session shows its token.
async fn signed_form(
    is_tls: bool,
    request: Request,
) -> Result<(HeaderMap, Session, Fields), Box<Response>> {
    let signed = request.extensions().get::<Signed>();
    let session = signed.and_then(|Signed(session)| session.clone());
    let (headers, mut fields) = own_form(request, is_tls).await?;
    let session = session.ok_or_else(|| Box::new(pages::session_ended()))?;
    let token = fields.take("token").unwrap_or_default();
    if session.has_token(&token) {
        Ok((headers, session, fields))
    } else {
        Err(Box::new(pages::forged()))
    }
}

/// The headers and fields of a form that this page sent.
async fn own_form(request: Request, is_tls: bool) -> Result<(HeaderMap, Fields), Box<Response>> {
    let (parts, body): (_, Body) = request.into_parts();
    let kind = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !origin::is_own(&parts.headers, is_tls) || kind != Some(FORM.as_bytes()) {
        return Err(Box::new(pages::forged()));
    }
    let bytes = to_bytes(body, MOST_FORM).await.map_err(|_too_long| {
        Box::new(pages::trouble(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the form is too long",
        ))
    })?;
    let fields = Fields::parse(&bytes);
    let fields = fields.map_err(|error| {
        Box::new(pages::trouble(
            StatusCode::UNPROCESSABLE_ENTITY,
            &error.to_string(),
        ))
    })?;
    Ok((parts.headers, fields))
}

async fn note(login: &Login, act: PageAct, author: Author) {
    let desk = Arc::clone(&login.desk);
    // The daemon logs what it cannot store.
    let _ = spawn_blocking(move || desk.note(act, &author)).await;
}

fn to(path: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response()
}
