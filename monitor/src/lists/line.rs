//! What one line says, in any format.

use super::Country;
use crate::{
    address::{Destination, InvalidDestination},
    quoted::quoted,
};

/// The most bytes of a line. The longest lines of published lists have less
/// than one thousand.
pub const MAX_LINE: usize = 8 * 1024;

/// A line that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Blank, a comment, or about the list itself.
    Nothing,
    /// It names addresses that were not asked for.
    LeftOut,
    /// It names these addresses.
    Destination(Destination),
}

impl Line {
    /// `destination` where it was asked for.
    pub(super) fn new(destination: Destination, wanted: bool) -> Self {
        if wanted {
            Self::Destination(destination)
        } else {
            Self::LeftOut
        }
    }
}

/// Why a line was not understood.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLine {
    /// What it names is no destination.
    #[error(transparent)]
    Destination(#[from] InvalidDestination),
    /// A score list's line without a number after the destination.
    #[error("`{text}` has no score after its destination")]
    NoScore {
        /// The line.
        text: String,
    },
    /// Something else where the score belongs.
    #[error("`{text}` is not a score")]
    Score {
        /// What was written.
        text: String,
    },
    /// Not JSON.
    #[error("this line is not a JSON object: {}", quoted(&.0.to_string()))]
    Json(serde_json::Error),
    /// JSON that names no network.
    #[error("this JSON object has no `cidr`")]
    NoCidr,
    /// Too few parts.
    #[error("this line is not `{pattern}`")]
    Pattern {
        /// What a line of the format looks like.
        pattern: &'static str,
    },
    /// No decimal number of at most 128 bits.
    #[error("`{text}` is not the number of an address")]
    Number {
        /// What was written.
        text: String,
    },
    /// No IPv4 address in eMule's writing.
    #[error("`{text}` is not an IPv4 address in decimal")]
    Decimal {
        /// What was written.
        text: String,
    },
    /// The last address is before the first.
    #[error("the range ends before it starts")]
    Backwards,
    /// Something else where a country belongs.
    #[error("`{text}` is not a country code, so that `{country}` cannot be told from others")]
    Country {
        /// What was written.
        text: String,
        /// The country that was asked for.
        country: Country,
    },
    /// Something else where the number of an autonomous system belongs.
    #[error(
        "`{text}` is not the number of an autonomous system, so that AS{asn} cannot be told from others"
    )]
    Asn {
        /// What was written.
        text: String,
        /// The number that was asked for.
        asn: u32,
    },
    /// Longer than a line of a list may be.
    #[error("this line has {bytes} bytes, and a line of a list has {MAX_LINE} at most")]
    TooLong {
        /// Length of the line.
        bytes: usize,
    },
    /// More addresses than there are.
    #[error("`{text}` is not a number of addresses that fits after the first")]
    Count {
        /// What was written.
        text: String,
    },
}

impl InvalidLine {
    /// How to mend it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Destination(error) => error.help(),
            Self::Country { .. } => {
                "name a list whose third column is a country code, or remove `country`".to_owned()
            }
            Self::Asn { .. } => {
                "name a table of ranges or prefixes with the number of their autonomous system"
                    .to_owned()
            }
            Self::TooLong { .. } => "write one destination per line, or remove the line".to_owned(),
            Self::NoScore { .. }
            | Self::Score { .. }
            | Self::Json(_)
            | Self::NoCidr
            | Self::Pattern { .. }
            | Self::Number { .. }
            | Self::Decimal { .. }
            | Self::Backwards
            | Self::Count { .. } => "mend or remove the line, or write another `format`".to_owned(),
        }
    }
}

/// A line without white space around it; empty where it is a comment. For
/// formats whose names may hold `#` and `;`.
pub(super) fn whole(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') { "" } else { line }
}
