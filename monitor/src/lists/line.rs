//! The content of one line of a list, and the errors of reading it.

use std::net::Ipv4Addr;

use super::Country;
use crate::{
    address::{Destination, InvalidDestination},
    quoted::quoted,
};

/// Maximum length of a line in bytes. The longest lines of published lists have fewer
/// than 1000.
pub const MAX_LINE: usize = 8 * 1024;

/// The content of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The line is blank, a comment, or describes the list itself.
    Nothing,
    /// The line has addresses, but the selection does not include it.
    LeftOut,
    /// The line has these addresses.
    Destination(Destination),
    /// The line has these addresses, and options that mean nothing to this filter, such
    /// as a timeout.
    WithOptions(Destination),
}

impl Line {
    /// Returns `destination` if it is `wanted`, otherwise [`Line::LeftOut`].
    pub(super) fn new(destination: Destination, wanted: bool) -> Self {
        if wanted {
            Self::Destination(destination)
        } else {
            Self::LeftOut
        }
    }

    /// Returns `destination`, and whether it has options that mean nothing to this filter.
    pub(super) fn with_options(destination: Destination, has_options: bool) -> Self {
        if has_options {
            Self::WithOptions(destination)
        } else {
            Self::Destination(destination)
        }
    }
}

/// The reason why a line cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLine {
    /// The text in the place of a destination is not one.
    #[error(transparent)]
    Destination(#[from] InvalidDestination),
    /// A line of a score list has no number after the destination.
    #[error("`{text}` has no score after its destination")]
    NoScore {
        /// The line.
        text: String,
    },
    /// The text in the place of a score is not a number.
    #[error("`{text}` is not a score")]
    Score {
        /// The text in the line.
        text: String,
    },
    /// The line is not JSON.
    #[error("this line is not a JSON object: {}", quoted(&.0.to_string()))]
    Json(serde_json::Error),
    /// The JSON object names no network.
    #[error("this JSON object has no `cidr`")]
    NoCidr,
    /// The line does not have the parts that the format needs.
    #[error("this line is not `{pattern}`")]
    Pattern {
        /// The form of a line in this format.
        pattern: &'static str,
    },
    /// The text in the place of an address is not a decimal number of at most 128 bits.
    #[error("`{text}` is not the number of an address")]
    Number {
        /// The text in the line.
        text: String,
    },
    /// The text is not an IPv4 address as eMule writes it.
    #[error("`{text}` is not an IPv4 address in decimal")]
    Decimal {
        /// The text in the line.
        text: String,
    },
    /// The last address of the range is smaller than the first.
    #[error("the range ends before it starts")]
    Backwards,
    /// The text in the place of a country code is not one.
    #[error("`{text}` is not a country code, so the lines of `{country}` cannot be found")]
    Country {
        /// The text in the line.
        text: String,
        /// The country in the selection.
        country: Country,
    },
    /// The text in the place of an AS number is not one.
    #[error(
        "`{text}` is not the number of an autonomous system, so the lines of AS{asn} cannot be found"
    )]
    Asn {
        /// The text in the line.
        text: String,
        /// The AS number in the selection.
        asn: u32,
    },
    /// The line is longer than the limit.
    #[error("this line has {bytes} bytes, but a line of a list may have at most {MAX_LINE}")]
    TooLong {
        /// Length of the line in bytes.
        bytes: usize,
    },
    /// The entry also names a port, a protocol, an interface or another value.
    #[error("`{text}` is more than an address: used alone, the address would cover too much")]
    MoreThanAddress {
        /// The entry.
        text: String,
    },
    /// A brace is open at the end of the text.
    #[error("the brace of this line is never closed: the end of the list may be missing")]
    NotClosed,
    /// The element is a variable or another set.
    #[error("`{text}` stands for other addresses, which are not in this place")]
    Variable {
        /// The name.
        text: String,
    },
    /// The line is an exception, such as `nomatch` or `deny`.
    #[error("this line is an exception (`{word}`): the other lines alone would cover too much")]
    Exception {
        /// The word that makes it an exception.
        word: &'static str,
    },
    /// A `*` stands in another place than the last octets.
    #[error("`{text}` is not a network: `*` may only stand for the last octets, as in `192.0.2.*`")]
    Stars {
        /// The text in the line.
        text: String,
    },
    /// The mask has zeros before ones, so it may be a wildcard mask of an access list.
    #[error(
        "`{mask}` may be the wildcard mask of an access list, which means the opposite of a netmask"
    )]
    WildcardMask {
        /// The mask.
        mask: Ipv4Addr,
    },
    /// The mask is neither a netmask nor a wildcard mask.
    #[error("`{mask}` is not a netmask: its ones are not all before its zeros")]
    Mask {
        /// The mask.
        mask: Ipv4Addr,
    },
    /// The two columns are a range, or an address and its netmask.
    #[error("these columns may be a range or an address and its netmask")]
    RangeOrNetmask,
    /// The address has a port.
    #[error("`{text}` has a port: used alone, its address would cover every port")]
    Port {
        /// The text in the line.
        text: String,
    },
    /// The line contains an address among text of a form that is not known.
    #[error("this line holds the address `{address}` among other text, and its form is not known")]
    AddressWithin {
        /// The first address in the line.
        address: String,
    },
    /// No key of the policy names a column.
    #[error("this is read as a CSV, but no `column` says where its addresses are")]
    NoColumnNamed,
    /// The text has no columns.
    #[error("this is not a CSV: most rows do not have the same number of columns")]
    NoTable,
    /// A quoted field has no end.
    #[error("the quotation mark of this row is never closed")]
    OpenQuote,
    /// The table has no such column.
    #[error("there is no column `{column}`; the table has: {found}")]
    NoColumn {
        /// The column in the policy.
        column: String,
        /// The names of the columns, or their number.
        found: String,
    },
    /// Two columns have the same name.
    #[error("two columns have the name `{column}`")]
    TwoColumns {
        /// The name.
        column: String,
    },
    /// The row is too short.
    #[error("this row has {found} columns, and column {column} is needed")]
    MissingColumn {
        /// The number of the column, counted from 1.
        column: usize,
        /// Number of columns of the row.
        found: usize,
    },
    /// The document is not known, and no path is given.
    #[error("this JSON document is not known, and no `path` says where its addresses are")]
    NoPath,
    /// The value that the path selects is not text.
    #[error("the path selects {what} here, not text with an address")]
    JsonValue {
        /// The kind of the value.
        what: &'static str,
    },
    /// The document is too large for this kind of path.
    #[error("this document is too large for a path with filters, indexes or `..`")]
    TooLargeForPath,
    /// The number of addresses is not a number, is 0, or goes beyond the last address.
    #[error("`{text}` is not a number of addresses that fits after the first")]
    Count {
        /// The text in the line.
        text: String,
    },
}

