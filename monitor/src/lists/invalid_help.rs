//! The fixes of lines that cannot be read.

use super::InvalidLine;

impl InvalidLine {
    /// Returns true if the line excludes addresses or limits an entry. Skipping such a
    /// line would make the list cover more than its author meant, so it is never skipped.
    #[must_use]
    pub const fn is_exclusion(&self) -> bool {
        matches!(
            self,
            Self::Exception { .. }
                | Self::Removal { .. }
                | Self::MoreThanAddress { .. }
                | Self::SeveralSets { .. }
                | Self::NoSet { .. }
                | Self::Verdict { .. }
        )
    }

    /// Returns the fix.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Destination(error) => error.help(),
            Self::Country { .. } => {
                "use a list with country codes in this column, or remove `country`".to_owned()
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
            Self::Variable { .. } | Self::Members { .. } | Self::StixPattern | Self::Url { .. } => {
                "write its addresses, or remove the line".to_owned()
            }
            Self::Removal { .. } => {
                "export the list as it is in force, without commands that remove".to_owned()
            }
            Self::SeveralSets { names, .. } => {
                let first = names.first().map_or("NAME", String::as_str);
                format!("write `set: {first}`, or `set: [{}]` for several", names.join(", "))
            }
            Self::NoSet { .. } => "write the name of a set in the file".to_owned(),
            Self::Verdict { .. } | Self::NoRangeNamed | Self::OtherAddress { .. } => {
                "write `column:` with the column of the addresses, and `where:` with the rows to use"
                    .to_owned()
            }
            Self::Stars { .. } | Self::Mask { .. } | Self::LostMask { .. } => {
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
            | Self::NotASet
            | Self::MissingComma
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
