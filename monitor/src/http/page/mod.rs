//! The pages for people. A page has two parts: the first one needs only the snapshot, and goes
//! to the browser at once; the second one asks the store.

mod actions;
mod asked;
mod assets;
mod chart;
mod contact;
mod contact_rows;
mod contacts;
mod coverage;
mod device;
mod device_mark;
mod devices;
mod feeds;
mod live;
mod overview;
mod policies;
mod policy;
mod search;
mod shell;
mod standing;
mod words;

use std::{
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context as Waker, Poll},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{StatusCode, Uri, header::CONTENT_TYPE, uri::PathAndQuery},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures_core::Stream;
use maud::{Markup, html};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::spawn_blocking,
    time::timeout,
};

use self::asked::Asked;
pub(super) use self::{
    shell::{Operator, Place, brand, navigation},
    standing::standing,
    words::Clock,
};
use super::{
    Health, PageSource, Session, Site,
    changes::Signed,
    routes::{Failure, read},
};
use crate::{
    clock, metrics::DeviceCounts, page_facts::PageFacts, policy::MacAddress, printable,
    snapshot::Snapshot,
};

/// The most pages that ask the store at the same time. Others wait.
const TURNS: usize = 2;

/// How long a page waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one endpoint needs to answer with pages. Clones share it.
#[derive(Clone)]
pub(super) struct Pages {
    site: Site,
    turns: Arc<Semaphore>,
    live: Arc<live::Live>,
    /// Microseconds of a processor that the last page needed.
    cost: Arc<AtomicU64>,
    stopped: watch::Receiver<bool>,
}

/// A page.
#[derive(Clone, Debug)]
enum Page {
    Overview,
    Devices,
    Device(MacAddress),
    Contacts,
    Contact(MacAddress, IpAddr),
    Policies,
    Policy(String),
    Feeds,
    Coverage,
    Search,
}

/// Everything that a page is made of.
struct Context<'a> {
    snapshot: &'a Snapshot,
    health: &'a Health,
    /// `None` if this endpoint must not show contacts.
    facts: Option<&'a dyn PageFacts>,
    /// Why it must not.
    withheld: &'a str,
    clock: Clock,
    asked: &'a Asked,
    is_search: bool,
    /// True if operators can sign in.
    has_login: bool,
    /// The session of the operator who asks.
    session: Option<&'a Session>,
    /// Seconds until the session ends.
    session_left: u64,
    /// The path of this page.
    back: &'a str,
}

impl Context<'_> {
    const fn operator(&self) -> Operator {
        match self.session {
            Some(_) => Operator::SignedIn,
            None if self.has_login => Operator::SignedOut,
            None => Operator::Off,
        }
    }
}

/// What the first part of a page needs.
struct Opening {
    snapshot: Snapshot,
    health: Health,
    counts: Option<DeviceCounts>,
}

/// Path of the style of every page.
pub(super) fn style() -> &'static str {
    &assets::ASSETS.style.path
}

/// Returns the routes of the pages. Streams of events end when `stopped` is true.
pub(super) fn routes(site: Site, stopped: watch::Receiver<bool>) -> Router {
    let pages = Pages {
        site,
        turns: Arc::new(Semaphore::new(TURNS)),
        live: Arc::default(),
        cost: Arc::default(),
        stopped,
    };
    let page = |page: Page| {
        get(
            move |State(pages): State<Pages>, Extension(signed): Extension<Signed>, uri: Uri| {
                answer(pages, signed, uri, page)
            },
        )
    };
    Router::new()
        .route("/", page(Page::Overview))
        .route("/devices", page(Page::Devices))
        .route("/devices/{mac}", get(device))
        .route("/contacts", page(Page::Contacts))
        .route("/contacts/{mac}/{to}", get(contact))
        .route("/policies", page(Page::Policies))
        .route("/policies/{name}", get(policy))
        .route("/feeds", page(Page::Feeds))
        .route("/coverage", page(Page::Coverage))
        .route("/search", page(Page::Search))
        .route("/events", get(live::events))
        .with_state(pages)
        .route("/assets/{name}", get(assets::asset))
        .route("/manifest.webmanifest", get(assets::manifest))
}

