//! Reads `first,last,…` with addresses as decimal numbers, up to 128 bits for IPv6.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    csv::{Addresses, Csv, Row},
    dialect::family,
    line::{InvalidLine, Line},
    selection::Chooser,
};
use crate::{
    address::{Destination, Interval},
    quoted::quoted,
};

pub(super) fn line(
    text: &str,
    csv: &mut Csv,
    chooser: &mut Chooser<'_>,
) -> Result<Line, InvalidLine> {
    let Some(Row { addresses, wanted }) = csv.row(text, chooser)? else {
        return Ok(Line::Nothing);
    };
    let (first, last) = match addresses {
        Addresses::Range { first, last } => (first, last),
        Addresses::Network(network) => (network, network),
    };
    let destination = numeric_range(first, last)?;
    // Other numbers, such as times, would be taken for addresses.
    let fields = csv.fields();
    let other = (0..fields.len()).find(|at| fields.get(*at).and_then(family).is_some());
    if let Some(at) = other {
        return Err(InvalidLine::OtherAddress {
            column: at + 1,
            text: quoted(fields.get(at).unwrap_or_default()),
        });
    }
    Ok(Line::new(destination, wanted))
}

/// Parses the two ends of a range, both decimal numbers.
pub(crate) fn numeric_range(first: &str, last: &str) -> Result<Destination, InvalidLine> {
    range(number(first)?, number(last)?).ok_or(InvalidLine::Backwards)
}

/// Returns the range between two addresses as decimal numbers.
pub(super) fn ends(first: &str, last: &str) -> Result<Destination, InvalidLine> {
    range(number(first)?, number(last)?).ok_or(InvalidLine::Backwards)
}

fn number(text: &str) -> Result<u128, InvalidLine> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| InvalidLine::Number { text: quoted(text) })
}

/// Returns the range from `first` to `last`. If both numbers fit in 32 bits, they are
/// IPv4 addresses, because no network uses the IPv6 addresses with such numbers. If
/// both are IPv4-mapped, they are IPv4 addresses too, because some tables write IPv4
/// in this way.
fn range(first: u128, last: u128) -> Option<Destination> {
    let ipv4 = |number: u128| {
        let mapped = || Ipv6Addr::from_bits(number).to_ipv4_mapped();
        u32::try_from(number)
            .map(Ipv4Addr::from_bits)
            .ok()
            .or_else(mapped)
    };
    let one_space = (first > u128::from(u32::MAX)) == (last > u128::from(u32::MAX));
    match (ipv4(first), ipv4(last)) {
        (Some(first), Some(last)) if one_space => Interval::new(first, last).map(Destination::Ipv4),
        _ends => Interval::new(Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last))
            .map(Destination::Ipv6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Line, InvalidLine> {
        let all = crate::lists::Selection::default();
        line(text, &mut Csv::within(), &mut Chooser::new(&all))
    }

    #[test]
    fn numbers_of_both_families_are_read() {
        for (text, range) in [
            ("16777216,16777471,AU", "1.0.0.0/24"),
            ("0,4294967295,??", "0.0.0.0/0"),
            (
                "42540488161975842760550356425300246528,42540488241204005274814694018844196863,6939,x",
                "2001::/32",
            ),
            ("281470698520576,281470698520831", "1.0.0.0/24"),
            ("0,281470681743359", "::-::fffe:ffff:ffff"),
            ("0,340282366920938463463374607431768211455", "::/0"),
        ] {
            let range = Line::Destination(range.parse().unwrap());
            assert_eq!(read(text).unwrap(), range, "{text}");
        }
    }

    #[test]
    fn wrong_numbers_are_refused() {
        for (text, message) in [
            (
                "1700000000,1700000100,45.1.2.3",
                "column 3 holds the address `45.1.2.3`",
            ),
            ("16777471,16777216,AU", "ends before it starts"),
            ("16777216,,AU", "`` is not the number of an address"),
            ("+1,2", "`+1` is not the number of an address"),
            (
                "0,340282366920938463463374607431768211456",
                "is not the number of an address",
            ),
            ("1.0.0.0,1.0.0.255", "`1.0.0.0` is not the number"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
