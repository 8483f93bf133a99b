//! The forms of a row: block, allow, pause.

use std::net::IpAddr;

use maud::{Markup, html};

use super::Session;
use crate::policy::MacAddress;

/// What a row is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A destination, for the device that contacted it or for all.
    Contact(MacAddress, IpAddr),
    /// A policy.
    Policy(&'a str),
}

/// Lengths of a change: the value that the command takes, and the words for people. The last
/// one has no end.
const LENGTHS: [(&str, &str); 5] = [
    ("10m", "10 minutes"),
    ("1h", "1 hour"),
    ("8h", "8 hours"),
    ("7d", "7 days"),
    ("", "until undone"),
];

/// The forms that change something about the subject of a row. `back` is the path of this page.
#[must_use]
pub fn actions(session: &Session, subject: Subject<'_>, back: &str) -> Markup {
    match subject {
        Subject::Contact(device, destination) => html! {
            details.change {
                summary { "Change" }
                form method="post" action="/changes/block" {
                    (hidden(session, back))
                    input type="hidden" name="destination" value=(destination);
                    label { "For " select name="device" {
                        option value=(device) selected { "this device" }
                        option value="" { "every device" }
                    } }
                    (lengths(true))
                    button type="submit" { "Block" }
                    button type="submit" formaction="/changes/allow" { "Allow" }
                }
            }
        },
        Subject::Policy(policy) => html! {
            details.change {
                summary { "Change" }
                form method="post" action="/changes/pause" {
                    (hidden(session, back))
                    input type="hidden" name="policy" value=(policy);
                    (lengths(false))
                    button type="submit" { "Pause" }
                }
            }
        },
    }
}

/// The forms for every destination and policy.
pub(super) fn any(session: &Session) -> Markup {
    html! {
        h2 { "Block or allow a destination" }
        form.own-change #change method="post" action="/changes/block" {
            (hidden(session, "/changes"))
            label { "Address or network " input name="destination" required maxlength="100" autocomplete="off" spellcheck="false"; }
            label { "Device (empty: every device) " input name="device" maxlength="100" autocomplete="off" spellcheck="false"; }
            (lengths(true))
            button type="submit" { "Block" }
            button type="submit" formaction="/changes/allow" { "Allow" }
        }
        h2 { "Pause a policy" }
        form.own-change #pause method="post" action="/changes/pause" {
            (hidden(session, "/changes"))
            label { "Policy " input name="policy" required maxlength="100" autocomplete="off" spellcheck="false"; }
            (lengths(false))
            button type="submit" { "Pause" }
        }
    }
}

/// The form that undoes a change.
pub(super) fn undo(session: &Session, command: &str, device: Option<&str>, back: &str) -> Markup {
    html! {
        form method="post" action="/changes/undo" {
            (hidden(session, back))
            input type="hidden" name="command" value=(command);
            @if let Some(device) = device { input type="hidden" name="device" value=(device); }
            button type="submit" { "Undo" }
        }
    }
}

/// The form that ends a session.
#[must_use]
pub(super) fn sign_out(session: &Session) -> Markup {
    html! {
        form method="post" action="/logout" {
            input type="hidden" name="token" value=(session.form_token);
            button.plain type="submit" { "Sign out" }
        }
    }
}

fn hidden(session: &Session, back: &str) -> Markup {
    html! {
        input type="hidden" name="token" value=(session.form_token);
        input type="hidden" name="back" value=(back);
    }
}

/// The choice of a length. `for_ever`: a change without an end is possible.
fn lengths(for_ever: bool) -> Markup {
    let lengths = LENGTHS.iter();
    let lengths = lengths.filter(|(value, _)| for_ever || !value.is_empty());
    html! {
        label { "Time " select name="for" {
            @for (value, words) in lengths {
                option value=(value) selected[*value == "1h"] { (words) }
            }
        } }
    }
}
