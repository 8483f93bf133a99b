//! Where a statement comes from, and of which date it is.

use std::{fmt, sync::Arc};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::printable;

/// The source of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Path of the file, URL of the feed without its query, name of the RDAP server, or
    /// `FILE:LINE` of the policy.
    #[serde(with = "shared_text")]
    pub name: Arc<str>,
    /// The kind of source.
    pub kind: SourceKind,
    /// Date of the statement.
    #[serde(flatten)]
    pub as_of: Option<AsOf>,
}

/// A shared text in JSON.
mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(from).map(Arc::from)
    }
}

/// The kind of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// The delegated file of a regional internet registry.
    DelegatedFile,
    /// An MMDB database.
    Mmdb,
    /// A table of prefixes or ranges.
    Table,
    /// The answer of an RDAP server.
    Rdap,
    /// The author of a policy.
    Policy,
}

impl SourceKind {
    /// Returns the kind in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::DelegatedFile => "delegated file",
            Self::Mmdb => "MMDB database",
            Self::Table => "table",
            Self::Rdap => "RDAP server",
            Self::Policy => "policy",
        }
    }
}

/// A date, and the origin of that date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The date (UTC).
    #[serde(rename = "as_of")]
    pub date: Date,
    /// The origin of the date.
    pub dated_by: DatedBy,
}

/// The origin of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatedBy {
    /// The file states its own date.
    Content,
    /// The file states no date. This is when it last changed on disk.
    Modified,
    /// The feed states no date. This is when it was fetched.
    Fetched,
    /// This is when the server answered.
    Asked,
}

impl Source {
    /// Returns the last part of the name: the file name of a path or URL.
    #[must_use]
    pub fn short_name(&self) -> &str {
        match self.kind {
            SourceKind::DelegatedFile | SourceKind::Mmdb | SourceKind::Table => {
                let last = self.name.trim_end_matches('/').rsplit('/').next();
                last.unwrap_or(&self.name)
            }
            SourceKind::Rdap | SourceKind::Policy => &self.name,
        }
    }
}

/// Writes the short name with the date, for a line of text.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable::value(self.short_name()))?;
        match self.as_of {
            Some(as_of) => write!(f, " {as_of}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.dated_by {
            DatedBy::Content => "of",
            DatedBy::Modified => "changed on disk",
            DatedBy::Fetched => "fetched",
            DatedBy::Asked => "asked",
        };
        write!(f, "{words} {}", self.date)
    }
}

/// Returns the first date `yyyy-mm-dd` in `text`.
pub(super) fn date_in(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    (0..text.len()).find_map(|start| {
        let end = start.checked_add(10)?;
        if is_digit(start.checked_sub(1)) || is_digit(Some(end)) {
            return None;
        }
        plausible(text.get(start..end)?)
    })
}

/// Parses `yyyymmdd`, as delegated files write dates.
pub(super) fn compact_date(text: &str) -> Option<Date> {
    let all_digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits {
        return None;
    }
    plausible(&format!(
        "{}-{}-{}",
        text.get(..4)?,
        text.get(4..6)?,
        text.get(6..)?
    ))
}

/// Parses `yyyy-mm-dd` from 1980, before the first delegation to a registry of today.
fn plausible(text: &str) -> Option<Date> {
    let date: Date = text.parse().ok()?;
    (date.year() >= 1980 && date.to_string() == text).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_date_of_a_comment_is_found() {
        for (text, date) in [
            (
                "# Generated 2026-02-01T00:00:00Z, next 2026-02-02",
                Some("2026-02-01"),
            ),
            ("# asn 2.3.2026061719", None),
            ("# 12026-02-01", None),
            ("# 2026-02-011", None),
            ("# 2026-13-01 or 2026-12-01", Some("2026-12-01")),
            ("é2026-12-01é", Some("2026-12-01")),
            ("# 1900-01-01", None),
            ("", None),
        ] {
            assert_eq!(
                date_in(text),
                date.map(|date| date.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_compact_date_has_eight_digits_and_exists() {
        assert_eq!(compact_date("20110310"), "2011-03-10".parse().ok());
        for text in [
            "",
            "00000000",
            "20111310",
            "1634252399",
            "2011-3-1",
            "19000101",
        ] {
            assert_eq!(compact_date(text), None, "{text}");
        }
    }
}
