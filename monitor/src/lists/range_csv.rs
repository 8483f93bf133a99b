//! Reads `first,last,…` or `network,…` with addresses as text.

use super::{
    csv::{Addresses, Csv, Row},
    line::{InvalidLine, Line},
    selection::Chooser,
    spelling::is_netmask_of,
};
use crate::address::Destination;

pub(super) fn line(
    text: &str,
    csv: &mut Csv,
    chooser: &mut Chooser<'_>,
) -> Result<Line, InvalidLine> {
    let Some(Row { addresses, wanted }) = csv.row(text, chooser)? else {
        return Ok(Line::Nothing);
    };
    let destination = match addresses {
        Addresses::Range { first, last } => {
            if let (Ok(address), Ok(mask)) = (first.parse(), last.parse())
                && is_netmask_of(mask, address)
            {
                return Err(InvalidLine::RangeOrNetmask);
            }
            Destination::range(text.trim(), first, last)?
        }
        Addresses::Network(network) => network.parse()?,
    };
    Ok(Line::new(destination, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Line, InvalidLine> {
        let all = crate::lists::Selection::default();
        line(text, &mut Csv::within(), &mut Chooser::new(&all))
    }

    #[test]
    fn ranges_and_networks_of_both_families_are_read_with_and_without_quotes() {
        for (text, range) in [
            ("1.0.0.0,1.0.0.255,13335,\"Cloudflare, Inc.\"", "1.0.0.0/24"),
            ("\"1.0.0.0\",\"1.0.0.255\"", "1.0.0.0/24"),
            ("2001:db8::,2001:db8::ffff,CN", "2001:db8::/112"),
            ("1.0.0.0\t1.0.0.255\t24\t7\tA, B\tNL", "1.0.0.0/24"),
            ("1.0.0.0/24,13335", "1.0.0.0/24"),
            ("2001:db8::/32\tAS64500\t\"x", "2001:db8::/32"),
        ] {
            let range = Line::Destination(range.parse().unwrap());
            assert_eq!(read(text).unwrap(), range, "{text}");
        }
    }

    #[test]
    fn wrong_ends_are_refused() {
        for (text, message) in [
            ("1.0.0.0,2001:db8::,AU", "starts in one family"),
            ("1.0.0.9,1.0.0.1,AU", "ends before it starts"),
            ("start,end,country", "`start` is a name"),
            ("1.0.0.0/24,1.0.1.0/24", "a CIDR at one end"),
            ("1.0.0.0/24,", "a CIDR at one end"),
            ("001.0.0.0,1.0.0.255,AU", "leading zero"),
            ("1.0.0.0", "this line is not `first,last,…` or `network,…`"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
