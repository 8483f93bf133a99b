//! What a URL of the page asks for. Every value has a bound, and an unknown key is ignored.

use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{page_facts::AskedContacts, store::Verdict};

/// The most characters of a text.
const MOST_TEXT: usize = 200;

/// The last page of a list.
const LAST_PAGE: usize = 2_000;

/// Contacts of one page of a list.
pub(super) const PAGE: usize = 50;

/// Characters that stay as they are in a URL (RFC 3986, section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// The period of a chart. It ends now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Span {
    Hour,
    #[default]
    Day,
    Week,
    Month,
}

impl Span {
    pub(super) const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The word in a URL.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// The period in words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Hour => "last hour",
            Self::Day => "last 24 hours",
            Self::Week => "last 7 days",
            Self::Month => "last 30 days",
        }
    }

    const fn hours(self) -> i64 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 7 * 24,
            Self::Month => 30 * 24,
        }
    }

    /// Begin and end of the period.
    pub(super) fn period(self, now: Timestamp) -> (Timestamp, Timestamp) {
        let length = SignedDuration::from_hours(self.hours());
        // The rows of this second belong to it.
        let end = now.checked_add(SignedDuration::from_secs(1)).unwrap_or(now);
        (now.checked_sub(length).unwrap_or(Timestamp::MIN), end)
    }
}

/// The parameters of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) span: Span,
    /// Begin and end of a part of the chart, in seconds since 1970.
    pub(super) selection: Option<(i64, i64)>,
    pub(super) device: Option<String>,
    pub(super) policy: Option<String>,
    pub(super) text: Option<String>,
    pub(super) verdict: Option<Verdict>,
    /// Number of the page of a list, from 0 on.
    pub(super) page: usize,
}

impl Asked {
    /// Reads the part of a URL after the question mark.
    pub(super) fn parse(query: &str) -> Self {
        let mut asked = Self::default();
        let (mut from, mut until) = (None, None);
        for part in query.split('&') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8_lossy();
            let value: String = value.trim().chars().take(MOST_TEXT).collect();
            if value.is_empty() {
                continue;
            }
            match key {
                "range" => {
                    let known = Span::ALL.into_iter().find(|span| span.word() == value);
                    asked.span = known.unwrap_or_default();
                }
                "from" => from = value.parse().ok(),
                "until" => until = value.parse().ok(),
                "device" => asked.device = Some(value),
                "policy" => asked.policy = Some(value),
                "q" => asked.text = Some(value),
                "verdict" => {
                    asked.verdict = match value.as_str() {
                        "passed" => Some(Verdict::Passed),
                        "dropped" => Some(Verdict::Dropped),
                        _ => None,
                    };
                }
                "page" => asked.page = value.parse().unwrap_or(0).min(LAST_PAGE),
                _ => {}
            }
        }
        asked.selection = from.zip(until).filter(|(from, until)| from < until);
        asked
    }

    /// The URL of a path with these parameters.
    pub(super) fn url(&self, path: &str) -> String {
        let number = |number: i64| number.to_string();
        let mut parts: Vec<(&str, String)> = Vec::new();
        if self.span != Span::default() {
            parts.push(("range", self.span.word().to_owned()));
        }
        if let Some((from, until)) = self.selection {
            parts.push(("from", number(from)));
            parts.push(("until", number(until)));
        }
        for (key, value) in [
            ("device", &self.device),
            ("policy", &self.policy),
            ("q", &self.text),
        ] {
            if let Some(value) = value {
                parts.push((key, segment(value)));
            }
        }
        if let Some(verdict) = self.verdict {
            parts.push(("verdict", word(verdict).to_owned()));
        }
        if self.page > 0 {
            parts.push(("page", self.page.to_string()));
        }
        let parts: Vec<String> = parts
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        match parts.as_slice() {
            [] => path.to_owned(),
            parts => format!("{path}?{}", parts.join("&")),
        }
    }

    /// These parameters with a change, on the first page of the list.
    pub(super) fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut other = Self {
            page: 0,
            ..self.clone()
        };
        change(&mut other);
        other
    }

    /// The question to the store.
    pub(super) fn contacts(&self, now: Timestamp, limit: usize) -> AskedContacts {
        let time = |seconds| Timestamp::from_second(seconds).ok();
        AskedContacts {
            chart: self.span.period(now),
            has_chart: true,
            list: self
                .selection
                .and_then(|(from, until)| time(from).zip(time(until))),
            device: self.device.clone(),
            policy: self.policy.clone(),
            to: self.text.clone(),
            verdict: self.verdict,
            skip: self.page * limit,
            limit,
        }
    }

    /// True if only some contacts are asked for.
    pub(super) const fn is_filtered(&self) -> bool {
        self.device.is_some()
            || self.policy.is_some()
            || self.text.is_some()
            || self.verdict.is_some()
            || self.selection.is_some()
    }
}

/// The word of a verdict in a URL.
pub(super) const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Dropped => "dropped",
    }
}

/// A text as a part of a URL.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_back() {
        let asked = Asked {
            span: Span::Week,
            selection: Some((1_795_953_600, 1_795_957_200)),
            device: Some("Ana's phone & tablet".to_owned()),
            policy: Some("range-42.62.48.0-24".to_owned()),
            text: Some("<script>é%".to_owned()),
            verdict: Some(Verdict::Dropped),
            page: 3,
        };
        let url = asked.url("/contacts");
        let (path, query) = url.split_once('?').unwrap();
        assert_eq!(path, "/contacts");
        assert!(
            url.is_ascii() && !url.contains(['<', '>', '"', '\'', ' ']),
            "{url}"
        );
        assert_eq!(Asked::parse(query), asked);
        assert_eq!(Asked::default().url("/"), "/");
    }

    #[test]
    fn every_value_has_a_bound() {
        let long = "x".repeat(10_000);
        let asked = Asked::parse(&format!(
            "q={long}&page=99999999999999999999&from=9&until=3"
        ));
        assert_eq!(asked.text.map(|text| text.len()), Some(MOST_TEXT));
        assert_eq!((asked.page, asked.selection), (0, None));
        assert_eq!(Asked::parse("page=5000").page, LAST_PAGE);
        assert_eq!(Asked::parse("range=9y&verdict=x&&=&q=").span, Span::Day);
        let far = Asked::parse("from=-9223372036854775808&until=9223372036854775807");
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(far.contacts(now, 50).list, None);
    }
}