impl InvalidLine {
    /// Returns the fix.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Destination(error) => error.help(),
            Self::Country { .. } => {
                "use a list with a country code in its third column, or remove `country`".to_owned()
            }
            Self::Asn { .. } => {
                "use a table of ranges or prefixes with the number of their autonomous system"
                    .to_owned()
            }
            Self::TooLong { .. } => "write one destination per line, or remove the line".to_owned(),
            Self::MoreThanAddress { .. } => {
                "remove the line, and write a policy with `services` or `interfaces` for it"
                    .to_owned()
            }
            Self::NotClosed => "fetch or export the list again".to_owned(),
            Self::Variable { .. } => "write its addresses, or remove the line".to_owned(),
            Self::Stars { .. } | Self::Mask { .. } => {
                "write the network as a CIDR, such as `192.0.2.0/24`".to_owned()
            }
            Self::WildcardMask { .. } => {
                "write the network as a CIDR: wildcard `0.0.0.255` is `/24`".to_owned()
            }
            Self::RangeOrNetmask => {
                "write the networks as CIDRs, or the ranges as `first-last`".to_owned()
            }
            Self::Port { .. } => {
                "write `ports: ignore` to use the address with every port, or write a policy with `services`"
                    .to_owned()
            }
            Self::AddressWithin { .. } => {
                "write one CIDR, address or range on each line, or name its column with `column:`"
                    .to_owned()
            }
            Self::Exception { .. } => {
                "remove the line, and write its addresses in `except` of the policy".to_owned()
            }
            Self::NoColumnNamed
            | Self::NoTable
            | Self::NoColumn { .. }
            | Self::TwoColumns { .. }
            | Self::OpenQuote
            | Self::MissingColumn { .. }
            | Self::NoPath
            | Self::JsonValue { .. }
            | Self::TooLargeForPath => self.help_for_place().to_owned(),
            Self::NoScore { .. }
            | Self::Score { .. }
            | Self::Json(_)
            | Self::NoCidr
            | Self::Pattern { .. }
            | Self::Number { .. }
            | Self::Decimal { .. }
            | Self::Backwards
            | Self::Count { .. } => "fix or remove the line, or write another `format`".to_owned(),
        }
    }

    /// Returns the fix of an error in the place where a CSV or a JSON document holds its
    /// addresses.
    const fn help_for_place(&self) -> &'static str {
        match self {
            Self::NoColumnNamed => "write `column:` with the name or the number of a column",
            Self::NoTable => "write another `format`, or remove `column`",
            Self::NoColumn { .. } => {
                "write one of these names, or the number of a column, counted from 1"
            }
            Self::TwoColumns { .. } => "write the number of the column, counted from 1",
            Self::OpenQuote | Self::MissingColumn { .. } => "fix or remove the row",
            Self::NoPath => "write `path:` with a JSONPath, such as `path: '$.prefixes[*].cidr'`",
            Self::JsonValue { .. } => {
                "let the path end at the text: `[*]` for every element, `.NAME` for a member"
            }
            Self::TooLargeForPath => "write a path of names and `[*]` only, or a smaller document",
            _ => "fix or remove the line, or write another `format`",
        }
    }
}

/// Returns a line without white space around it, and an empty text if the whole line is
/// a comment. For formats whose names may contain `#` and `;`.
pub(super) fn whole(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') { "" } else { line }
}
