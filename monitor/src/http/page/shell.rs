//! What every page has: its head, the bar with the search box, the navigation, and its end.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    Context,
    assets::ASSETS,
    words::{sentence, thousands},
};
use crate::{http::Health, page_facts::PageFacts};

/// A page of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Place {
    Overview,
    Devices,
    Contacts,
    Policies,
    Feeds,
    Coverage,
    Changes,
    /// A page that the navigation does not have.
    Other,
}

/// What the reader of a page can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Operator {
    /// Nothing: the login is off.
    Off,
    /// Sign in.
    SignedOut,
    /// Change things.
    SignedIn,
}

/// Place, path, word and icon (24 × 24) of each page of the navigation.
const PLACES: [(Place, &str, &str, &str); 6] = [
    (Place::Overview, "/", "Overview", "M3 12h4l3-8 4 16 3-8h4"),
    (
        Place::Devices,
        "/devices",
        "Devices",
        "M8 3h8a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H8a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1zM11 18h2",
    ),
    (
        Place::Contacts,
        "/contacts",
        "Contacts",
        "M4 7h13M14 4l3 3-3 3M20 17H7M10 14l-3 3 3 3",
    ),
    (
        Place::Policies,
        "/policies",
        "Policies",
        "M12 3l8 3v6c0 5-3.5 8-8 9-4.500-1-8-4-8-9V6z",
    ),
    (
        Place::Feeds,
        "/feeds",
        "Feeds",
        "M12 4v11M8 11l4 4 4-4M5 20h14",
    ),
    (
        Place::Coverage,
        "/coverage",
        "Coverage",
        "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
    ),
];

/// The begin of a page, up to its content. The browser can fetch style and script while the
/// store is asked.
pub(super) fn begin(context: &Context<'_>, place: Place, title: &str) -> String {
    let assets = &*ASSETS;
    let begin = html! {
        (DOCTYPE)
        (PreEscaped("<html lang=\"en\">"))
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
            title { (title) " · monitor" }
            meta name="color-scheme" content="light dark";
            meta name="theme-color" content="#f6f5f1" media="(prefers-color-scheme: light)";
            meta name="theme-color" content="#12171c" media="(prefers-color-scheme: dark)";
            link rel="stylesheet" href=(assets.style.path);
            link rel="icon" type="image/svg+xml" href=(assets.icon.path);
            link rel="apple-touch-icon" href=(assets.icon_png.path);
            link rel="manifest" href="/manifest.webmanifest";
            script src=(assets.script.path) defer {}
        }
        (PreEscaped("<body>"))
        a.skip href="#main" { "Skip to the content" }
        (bar(context))
        (navigation(context.operator(), place))
        (PreEscaped("<main id=\"main\" tabindex=\"-1\">"))
        (session_end(context))
    };
    begin.into_string()
}