async fn device(
    State(pages): State<Pages>,
    Extension(signed): Extension<Signed>,
    uri: Uri,
    Path(mac): Path<String>,
) -> Result<Response, Failure> {
    match mac.parse() {
        Ok(mac) => answer(pages, signed, uri, Page::Device(mac)).await,
        Err(_) => Ok(no_page("A device has a MAC such as 64:cc:2e:11:22:33.\n")),
    }
}

async fn contact(
    State(pages): State<Pages>,
    Extension(signed): Extension<Signed>,
    uri: Uri,
    Path((mac, to)): Path<(String, String)>,
) -> Result<Response, Failure> {
    match (mac.parse(), to.parse()) {
        (Ok(mac), Ok(to)) => answer(pages, signed, uri, Page::Contact(mac, to)).await,
        _ => Ok(no_page(
            "A contact has a MAC and an address: /contacts/64:cc:2e:11:22:33/192.0.2.1\n",
        )),
    }
}

async fn policy(
    State(pages): State<Pages>,
    Extension(signed): Extension<Signed>,
    uri: Uri,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    answer(pages, signed, uri, Page::Policy(name)).await
}

fn no_page(why: &'static str) -> Response {
    (StatusCode::NOT_FOUND, why).into_response()
}

/// Takes a snapshot, and answers with a page: its begin at once, the rest when the store has
/// answered.
async fn answer(
    pages: Pages,
    Signed(session): Signed,
    uri: Uri,
    page: Page,
) -> Result<Response, Failure> {
    let named = page.clone();
    let opening = read(pages.site.clone(), move |snapshot, health, labels| {
        let is_named = |name: &String| matches!(&named, Page::Policy(own) if own == name);
        let policy = snapshot
            .policies
            .iter()
            .find(|policy| is_named(&policy.name));
        Opening {
            snapshot: snapshot.clone(),
            health: health.clone(),
            counts: policy.map(|policy| labels.counts(policy)),
        }
    })
    .await?;
    if matches!(page, Page::Policy(_)) && opening.counts.is_none() {
        return Ok(no_page(
            "There is no policy of this name; /policies lists them.\n",
        ));
    }
    let asked = Asked::parse(uri.query().unwrap_or_default());
    let (chunks, body) = mpsc::channel(2);
    let back = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let login = pages.site.login.as_ref();
    let now = login.map(|login| login.desk.now()).unwrap_or_default();
    let left = session
        .as_ref()
        .map(|session| session.until.saturating_sub(now));
    let work = Work {
        source: pages.site.pages.clone(),
        has_login: login.is_some(),
        session_left: left.unwrap_or_default().as_secs(),
        page,
        asked,
        opening,
        session,
        back: back.to_owned(),
    };
    tokio::spawn(send(pages, work, chunks));
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    Ok((headers, Body::from_stream(Chunks(body))).into_response())
}

/// Sends the parts of a page. Ends early if the client is gone.
async fn send(pages: Pages, work: Work, chunks: mpsc::Sender<Bytes>) {
    let (clock, work) = match spawn_blocking(move || (work.clock(), work)).await {
        Ok(started) => started,
        Err(_panic) => return,
    };
    let begin = work.with(clock.clone(), |context, page| {
        shell::begin(context, page.place(), &page.title())
    });
    if chunks.send(shown(&begin)).await.is_err() {
        return;
    }
    let turn = timeout(PATIENCE, pages.turns.clone().acquire_owned());
    let text = match turn.await {
        Ok(Ok(turn)) => {
            let cost = Arc::clone(&pages.cost);
            let made = spawn_blocking(move || {
                let before = clock::thread_time();
                let text = work.with(clock, |context, page| {
                    page.content(context).into_string() + &shell::end(context)
                });
                // Without the time that the page waited for the store.
                let used = clock::thread_time().saturating_sub(before);
                let micros = u64::try_from(used.as_micros()).unwrap_or(u64::MAX);
                cost.store(micros, Ordering::Relaxed);
                drop(turn);
                text
            });
            made.await.unwrap_or_else(|_panic| {
                shell::trouble("This page could not be made. The log of the daemon says more.")
                    .into_string()
            })
        }
        _ => shell::trouble("Too many pages are asked for at once. Load this one again.")
            .into_string(),
    };
    // The client may be gone.
    let _ = chunks.send(shown(&text)).await;
}

