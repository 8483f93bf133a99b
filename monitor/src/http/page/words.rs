//! Numbers, times and foreign texts as the page shows them.

use std::borrow::Cow;

use bytesize::ByteSize;
use jiff::{Timestamp, tz::TimeZone};
use maud::{Markup, html};

use crate::{
    clock::to_the_second,
    policy::{Action, Strength},
    printable,
};

/// The most characters of a foreign text in a list. The attribute `title` has the whole text.
const MOST_SHOWN: usize = 60;

/// The time of the answer, and the time zone in which times are shown.
#[derive(Clone, Debug)]
pub(in crate::http) struct Clock {
    pub(in crate::http) now: Timestamp,
    pub(in crate::http) zone: TimeZone,
}

impl Clock {
    /// A time, short if it is near: `14:03:22`, `Mon 14:03`, `29 Nov 14:03`.
    pub(super) fn time(&self, at: Timestamp) -> Markup {
        html! { time datetime=(to_the_second(at)) title=(self.whole(at)) { (self.short(at)) } }
    }

    /// A text that is a time (RFC 3339), or the text itself.
    pub(super) fn time_of(&self, text: &str) -> Markup {
        if let Ok(at) = text.parse() {
            self.time(at)
        } else {
            html! { (text) }
        }
    }

    /// A time in seconds since 1970.
    pub(super) fn time_at(&self, seconds: u64) -> Markup {
        let at = i64::try_from(seconds).ok().map(Timestamp::from_second);
        if let Some(Ok(at)) = at {
            self.time(at)
        } else {
            html! { "a time that no calendar has" }
        }
    }

    pub(super) fn short(&self, at: Timestamp) -> String {
        let (time, now) = (self.zoned(at), self.zoned(self.now));
        let age = self.now.duration_since(at).as_hours();
        let form = if time.date() == now.date() {
            "%H:%M:%S"
        } else if (0..6 * 24).contains(&age) {
            "%a %H:%M"
        } else if time.year() == now.year() {
            "%-d %b %H:%M"
        } else {
            "%-d %b %Y"
        };
        time.strftime(form).to_string()
    }

    /// The begin or the end of a slot: without seconds, with a day unless it is today.
    pub(super) fn slot(&self, at: Timestamp) -> String {
        let (time, now) = (self.zoned(at), self.zoned(self.now));
        let form = if time.date() == now.date() {
            "%H:%M"
        } else {
            "%a %-d %b %H:%M"
        };
        time.strftime(form).to_string()
    }

    fn whole(&self, at: Timestamp) -> String {
        self.zoned(at)
            .strftime("%A, %-d %B %Y, %H:%M:%S %Z")
            .to_string()
    }

    fn zoned(&self, at: Timestamp) -> jiff::Zoned {
        at.to_zoned(self.zone.clone())
    }

    /// The name of the time zone.
    pub(super) fn zone_name(&self) -> String {
        let name = self.zone.iana_name().map(str::to_owned);
        name.unwrap_or_else(|| self.zoned(self.now).strftime("%Z").to_string())
    }
}

/// Formats a number with a comma before each group of three digits: `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 device`, `1,200 devices`.
pub(super) fn plural(number: u64, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{} {noun}", thousands(number))
}

/// A number of bytes with a unit.
pub(super) fn bytes(number: u64) -> String {
    ByteSize::b(number).display().iec().to_string()
}

/// A foreign text in one line, cut if it is long. The attribute `title` has all of it.
pub(super) fn foreign(text: &str) -> Markup {
    let whole = printable::value(text);
    if whole.chars().count() <= MOST_SHOWN {
        return html! { bdi { (whole) } };
    }
    let cut: String = whole.chars().take(MOST_SHOWN - 1).collect();
    html! { bdi title=(whole) { (cut) "…" } }
}

/// A foreign text in one line.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    printable::value(text)
}

/// A sentence of this program: a part in backquotes is a command or a value.
pub(super) fn sentence(text: &str) -> Markup {
    let text = printable::value(text);
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// An action as a badge.
pub(super) fn action(action: Action) -> Markup {
    let class = match action.strength() {
        Strength::Exempts => "exempts",
        Strength::Blocks => "blocks",
        Strength::Observes => "observes",
    };
    html! { span.badge.(class) { (action.name()) } }
}

/// Passed and dropped packets. A zero is left out unless both are.
pub(super) fn verdicts(passed: u64, dropped: u64) -> Markup {
    html! {
        span.verdicts {
            @if passed > 0 || dropped == 0 { span.passed { (thousands(passed)) span.hidden { " passed" } } }
            @if dropped > 0 { span.dropped { (thousands(dropped)) " dropped" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_by_commas() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (123_456, "123,456"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ];
        for (number, text) in cases {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn a_near_time_is_short_and_a_far_one_has_its_date() {
        let clock = Clock {
            now: "2026-11-30T12:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        };
        for (at, text) in [
            ("2026-11-30T11:59:58Z", "11:59:58"),
            ("2026-11-29T23:00:00Z", "Sun 23:00"),
            ("2026-11-02T23:00:00Z", "2 Nov 23:00"),
            ("2025-11-02T23:00:00Z", "2 Nov 2025"),
        ] {
            assert_eq!(clock.short(at.parse().unwrap()), text);
        }
    }

    #[test]
    fn a_long_foreign_text_is_cut_and_its_controls_are_shown() {
        let text = foreign(&format!("<b>\u{1b}[31m{}", "x".repeat(100))).into_string();
        assert!(text.contains("&lt;b&gt;\\u{1b}[31mxx"), "{text}");
        assert!(
            text.contains("…</bdi>") && text.contains("title="),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
    }
}