/// The end of a page.
pub(super) fn end(context: &Context<'_>) -> String {
    let end = html! {
        (PreEscaped("</main>"))
        footer {
            p { "Times are those of the gateway: " (context.clock.zone_name()) ". " span #updated { "Read at " (context.clock.time(context.clock.now)) "." } }
            p { a href="/metrics" { "Metrics" } " · " a href="/healthz" { "Health" } " · monitor " (env!("CARGO_PKG_VERSION")) }
        }
        (PreEscaped("</body></html>\n"))
    };
    end.into_string()
}

/// The mark of the program, which leads to the overview.
pub(in crate::http) fn brand() -> Markup {
    html! {
        a.brand href="/" {
            svg viewBox="0 0 24 24" aria-hidden="true" { path d="M3 12h4l3-8 4 16 3-8h4" {} }
            "monitor"
        }
    }
}

fn bar(context: &Context<'_>) -> Markup {
    let text = context.asked.text.as_deref().filter(|_| context.is_search);
    html! {
        header.bar {
            (brand())
            div.search {
                form action="/search" method="get" role="search" {
                    label.hidden for="search" { "Search devices, names, addresses and policies" }
                    input #search type="search" name="q" maxlength="200" autocomplete="off" spellcheck="false" placeholder="Device, name, address" value=[text];
                    kbd aria-hidden="true" { "/" }
                }
            }
            (state(context.health))
        }
    }
}

/// Says in a word if the filter is in force.
fn state(health: &Health) -> Markup {
    let (class, word, whole) = if health.is_ok() {
        ("good", "On", "The filter is in force.")
    } else if health.problems.is_empty() {
        ("bad", "Hangs", "The daemon hangs.")
    } else {
        ("bad", "Not on", "The filter is not in force everywhere.")
    };
    html! {
        p.pill.(class) #state data-live { a href="/coverage" title=(whole) { (word) span.hidden { ": " (whole) } } }
    }
}

/// What the script shows when the session of this page has ended.
fn session_end(context: &Context<'_>) -> Markup {
    html! {
        @if context.session.is_some() {
            p.notice.warn #ended role="status" data-left=(context.session_left) hidden {
                "Your session has ended, so this page can no longer change anything. " a href="/login" { "Sign in again" }
            }
        }
    }
}

/// The entry of the navigation for what operators can do.
fn operators(operator: Operator, place: Place) -> Markup {
    let (path, word, icon) = match operator {
        Operator::Off => return html! {},
        Operator::SignedIn => ("/changes", "Changes", "M4 20h4L19 9l-4-4L4 16zM13 7l4 4"),
        Operator::SignedOut => ("/login", "Sign in", "M14 4h5v16h-5M4 12h11M11 8l4 4-4 4"),
    };
    html! {
        li #session data-live {
            a href=(path) aria-current=[(place == Place::Changes).then_some("page")] {
                svg viewBox="0 0 24 24" aria-hidden="true" { path d=(icon) {} }
                span { (word) }
            }
        }
    }
}

/// The links to the pages.
pub(in crate::http) fn navigation(operator: Operator, place: Place) -> Markup {
    html! {
        nav aria-label="Pages" {
            ul {
                @for (own, path, word, icon) in PLACES {
                    li {
                        a href=(path) aria-current=[(own == place).then_some("page")] {
                            svg viewBox="0 0 24 24" aria-hidden="true" { path d=(icon) {} }
                            span { (word) }
                        }
                    }
                }
                (operators(operator, place))
            }
        }
    }
}

/// The links to the neighbouring pages of a list.
pub(super) fn pages(context: &Context<'_>, path: &str, more: bool, what: &str) -> Markup {
    let asked = context.asked;
    let at = |page: usize| {
        let mut other = asked.clone();
        other.page = page;
        other.url(path)
    };
    html! {
        @if asked.page > 0 || more {
            nav.pages aria-label=(format!("Pages of {what}")) {
                @if asked.page > 0 { a rel="prev" href=(at(asked.page - 1)) { "← Newer" } }
                span { "Page " (thousands(asked.page as u64 + 1)) }
                @if more { a rel="next" href=(at(asked.page + 1)) { "Older →" } }
            }
        }
    }
}

/// Says if the figures of this page may lack the latest packets.
pub(super) fn behind(context: &Context<'_>) -> Markup {
    let is_behind = context.facts.is_some_and(PageFacts::is_behind);
    html! {
        div #behind data-live {
            @if is_behind {
                p.soft data-late { "The daemon is still storing the latest packets, so this page may lack them. Load it again in a moment." }
            }
        }
    }
}

/// Why this page has no devices and contacts.
pub(super) fn withheld(context: &Context<'_>) -> Markup {
    html! { p.soft { (sentence(context.withheld)) } }
}

/// A message in the place of content that cannot be shown.
pub(super) fn trouble(why: &str) -> Markup {
    html! { p.trouble role="alert" { (crate::printable::value(why)) } }
}
