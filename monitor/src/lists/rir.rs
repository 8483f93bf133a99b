//! Reads the delegated file of a regional internet registry:
//! `registry|country|type|start|value|date|status`. The value is a number of
//! addresses for IPv4 and a prefix length for IPv6.

use std::net::Ipv4Addr;

use super::{
    Key,
    line::{InvalidLine, Line, whole},
    selection::Chooser,
};
use crate::{
    address::{Destination, Interval},
    quoted::quoted,
};

const PATTERN: InvalidLine = InvalidLine::Pattern {
    pattern: "registry|country|ipv4 or ipv6|start|value|date|status",
};

/// A line with addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// The registry, such as `apnic`.
    pub(crate) registry: &'a str,
    /// The country code; empty or `ZZ` if there is none.
    pub(crate) country: &'a str,
    /// The addresses.
    pub(crate) destination: Destination,
    /// The date of the delegation as `yyyymmdd`; empty or zeros if it is not known.
    pub(crate) date: &'a str,
    /// The status, such as `allocated`.
    pub(crate) status: &'a str,
}

impl Record<'_> {
    fn is_delegated(&self) -> bool {
        matches!(self.status, "allocated" | "assigned")
    }
}

pub(super) fn line(text: &str, chooser: &mut Chooser<'_>) -> Result<Line, InvalidLine> {
    let Some(record) = record(text)? else {
        return Ok(Line::Nothing);
    };
    let country = record.country.parse().ok();
    let wanted = record.is_delegated() && chooser.takes(country.map(Key::Country));
    Ok(Line::new(record.destination, wanted))
}

/// Reads a line. Returns `None` for a line without addresses.
pub(crate) fn record(text: &str) -> Result<Option<Record<'_>>, InvalidLine> {
    let text = whole(text);
    if text.is_empty() {
        return Ok(None);
    }
    let fields: Vec<&str> = text.split('|').collect();
    let record = match fields[..] {
        // The version line, the summary lines and the lines of AS numbers.
        [version, _, _, _, _, _, _] if version.starts_with(|c: char| c.is_ascii_digit()) => {
            return Ok(None);
        }
        [_, "*", _, "*", _, "summary"] | [_, _, "asn", _, _, _, _, ..] => return Ok(None),
        [
            registry,
            country,
            kind @ ("ipv4" | "ipv6"),
            start,
            value,
            date,
            status,
            ..,
        ] => Record {
            registry,
            country,
            destination: if kind == "ipv4" {
                ipv4(start, value)?
            } else {
                format!("{start}/{value}").parse()?
            },
            date,
            status,
        },
        [..] => return Err(PATTERN),
    };
    Ok(Some(record))
}

fn ipv4(start: &str, count: &str) -> Result<Destination, InvalidLine> {
    let refused = || InvalidLine::Count {
        text: quoted(count),
    };
    let Ok(first) = start.parse::<Ipv4Addr>() else {
        // The error tells why this is not an address.
        return Ok(start.parse()?);
    };
    let more = count
        .parse::<u32>()
        .ok()
        .and_then(|count| count.checked_sub(1));
    let last = more.and_then(|more| first.to_bits().checked_add(more));
    let last = last.map(Ipv4Addr::from_bits).ok_or_else(refused)?;
    let interval = Interval::new(first, last).ok_or_else(refused)?;
    Ok(Destination::Ipv4(interval))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::Selection;

    fn china(text: &str) -> Result<Line, InvalidLine> {
        let china = Selection {
            keys: [Key::Country("CN".parse().unwrap())].into(),
            ..Selection::default()
        };
        line(text, &mut Chooser::new(&china))
    }

    #[test]
    fn both_families_of_one_country() {
        for (text, range) in [
            (
                "apnic|CN|ipv4|42.62.0.0|32768|20110310|allocated",
                "42.62.0.0/17",
            ),
            (
                "apnic|CN|ipv4|42.62.0.0|768|20110310|assigned",
                "42.62.0.0-42.62.2.255",
            ),
            (
                "apnic|CN|ipv4|255.255.255.0|256|20110310|assigned",
                "255.255.255.0/24",
            ),
            (
                "apnic|CN|ipv6|2001:250::|35|20000426|allocated|A9194AB3",
                "2001:250::/35",
            ),
        ] {
            let range = Line::Destination(range.parse().unwrap());
            assert_eq!(china(text).unwrap(), range, "{text}");
        }
    }

    #[test]
    fn version_summaries_as_numbers_and_comments_have_no_destination() {
        for text in [
            "2|apnic|20210715|69826|19830613|20210714|+1000",
            "2.3|ripencc|1|2|3|4|+0000",
            "apnic|*|ipv4|*|47067|summary",
            "apnic|CN|asn|4538|1|20000426|allocated",
            "#comment",
        ] {
            assert_eq!(china(text).unwrap(), Line::Nothing, "{text}");
        }
    }

    #[test]
    fn other_countries_and_ranges_that_are_not_delegated_are_left_out() {
        for text in [
            "apnic|AU|ipv4|42.62.192.0|16384|20110322|allocated",
            "apnic||ipv4|42.62.192.0|16384||available",
            "apnic|CN|ipv4|42.62.192.0|16384||reserved",
        ] {
            assert_eq!(china(text).unwrap(), Line::LeftOut, "{text}");
        }
    }

    #[test]
    fn wrong_lines_are_refused() {
        for (text, message) in [
            (
                "apnic|CN|ipv4|42.62.0.0|0|1|allocated",
                "`0` is not a number of addresses",
            ),
            (
                "apnic|CN|ipv4|255.255.255.0|257|1|allocated",
                "`257` is not a number of addresses",
            ),
            ("apnic|AU|ipv4|x|256|1|allocated", "is a name"),
            ("apnic|CN|ipv6|2001:250::1|35|1|allocated", "bits set"),
            (
                "apnic|CN|ipv4|42.62.0.0|256",
                "this line is not `registry|country|",
            ),
            ("192.0.2.0/24", "this line is not `registry|country|"),
        ] {
            let error = china(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
