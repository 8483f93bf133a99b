//! The place in a row for what an operator can change there.

use std::net::IpAddr;

use maud::{Markup, html};

use super::{Context, words::line};
use crate::{http::changes, policy::MacAddress};

/// What a row is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// A device, with the destination that it contacted.
    Contact(MacAddress, IpAddr),
    /// A device.
    Device(MacAddress),
    /// A policy.
    Policy(&'a str),
}

/// The forms that change something about the subject of a row. Nothing without a session.
pub(super) fn actions(context: &Context<'_>, subject: Subject<'_>) -> Markup {
    let Some(session) = context.session else {
        return html! {};
    };
    let subject = match subject {
        Subject::Contact(mac, to) => changes::Subject::Contact(mac, to),
        Subject::Policy(name) => changes::Subject::Policy(name),
        Subject::Device(_) => return html! {},
    };
    changes::actions(session, subject, context.back)
}

/// The commands that block or pause the subject of a page for an hour.
pub(super) fn commands(subject: Subject<'_>) -> Markup {
    let lines = match subject {
        Subject::Contact(mac, to) => vec![
            (
                "Block it for this device, for an hour",
                format!("monitor block {to} --device {mac} --for 1h"),
            ),
            (
                "Block it for every device, for an hour",
                format!("monitor block {to} --for 1h"),
            ),
            ("Undo", format!("monitor block {to} --device {mac} --undo")),
        ],
        Subject::Device(mac) => vec![
            (
                "Write down what you do with it",
                format!("monitor mark --device {mac} 'what you did'"),
            ),
            (
                "Erase what is stored about it",
                format!("monitor forget {mac}"),
            ),
        ],
        Subject::Policy(name) => vec![
            (
                "Pause it for ten minutes",
                format!("monitor pause {name} --for 10m"),
            ),
            ("Undo", format!("monitor pause {name} --undo")),
        ],
    };
    html! {
        details.commands {
            summary { "Commands for it, as root on the gateway" }
            dl { @for (what, command) in lines { div { dt { (what) } dd { code { (line(&command)) } } } } }
        }
    }
}
