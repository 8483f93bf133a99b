//! Devices as text for people.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

use super::{
    chosen::Chosen,
    device_view::{DeviceHead, DeviceView, DevicesView, FactView, StatedView, is_of_operator},
};
use crate::printable;

/// The most values of one kind that the text shows for a device. JSON has all.
const MAX_VALUES: usize = 8;

/// Width of the words on the left, in characters.
const WORDS: usize = 10;

/// A block for each device: its MAC and name, then one line for each thing that is known.
impl fmt::Display for DevicesView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.devices.is_empty() {
            return writeln!(f, "no devices are known");
        }
        for (index, device) in self.devices.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{device}")?;
        }
        if self.more {
            writeln!(
                f,
                "\nthere are more devices: narrow the question, or raise --limit"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for DeviceView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.head;
        match (head.device, name(head)) {
            (None, _) => writeln!(f, "other devices")?,
            (Some(mac), Some(name)) => writeln!(f, "{mac}  {name}")?,
            (Some(mac), None) => writeln!(f, "{mac}")?,
        }
        if head.device.is_some() {
            line(f, "vendor", &vendor(head))?;
        }
        line(f, "seen", &self.seen())?;
        line(f, "packets", &self.counted())?;
        facts(
            f,
            ["address", "addresses"],
            Values::Addresses,
            &self.addresses,
        )?;
        facts(f, ["name", "names"], Values::Texts, &self.host_names)?;
        facts(f, ["model", "models"], Values::Texts, &self.models)?;
        if self.left_out > 0 {
            line(f, "", &format!("and {} older ones", self.left_out))?;
        }
        for stated in &head.stated_same {
            line(f, "same as", &stated.to_string())?;
        }
        if !self.possibly_several.is_empty() {
            writeln!(f, "  possibly several devices:")?;
        }
        for reason in &self.possibly_several {
            line(f, "", &printable::value(&reason.text))?;
        }
        Ok(())
    }
}

impl DeviceView {
    fn seen(&self) -> String {
        match (&self.first, &self.last) {
            (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
            (Some(at), _) => at.clone(),
            (None, _) => "not yet; a lease or another statement names it".to_owned(),
        }
    }

    fn counted(&self) -> String {
        if self.packets == 0 {
            return "none that a policy matched".to_owned();
        }
        let passed = self.packets.saturating_sub(self.dropped);
        let policies: Vec<_> = self.policies.iter().map(ToString::to_string).collect();
        format!(
            "{passed} passed, {} dropped, {} bytes; matched by {}",
            self.dropped,
            self.bytes,
            policies.join(", ")
        )
    }
}

impl fmt::Display for StatedView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, since, .. } = self;
        let when = if self.had == "before" {
            "before"
        } else {
            "since"
        };
        write!(f, "{device} {when} {since} (stated, not seen)")
    }
}

impl DeviceHead {
    /// The operator's name as it is, or else the host name in quotes. Escaped.
    pub(crate) fn called(&self) -> Option<String> {
        let name = self.name.as_deref()?;
        let source = self.name_source.as_deref().unwrap_or_default();
        Some(if is_of_operator(source) {
            printable::escape(name, &[]).into_owned()
        } else {
            Chosen(name).to_string()
        })
    }
}

/// What stands beside a MAC: the device's name and vendor, and which MACs are stated to be
/// the same device. Empty if nothing is known.
#[must_use]
pub(super) fn beside(head: &DeviceHead) -> String {
    let mut text = String::new();
    let vendor = head.vendor.as_deref().map(printable::value);
    for part in name(head).iter().chain(&vendor) {
        let between = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{between}{part}");
    }
    for stated in &head.stated_same {
        let _ = write!(text, "; same device as {stated}");
    }
    text
}

/// The operator's name as it is, or else the host name in quotes: the device can choose it.
fn name(head: &DeviceHead) -> Option<Cow<'_, str>> {
    let name = head.name.as_deref()?;
    let source = head.name_source.as_deref().unwrap_or_default();
    Some(if is_of_operator(source) {
        printable::value(name)
    } else {
        Cow::Owned(format!("calls itself {}", Chosen(name)))
    })
}

fn vendor(head: &DeviceHead) -> String {
    let source = match head.vendor_source.as_deref() {
        Some("file") => "your file",
        _ => "built-in list",
    };
    match (&head.vendor, &head.vendor_as_of) {
        (Some(vendor), Some(as_of)) => {
            format!("{} ({source} of {as_of})", printable::value(vendor))
        }
        _ if head.randomised => {
            "none: the MAC is locally administered, often chosen at random by the device".to_owned()
        }
        _ => "not known: no list names a vendor for this MAC".to_owned(),
    }
}

/// The values of a list of facts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    Addresses,
    /// Names or models: values that the operator did not write are in quotes.
    Texts,
}

/// Writes each value once, with its sources, the latest first.
fn facts(
    f: &mut fmt::Formatter<'_>,
    [one, many]: [&str; 2],
    kind: Values,
    facts: &[FactView],
) -> fmt::Result {
    let mut values: Vec<(String, Option<&str>, Vec<&str>)> = Vec::new();
    for fact in facts {
        let last = fact.last.as_deref();
        // A name of the operator and the same one of the device stay apart.
        let value = if kind == Values::Addresses || is_of_operator(&fact.source) {
            printable::value(&fact.value).into_owned()
        } else {
            Chosen(&fact.value).to_string()
        };
        match values.iter_mut().find(|(known, ..)| *known == value) {
            Some((_, known, sources)) => {
                *known = (*known).max(last);
                sources.push(&fact.source);
            }
            None => values.push((value, last, vec![&fact.source])),
        }
    }
    // The operator's names have no time, and come first.
    values.sort_by_key(|(_, last, _)| (last.is_some(), std::cmp::Reverse(*last)));
    let shown = values.iter().take(MAX_VALUES);
    let shown: Vec<_> = shown
        .map(|(value, last, sources)| (value.as_str(), sources.join(", "), last))
        .collect();
    let width = |texts: &mut dyn Iterator<Item = &str>| {
        let widths = texts.map(|text| text.chars().count());
        widths.max().unwrap_or(0)
    };
    let of_values = width(&mut shown.iter().map(|(value, ..)| *value));
    let of_sources = width(&mut shown.iter().map(|(_, sources, _)| sources.as_str()));
    let mut word = if values.len() > 1 { many } else { one };
    for (value, sources, last) in &shown {
        let last = last.unwrap_or_default();
        let text = format!("{value:of_values$}  {sources:of_sources$}  {last}");
        line(f, word, text.trim_end())?;
        word = "";
    }
    match values.len().saturating_sub(MAX_VALUES) {
        0 => Ok(()),
        more => line(f, "", &format!("and {more} more; --json shows all")),
    }
}

fn line(f: &mut fmt::Formatter<'_>, word: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {word:WORDS$}{text}")
}

#[cfg(test)]
mod tests;
