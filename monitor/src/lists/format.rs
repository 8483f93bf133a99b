//! The formats by name.

use std::{fmt, str::FromStr};

/// How the lines of a list are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// A CIDR, address or range; `#` and `;` begin a comment.
    Plain,
    /// A destination and a number.
    Scores,
    /// Spamhaus' JSON lines.
    SpamhausJson,
    /// `name:first-last`.
    PeerGuardian,
    /// `first - last , level , name`, leading zeros decimal.
    Emule,
    /// `first,last,…` or `network,…` with addresses, by commas or tabs.
    RangeCsv,
    /// `first,last,…` with decimal numbers.
    NumericCsv,
    /// A registry's delegated file.
    Rir,
}

/// Names under which a format is also known where lists are published.
const ALSO: [(&str, Format); 3] = [
    ("netset", Format::Plain),
    ("ipset", Format::Plain),
    ("spamhaus", Format::Plain),
];

impl Format {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::Plain,
        Self::Scores,
        Self::SpamhausJson,
        Self::PeerGuardian,
        Self::Emule,
        Self::RangeCsv,
        Self::NumericCsv,
        Self::Rir,
    ];

    /// As a policy names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Scores => "scores",
            Self::SpamhausJson => "spamhaus-json",
            Self::PeerGuardian => "peerguardian",
            Self::Emule => "emule",
            Self::RangeCsv => "range-csv",
            Self::NumericCsv => "numeric-csv",
            Self::Rir => "rir",
        }
    }

    /// Whether `min_score` means something.
    #[must_use]
    pub const fn has_scores(self) -> bool {
        match self {
            Self::Scores => true,
            Self::Plain
            | Self::SpamhausJson
            | Self::PeerGuardian
            | Self::Emule
            | Self::RangeCsv
            | Self::NumericCsv
            | Self::Rir => false,
        }
    }

    /// Whether `country` means something.
    #[must_use]
    pub const fn has_countries(self) -> bool {
        match self {
            Self::RangeCsv | Self::NumericCsv | Self::Rir => true,
            Self::Plain | Self::Scores | Self::SpamhausJson | Self::PeerGuardian | Self::Emule => {
                false
            }
        }
    }

    /// Whether `asn` means something.
    #[must_use]
    pub const fn has_asns(self) -> bool {
        match self {
            Self::RangeCsv | Self::NumericCsv | Self::Scores => true,
            Self::Plain | Self::SpamhausJson | Self::PeerGuardian | Self::Emule | Self::Rir => {
                false
            }
        }
    }

    /// What begins a comment within a line.
    #[must_use]
    pub const fn comments(self) -> &'static [char] {
        match self {
            Self::Plain | Self::Scores => &['#', ';'],
            Self::SpamhausJson
            | Self::PeerGuardian
            | Self::Emule
            | Self::RangeCsv
            | Self::NumericCsv
            | Self::Rir => &[],
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a list is: text in some format, or a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Text.
    Lines(Format),
    /// An MMDB database.
    Database,
}

impl Kind {
    /// A format's name, or `mmdb`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lines(format) => format.name(),
            Self::Database => "mmdb",
        }
    }

    /// What begins a comment within a line.
    #[must_use]
    pub const fn comments(self) -> &'static [char] {
        match self {
            Self::Lines(format) => format.comments(),
            Self::Database => &[],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no list format of this name")]
pub struct InvalidFormat;

impl FromStr for Format {
    type Err = InvalidFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = Self::ALL.map(|format| (format.name(), format));
        let mut names = names.iter().chain(&ALSO);
        let found = names.find(|(name, _)| *name == text);
        found.map(|(_, format)| *format).ok_or(InvalidFormat)
    }
}

/// Two letters of ISO 3166-1; upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// A text that is no country code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a country is two letters, such as CN")]
pub struct InvalidCountry;

impl FromStr for Country {
    type Err = InvalidCountry;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: [u8; 2] = text.as_bytes().try_into().map_err(|_| InvalidCountry)?;
        let letters = bytes.iter().all(u8::is_ascii_alphabetic);
        letters
            .then(|| Self(bytes.map(|byte| byte.to_ascii_uppercase())))
            .ok_or(InvalidCountry)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert_eq!("netset".parse(), Ok(Format::Plain));
        assert_eq!("Plain".parse::<Format>(), Err(InvalidFormat));
    }

    #[test]
    fn a_country_is_two_letters() {
        assert_eq!("cn".parse::<Country>().unwrap().to_string(), "CN");
        for text in ["", "C", "CHN", "C1", "??", "ä"] {
            assert_eq!(text.parse::<Country>(), Err(InvalidCountry), "{text}");
        }
    }
}
