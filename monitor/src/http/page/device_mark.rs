//! How a device is shown: a mark of its own, its name, and a link to its page.

use maud::{Markup, html};

use super::words::{foreign, line};
use crate::{evidence::DeviceHead, policy::MacAddress};

/// Columns and rows of a mark. The right half mirrors the left one.
const SIDE: usize = 5;

/// Number of colours in the style sheet.
const COLOURS: u8 = 12;

/// The mark of a device: the same MAC always has the same one, so that a person recognises it.
pub(super) fn mark(mac: MacAddress) -> Markup {
    let hash = blake3::hash(&mac.0);
    let [colour, bits @ ..] = hash.as_bytes();
    let is_set = |column: usize, row: usize| {
        let column = column.min(SIDE - 1 - column);
        let number = row * 3 + column;
        bits.get(number).is_some_and(|byte| byte & 1 == 1)
    };
    let class = format!("mark c{}", colour % COLOURS);
    html! {
        svg class=(class) viewBox="0 0 7 7" aria-hidden="true" {
            @for row in 0..SIDE {
                @for column in (0..SIDE).filter(|column| is_set(*column, row)) {
                    rect x=(column + 1) y=(row + 1) width="1.02" height="1.02" {}
                }
            }
        }
    }
}

/// The name that stands for a device: the operator's or its own, else vendor and end of the
/// MAC, else the MAC.
pub(super) fn name(head: &DeviceHead) -> String {
    let Some(mac) = head.device else {
        return "other devices".to_owned();
    };
    let text = mac.to_string();
    let end = text.get(9..).unwrap_or_default();
    match (&head.name, &head.vendor) {
        (Some(name), _) => name.clone(),
        (None, Some(vendor)) => format!("{} {end}", first_word(vendor)),
        (None, None) => text,
    }
}

/// Mark and name of a device, as a link to its page.
pub(super) fn link(head: &DeviceHead) -> Markup {
    let name = name(head);
    html! {
        @match head.device {
            Some(mac) => { a.device href=(path(mac)) { (mark(mac)) " " (foreign(&name)) } }
            None => { span.device { (foreign(&name)) } }
        }
    }
}

/// The page of a device.
pub(super) fn path(mac: MacAddress) -> String {
    format!("/devices/{mac}")
}

/// What is known of the maker, with what a person should know about the MAC.
pub(super) fn vendor(head: &DeviceHead) -> Markup {
    html! {
        @match &head.vendor {
            Some(vendor) => { (foreign(vendor)) }
            None if head.randomised => { span.soft title="The device made up this MAC, so it names no maker." { "private address" } }
            None => { span.soft { "unknown maker" } }
        }
    }
}

fn first_word(vendor: &str) -> String {
    let word = vendor.split([' ', ',']).next().unwrap_or(vendor);
    line(word).into_owned()
}
