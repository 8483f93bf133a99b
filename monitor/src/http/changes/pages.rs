//! The pages of the login and of changes.

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::{
    form,
    sessions::{BadLink, Secret, Session},
};
use crate::{
    control::{Changed, StandingChange},
    http::page::{Clock, Operator, Place, brand, navigation, standing, style},
    printable,
};

fn page(status: StatusCode, title: &str, content: &Markup) -> Response {
    show(status, title, content, None)
}

/// A page for an operator who is signed in, with the links to the other pages.
fn signed(status: StatusCode, title: &str, content: &Markup, session: &Session) -> Response {
    show(status, title, content, Some(session))
}

fn show(status: StatusCode, title: &str, content: &Markup, session: Option<&Session>) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · monitor" }
                meta name="color-scheme" content="light dark";
                link rel="stylesheet" href=(style());
            }
            body {
                header.bar { (brand()) }
                @if session.is_some() { (navigation(Operator::SignedIn, Place::Changes)) }
                main #main {
                    h1 { (title) }
                    (content)
                    @match session {
                        Some(session) => { (about(session)) }
                        None => { p { a href="/" { "Overview" } } }
                    }
                }
            }
        }
    };
    let text = printable::text(&page.into_string()).into_owned();
    (status, Html(text)).into_response()
}

/// Says that the login is off.
pub(super) fn off() -> Response {
    let content = html! {
        p { "Nothing can be changed from this page, because its login is off." }
        p { "To switch it on, write " code { "page: {login: true}" } " into the config file and start the daemon again." }
    };
    page(StatusCode::NOT_FOUND, "The login is off", &content)
}

/// The session, and the button that ends it.
fn about(session: &Session) -> Markup {
    html! {
        footer.own-session {
            p { "You are signed in. Events name this session " strong { (session.name) } "." }
            (form::sign_out(session))
        }
    }
}

/// Says how to get a link.
pub(super) fn ask_for_link(session: Option<&Session>) -> Response {
    let Some(session) = session else {
        return page(StatusCode::OK, "Sign in", &how_to_sign_in());
    };
    let content = html! {
        p { "This browser can block, allow and pause: in the rows of contacts and policies, or on " a href="/changes" { "Changes" } "." }
    };
    signed(StatusCode::OK, "Signed in", &content, session)
}

fn how_to_sign_in() -> Markup {
    html! {
        p { "As root on the gateway, run " code { "monitor page --login" } " and open the link that it prints. A link can be used once, within ten minutes." }
    }
}

/// Shows a button that uses a link.
pub(super) fn sign_in(link: &Secret) -> Response {
    let content = html! {
        p { "This browser can then block, allow and pause. The link can be used once." }
        form method="post" action="/login" {
            input type="hidden" name="link" value=(link.text());
            button type="submit" autofocus { "Sign in" }
        }
    };
    page(StatusCode::OK, "Sign in", &content)
}

/// Says why a link opens no session.
pub(super) fn bad_link(why: BadLink) -> Response {
    let content = html! {
        @match why {
            BadLink::Unknown => { p { "This link is too old, or it was never made by the running daemon." } }
            BadLink::Used { .. } => {
                p role="alert" { "This link was used before. If that was not you, run " code { "monitor page --logout" } " as root: it ends all sessions. `monitor events` lists what they changed." }
            }
        }
        (how_to_sign_in())
    };
    page(StatusCode::FORBIDDEN, "This link does not work", &content)
}

/// Says that the request has no session.
pub(in crate::http) fn not_signed_in() -> Response {
    page(StatusCode::UNAUTHORIZED, "Not signed in", &how_to_sign_in())
}

/// Says that a form came without a session.
pub(super) fn session_ended() -> Response {
    let content = html! {
        p role="alert" { "Nothing was changed, because this browser has no session. A session ends after its time (`page.session`), when you sign out, and when the daemon ends." }
        (how_to_sign_in())
        p { "Then repeat the change." }
    };
    page(StatusCode::UNAUTHORIZED, "Your session has ended", &content)
}

/// Says that the request came from another page, or from an old one.
pub(super) fn forged() -> Response {
    let content = html! {
        p role="alert" { "Nothing was changed. This request did not come from a form of this page, or the form is of an earlier session: load the page again." }
    };
    page(StatusCode::FORBIDDEN, "Refused", &content)
}

/// Says what is wrong with a request.
pub(super) fn trouble(status: StatusCode, why: &str) -> Response {
    let content = html! { p role="alert" { "Nothing was changed: " (printable::value(why)) } };
    page(status, "Not done", &content)
}

/// Says why the daemon refused a change.
pub(super) fn refused(why: &str, session: &Session, back: &str) -> Response {
    let content = html! {
        p.notice.bad role="alert" { "Nothing was changed: " (printable::value(why)) }
        p { a.more href=(back) { "Back" } }
    };
    signed(StatusCode::CONFLICT, "Refused", &content, session)
}

/// Says what is in force now, with the way back.
pub(super) fn changed(clock: &Clock, changed: &Changed, session: &Session, back: &str) -> Response {
    let change = &changed.change;
    let content = html! {
        div.own-change-done.notice role="status" {
            p {
                @if changed.undone { "Undone: " code { (printable::value(&change.command)) } (whom(change)) "." }
                @else { "In force: " (standing(clock, change)) "." }
            }
            @if !changed.undone { (form::undo(session, &change.command, change.device.as_deref(), back)) }
        }
        @for note in &changed.notes { p { (printable::value(note)) } }
        p { a.more href=(back) { "Back" } }
    };
    let title = if changed.undone { "Undone" } else { "In force" };
    signed(StatusCode::OK, title, &content, session)
}

/// Lists the changes in force.
pub(super) fn changes(clock: &Clock, all: &[StandingChange], session: &Session) -> Response {
    let content = html! {
        @if all.is_empty() {
            p.soft { "No change is in force." }
        } @else {
            ul.own-changes {
                @for change in all {
                    li {
                        span { (standing(clock, change)) }
                        @if !change.command.starts_with("doctor") { (form::undo(session, &change.command, change.device.as_deref(), "/changes")) }
                    }
                }
            }
        }
        (form::any(session))
    };
    signed(StatusCode::OK, "Changes in force", &content, session)
}

fn whom(change: &StandingChange) -> String {
    let device = change.device.as_deref();
    device.map_or_else(String::new, |device| {
        format!(" for {}", printable::value(device))
    })
}
