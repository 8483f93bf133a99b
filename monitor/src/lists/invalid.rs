//! The reasons why a line of a list cannot be read.

use std::net::Ipv4Addr;

use super::MAX_LINE;
use crate::{address::InvalidDestination, quoted::quoted};

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
    #[error("this JSON object has no `cidr` with `sblid` or `rir`")]
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
    #[error("column {column} should contain country codes, but contains `{text}`")]
    Country {
        /// The text in the line.
        text: String,
        /// The number of the column, counted from 1.
        column: usize,
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
    #[error("this line has {bytes} bytes as UTF-8, but may have at most {MAX_LINE}")]
    TooLong {
        /// Length of the line in bytes.
        bytes: usize,
    },
    /// The entry also names a port, a protocol, an interface or another value.
    #[error(
        "`{text}` also names a port or a protocol. A list can only match the address, which would cover more traffic"
    )]
    MoreThanAddress {
        /// The entry.
        text: String,
    },
    /// A brace is open at the end of the text.
    #[error("the brace of this line is never closed: the end of the list may be missing")]
    NotClosed,
    /// The element is a variable or another set.
    #[error("`{text}` is a variable or another set; the list reader does not expand it")]
    Variable {
        /// The name.
        text: String,
    },
    /// The line is an exception, such as `nomatch` or `deny`.
    #[error(
        "`{word}` excludes addresses. A list cannot; without this line the list would cover too much"
    )]
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
    #[error("this line contains the address `{address}` and other text in an unknown form")]
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
    /// The command removes entries that lines before it add.
    #[error(
        "`{text}` removes or changes entries. A list cannot; the lines before it would cover too much"
    )]
    Removal {
        /// The command.
        text: String,
    },
    /// The text has several sets, and the selection names none.
    #[error("this file has several sets: {found}")]
    SeveralSets {
        /// The names, each with its number of entries.
        found: String,
        /// The first names, as YAML writes them.
        names: Vec<String>,
    },
    /// The text has no set with the name in the selection.
    #[error("this file has no set `{name}`; it has: {found}")]
    NoSet {
        /// The name.
        name: String,
        /// The names, each with its number of entries.
        found: String,
    },
    /// A word in the row may turn its meaning around.
    #[error("`{text}` in this row may mean that its addresses are excluded")]
    Verdict {
        /// The word, or the name of its column.
        text: String,
    },
    /// The network has its netmask or length in another column.
    #[error("`{text}` has its netmask or length in another column")]
    LostMask {
        /// The address.
        text: String,
    },
    /// The header of a table names no network and no range.
    #[error("the header of this table names neither a network nor the two ends of a range")]
    NoRangeNamed,
    /// Another column of a table of numbers holds an address.
    #[error("column {column} holds the address `{text}`, so the numbers may be something else")]
    OtherAddress {
        /// The number of the column, counted from 1.
        column: usize,
        /// The address.
        text: String,
    },
    /// The object names other objects and addresses.
    #[error("this `{class}` object names members, which the list reader does not read")]
    Members {
        /// The class of the object.
        class: String,
    },
    /// A STIX pattern compares more than one address.
    #[error("this pattern compares several values; list the addresses one by one")]
    StixPattern,
    /// A field holds a URL.
    #[error("`{text}` is a URL, and this filter matches addresses")]
    Url {
        /// The text.
        text: String,
    },
    /// The statement of nftables is neither a set nor a `define`.
    #[error("nftables lists may contain sets and `define`s only; this is neither")]
    NotASet,
    /// Two elements of a set have no comma between them.
    #[error("a comma is missing after this element")]
    MissingComma,
}
