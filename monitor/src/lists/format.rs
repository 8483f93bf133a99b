//! The formats of lists and their names.

use std::{fmt, str::FromStr};

/// The format of the lines of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// One CIDR, address or range on each line; `#` and `;` begin a comment.
    Plain,
    /// A destination and a number on each line.
    Scores,
    /// Spamhaus' JSON lines.
    SpamhausJson,
    /// PeerGuardian: `name:first-last`.
    PeerGuardian,
    /// eMule: `first - last , level , name`. Numbers are decimal even with leading zeros.
    Emule,
    /// `first,last,…` or `network,…` with addresses, separated by commas or tabs.
    RangeCsv,
    /// `first,last,…` with addresses as decimal numbers.
    NumericCsv,
    /// The delegated file of a regional internet registry.
    Rir,
    /// What `ipset save` writes and `ipset restore` reads.
    IpsetSave,
    /// Sets and `define`s of nftables.
    Nft,
    /// The address lists that `RouterOS` exports.
    Mikrotik,
    /// Prefix lists of Cisco IOS and `FRRouting`.
    Cisco,
    /// Prefix lists of Junos.
    Juniper,
    /// Objects of a routing registry or of whois.
    Rpsl,
    /// A prefix and its origins on each line, as `RouteViews` publishes them.
    Pfx2as,
    /// A CSV or TSV with addresses in a column that the policy names.
    Csv,
    /// JSON documents, with addresses at a path.
    Json,
}

/// Other names that publishers of lists use for a format.
const ALSO: [(&str, Format); 3] = [
    ("netset", Format::Plain),
    ("ipset", Format::Plain),
    ("spamhaus", Format::Plain),
];

impl Format {
    /// Every format.
    pub const ALL: [Self; 17] = [
        Self::Plain,
        Self::Scores,
        Self::SpamhausJson,
        Self::PeerGuardian,
        Self::Emule,
        Self::RangeCsv,
        Self::NumericCsv,
        Self::Rir,
        Self::IpsetSave,
        Self::Nft,
        Self::Mikrotik,
        Self::Cisco,
        Self::Juniper,
        Self::Rpsl,
        Self::Pfx2as,
        Self::Csv,
        Self::Json,
    ];

    /// Returns the name that policies use.
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
            Self::IpsetSave => "ipset-save",
            Self::Nft => "nft",
            Self::Mikrotik => "mikrotik",
            Self::Cisco => "cisco",
            Self::Juniper => "juniper",
            Self::Rpsl => "rpsl",
            Self::Pfx2as => "pfx2as",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// Returns true if `min_score` applies to this format.
    #[must_use]
    pub const fn has_scores(self) -> bool {
        matches!(self, Self::Scores)
    }

    /// Returns true if `country` applies to this format.
    #[must_use]
    pub const fn has_countries(self) -> bool {
        matches!(self, Self::RangeCsv | Self::NumericCsv | Self::Rir)
    }

    /// Returns true if `asn` applies to this format.
    #[must_use]
    pub const fn has_asns(self) -> bool {
        matches!(
            self,
            Self::RangeCsv | Self::NumericCsv | Self::Scores | Self::Rpsl | Self::Pfx2as
        )
    }

    /// Returns true if `set` applies to this format.
    #[must_use]
    pub const fn has_sets(self) -> bool {
        matches!(
            self,
            Self::IpsetSave | Self::Nft | Self::Mikrotik | Self::Cisco | Self::Juniper
        )
    }

    /// Returns the characters that begin a comment within a line.
    #[must_use]
    pub const fn comments(self) -> &'static [char] {
        match self {
            Self::Plain | Self::Scores | Self::Pfx2as => &['#', ';'],
            _ => &[],
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The kind of a list: text in some format, or a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Text in this format.
    Lines(Format),
    /// An MMDB database.
    Database,
}

impl Kind {
    /// Returns the name of the format, or `mmdb`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lines(format) => format.name(),
            Self::Database => "mmdb",
        }
    }

    /// Returns the characters that begin a comment within a line.
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

/// A text is not the name of a format.
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

/// A country code of ISO 3166-1: two letters in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// A text is not a country code.
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
    fn the_name_of_each_format_parses_to_it() {
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
