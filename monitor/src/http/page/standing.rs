//! A change by a command or from the page, in a line.

use maud::{Markup, html};

use super::{
    contact_rows,
    words::{Clock, line},
};
use crate::control::StandingChange;

/// The change, for whom, until when and why. The command leads to its policy.
pub(in crate::http) fn standing(clock: &Clock, change: &StandingChange) -> Markup {
    html! {
        a href=(contact_rows::policy_path(&change.policy)) { code { (line(&change.command)) } }
        @if let Some(device) = &change.device { " for " (line(device)) }
        @match &change.until {
            Some(until) => { ", until " (clock.time_of(until)) }
            None => { ", until it is undone" }
        }
        @if let Some(reason) = &change.reason { span.soft { " (" (line(reason)) ")" } }
        @if change.waits_for_clock { span.soft { " waits for the clock" } }
    }
}
