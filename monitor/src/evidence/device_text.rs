//! Devices as text for people.

use std::fmt::{self, Write as _};

use super::device_view::{DeviceHead, DeviceView, DevicesView, FactView, StatedView};
use crate::printable;

/// The most values of one kind that the text shows for a device. JSON has all.
const MAX_VALUES: usize = 8;

/// Width of the words on the left, in characters.
const WORDS: usize = 10;

/// A block for each device: its name and MAC, then one line for each thing that is known.
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
        match (head.device, &head.name) {
            (None, _) => writeln!(f, "other devices")?,
            (Some(mac), Some(name)) => writeln!(f, "{}  {mac}", printable::value(name))?,
            (Some(mac), None) => writeln!(f, "{mac}")?,
        }
        if head.device.is_some() {
            line(f, "maker", &maker(head))?;
        }
        line(f, "seen", &self.seen())?;
        line(f, "packets", &self.counted())?;
        facts(f, ["address", "addresses"], &self.addresses)?;
        facts(f, ["name", "names"], &self.host_names)?;
        facts(f, ["model", "models"], &self.models)?;
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
            (None, _) => "not yet; a lease names it".to_owned(),
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

/// What stands beside a MAC: the device's name and vendor, and which MACs are stated to be
/// the same device. Empty if nothing is known.
#[must_use]
pub(super) fn beside(head: &DeviceHead) -> String {
    let mut text = String::new();
    for part in head.name.iter().chain(&head.vendor) {
        let between = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{between}{}", printable::value(part));
    }
    for stated in &head.stated_same {
        let _ = write!(text, "; same device as {stated}");
    }
    text
}

fn maker(head: &DeviceHead) -> String {
    let source = match head.vendor_source.as_deref() {
        Some("file") => "your file",
        _ => "built-in list",
    };
    match (&head.vendor, &head.vendor_as_of) {
        (Some(vendor), Some(as_of)) => {
            format!("{} ({source} of {as_of})", printable::value(vendor))
        }
        _ if head.randomised => {
            "not known: the device chose this MAC itself, often at random".to_owned()
        }
        _ => "not known: no list names the first half of this MAC".to_owned(),
    }
}

/// Writes each value once, with its sources, the latest first.
fn facts(f: &mut fmt::Formatter<'_>, [one, many]: [&str; 2], facts: &[FactView]) -> fmt::Result {
    let mut values: Vec<(&str, Option<&str>, Vec<&str>)> = Vec::new();
    for fact in facts {
        let last = fact.last.as_deref();
        match values.iter_mut().find(|(value, ..)| *value == fact.value) {
            Some((_, known, sources)) => {
                *known = (*known).max(last);
                sources.push(&fact.source);
            }
            None => values.push((&fact.value, last, vec![&fact.source])),
        }
    }
    // The operator's names have no time, and come first.
    values.sort_by_key(|(_, last, _)| (last.is_some(), std::cmp::Reverse(*last)));
    let shown = values.iter().take(MAX_VALUES);
    let shown: Vec<_> = shown
        .map(|(value, last, sources)| (printable::value(value), sources.join(", "), last))
        .collect();
    let width = |texts: &mut dyn Iterator<Item = &str>| {
        let widths = texts.map(|text| text.chars().count());
        widths.max().unwrap_or(0)
    };
    let of_values = width(&mut shown.iter().map(|(value, ..)| value.as_ref()));
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
mod tests {
    use super::*;
    use crate::evidence::device_view::ReasonView;

    fn fact(value: &str, source: &str, last: Option<&str>) -> FactView {
        FactView {
            value: value.to_owned(),
            source: source.to_owned(),
            first: last.map(str::to_owned),
            last: last.map(str::to_owned),
        }
    }

    fn phone() -> DeviceView {
        let day = Some("2026-11-29T14:31:00Z");
        let older = Some("2026-11-28T10:00:00Z");
        DeviceView {
            head: DeviceHead {
                device: "64:cc:2e:11:22:33".parse().ok(),
                name: Some("Redmi-Note-8T".to_owned()),
                vendor: Some("Xiaomi Communications Co Ltd".to_owned()),
                vendor_source: Some("built-in".to_owned()),
                vendor_as_of: Some("2026-10-17".to_owned()),
                randomised: false,
                stated_same: vec![StatedView {
                    device: "64:cc:2e:00:00:01".parse().unwrap(),
                    since: "2026-11-01".to_owned(),
                    had: "before".to_owned(),
                    how: "stated".to_owned(),
                }],
            },
            first: older.map(str::to_owned),
            last: day.map(str::to_owned),
            packets: 17,
            bytes: 1666,
            dropped: 5,
            policies: vec!["suspect".parse().unwrap()],
            addresses: vec![
                fact("10.0.0.9", "frame", older),
                fact("10.0.0.10", "frame", day),
                fact("10.0.0.10", "dnsmasq", older),
            ],
            host_names: vec![fact("Redmi-Note-8T", "dnsmasq", day)],
            possibly_several: vec![ReasonView {
                reason: "models".to_owned(),
                text: "Two models.\nforged".to_owned(),
            }],
            left_out: 3,
            ..DeviceView::default()
        }
    }

    #[test]
    fn each_value_is_one_line_with_its_sources_and_the_latest_comes_first() {
        let expected = "\
Redmi-Note-8T  64:cc:2e:11:22:33
  maker     Xiaomi Communications Co Ltd (built-in list of 2026-10-17)
  seen      2026-11-28T10:00:00Z to 2026-11-29T14:31:00Z
  packets   12 passed, 5 dropped, 1666 bytes; matched by suspect
  addresses 10.0.0.10  frame, dnsmasq  2026-11-29T14:31:00Z
            10.0.0.9   frame           2026-11-28T10:00:00Z
  name      Redmi-Note-8T  dnsmasq  2026-11-29T14:31:00Z
            and 3 older ones
  same as   64:cc:2e:00:00:01 before 2026-11-01 (stated, not seen)
  possibly several devices:
            Two models.\\u{a}forged
";
        assert_eq!(phone().to_string(), expected);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let head = DeviceHead {
            device: "02:00:00:00:00:01".parse().ok(),
            randomised: true,
            ..DeviceHead::default()
        };
        let device = DeviceView {
            head,
            ..DeviceView::default()
        };
        let expected = "\
02:00:00:00:00:01
  maker     not known: the device chose this MAC itself, often at random
  seen      not yet; a lease names it
  packets   none that a policy matched
";
        assert_eq!(device.to_string(), expected);
        assert_eq!(beside(&device.head), "");
        assert_eq!(
            beside(&phone().head),
            "Redmi-Note-8T, Xiaomi Communications Co Ltd; same device as 64:cc:2e:00:00:01 before 2026-11-01 (stated, not seen)"
        );
    }

    #[test]
    fn many_values_are_shortened() {
        let addresses = (0..20).map(|n| fact(&format!("10.0.0.{n}"), "frame", None));
        let device = DeviceView {
            addresses: addresses.collect(),
            ..phone()
        };
        let text = device.to_string();
        assert!(text.contains("and 12 more; --json shows all"), "{text}");
        assert_eq!(text.matches("10.0.0.").count(), MAX_VALUES);
    }
}