/// Shows control characters instead of sending them.
fn shown(text: &str) -> Bytes {
    Bytes::from(printable::text(text).into_owned())
}

/// A page that is being made.
struct Work {
    source: PageSource,
    /// True if operators can sign in.
    has_login: bool,
    /// Seconds until the session ends.
    session_left: u64,
    page: Page,
    asked: Asked,
    opening: Opening,
    /// The session of the operator who asks.
    session: Option<Session>,
    /// The path of this page, for the way back from a change.
    back: String,
}

impl Work {
    fn clock(&self) -> Clock {
        let (now, zone) = self.source.daemon().map_or_else(
            || (clock::now().at, jiff::tz::TimeZone::UTC),
            PageFacts::moment,
        );
        Clock { now, zone }
    }

    fn with<T>(&self, clock: Clock, show: impl FnOnce(&Context<'_>, &Made<'_>) -> T) -> T {
        let facts = self.source.of_request(self.session.is_some());
        let context = Context {
            snapshot: &self.opening.snapshot,
            health: &self.opening.health,
            facts: facts.ok(),
            withheld: facts.err().unwrap_or_default(),
            clock,
            asked: &self.asked,
            is_search: matches!(self.page, Page::Search),
            has_login: self.has_login,
            session: self.session.as_ref(),
            session_left: self.session_left,
            back: &self.back,
        };
        let made = Made {
            page: &self.page,
            counts: self.opening.counts.as_ref(),
        };
        show(&context, &made)
    }
}

/// A page with the counts by label that it may need.
struct Made<'a> {
    page: &'a Page,
    counts: Option<&'a DeviceCounts>,
}

impl Made<'_> {
    fn place(&self) -> Place {
        match self.page {
            Page::Overview => Place::Overview,
            Page::Devices | Page::Device(_) => Place::Devices,
            Page::Contacts | Page::Contact(..) => Place::Contacts,
            Page::Policies | Page::Policy(_) => Place::Policies,
            Page::Feeds => Place::Feeds,
            Page::Coverage => Place::Coverage,
            Page::Search => Place::Other,
        }
    }

    fn title(&self) -> String {
        match self.page {
            Page::Overview => "Overview".to_owned(),
            Page::Devices => "Devices".to_owned(),
            Page::Device(mac) => format!("Device {mac}"),
            Page::Contacts => "Contacts".to_owned(),
            Page::Contact(mac, to) => format!("{mac} → {to}"),
            Page::Policies => "Policies".to_owned(),
            Page::Policy(name) => name.clone(),
            Page::Feeds => "Feeds".to_owned(),
            Page::Coverage => "Coverage".to_owned(),
            Page::Search => "Search".to_owned(),
        }
    }

    fn content(&self, context: &Context<'_>) -> Markup {
        // Comes first, because it asks for the latest packets.
        let own = self.own_content(context);
        html! { (shell::behind(context)) (own) }
    }

    fn own_content(&self, context: &Context<'_>) -> Markup {
        match self.page {
            Page::Overview => overview::content(context),
            Page::Devices => devices::content(context),
            Page::Device(mac) => device::content(context, *mac),
            Page::Contacts => contacts::content(context),
            Page::Contact(mac, to) => contact::content(context, *mac, *to),
            Page::Policies => policies::content(context),
            Page::Policy(name) => self.policy(context, name),
            Page::Feeds => feeds::content(context),
            Page::Coverage => coverage::content(context),
            Page::Search => search::content(context),
        }
    }

    fn policy(&self, context: &Context<'_>, name: &str) -> Markup {
        let mut policies = context.snapshot.policies.iter();
        let counts = self.counts.filter(|_| context.facts.is_none());
        match policies.find(|policy| policy.name == name) {
            Some(own) => policy::content(context, own, counts),
            None => shell::trouble("There is no policy of this name."),
        }
    }
}

/// The parts of an answer as they come.
struct Chunks(mpsc::Receiver<Bytes>);

impl Stream for Chunks {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, waker: &mut Waker<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(waker).map(|chunk| chunk.map(Ok))
    }
}
