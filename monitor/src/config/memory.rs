//! How long evidence is kept, and how much of it.

use bytesize::ByteSize;
use jiff::SignedDuration;
use serde::Deserialize;

use super::options::Length;
use crate::{evidence::answers::AnswerSettings, store::StoreSettings};

/// The `store` section of the config file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreOptions {
    /// How long flows, names and events are kept on disk.
    pub keep: Option<Length>,
    /// The most that they take on disk.
    pub size: Option<Size>,
}

/// The `dns` section of the config file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsOptions {
    /// How long a DNS answer stays in memory after it was last seen.
    pub keep: Option<Length>,
    /// The most DNS answers in memory.
    pub answers: Option<Answers>,
}

/// A size on disk, such as `200MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(u64);

/// A number of DNS answers, from 1 to [`Answers::MOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "usize")]
pub struct Answers(usize);

impl Answers {
    /// Each answer takes a few hundred bytes.
    const MOST: usize = 1_000_000;
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let least = StoreSettings::LEAST_SIZE;
        match text.parse() {
            Ok(ByteSize(bytes)) if bytes >= least => Ok(Self(bytes)),
            Ok(_) => Err(format!("write a size of at least {}MiB", least >> 20)),
            Err(_) => Err("write a size such as 200MiB or 1GiB".to_owned()),
        }
    }
}

impl TryFrom<usize> for Answers {
    type Error = String;

    fn try_from(answers: usize) -> Result<Self, String> {
        if (1..=Self::MOST).contains(&answers) {
            Ok(Self(answers))
        } else {
            Err(format!("write a number from 1 to {}", Self::MOST))
        }
    }
}

impl StoreOptions {
    /// The values here win over those in `below`.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            keep: self.keep.or(below.keep),
            size: self.size.or(below.size),
        }
    }

    pub(super) fn settle(self) -> StoreSettings {
        let default = StoreSettings::default();
        StoreSettings {
            keep: self.keep.map_or(default.keep, Length::duration),
            size: self.size.map_or(default.size, |size| size.0),
            ..default
        }
    }
}

impl DnsOptions {
    /// The values here win over those in `below`.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            keep: self.keep.or(below.keep),
            answers: self.answers.or(below.answers),
        }
    }

    pub(super) fn settle(self) -> AnswerSettings {
        let default = AnswerSettings::default();
        let keep = self.keep.map(Length::duration);
        let keep = keep.and_then(|keep| SignedDuration::try_from(keep).ok());
        AnswerSettings {
            keep: keep.unwrap_or(default.keep),
            answers: self.answers.map_or(default.answers, |answers| answers.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Options;

    #[test]
    fn what_is_not_set_has_its_default() {
        let settings = Options::parse("store: {keep: 7d}\ndns: {answers: 100}\n");
        let settings = settings.unwrap().settle();
        assert_eq!(settings.store.keep.as_secs(), 7 * 86_400);
        assert_eq!(settings.store.size, 200 << 20);
        assert_eq!(settings.dns.keep.as_hours(), 24);
        assert_eq!(settings.dns.answers, 100);
    }

    #[test]
    fn a_value_beyond_a_bound_is_an_error_with_the_bound() {
        for (text, expected) in [
            ("store: {size: 1MiB}", "at least 4MiB"),
            ("store: {size: much}", "a size such as 200MiB"),
            ("store: {keep: soon}", "a time such as 7d"),
            ("dns: {answers: 0}", "a number from 1 to 1000000"),
            ("dns: {size: 1MiB}", "unknown field `size`"),
        ] {
            let error = Options::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
