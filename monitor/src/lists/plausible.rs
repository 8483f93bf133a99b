//! Judges whether the first rows of a table without a header are ranges of addresses.
//! Other tables have pairs of addresses or numbers too, such as source and destination, or
//! times.

use super::{
    Description, Format, Reader, Selection, csv::Csv, line::Line, reader, selection::Chooser,
};
use crate::address::{Address, Destination, Interval};

/// Number of rows that are examined.
const SAMPLE: usize = 64;

/// Returns true if the first rows of `text` may be ranges, or if a header says so.
pub(super) fn is_plausible(text: &str, format: Format) -> bool {
    let Reader::Lines(read) = reader(format) else {
        return true;
    };
    let (all, mut csv) = (Selection::default(), Csv::new());
    let mut chooser = Chooser::new(&all);
    let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
    for line in text.lines().take(4 * SAMPLE) {
        match read(line, &mut chooser, &mut csv) {
            Ok(Line::Destination(Destination::Ipv4(interval))) => ipv4.push(interval),
            Ok(Line::Destination(Destination::Ipv6(interval))) => ipv6.push(interval),
            _ => {}
        }
        if ipv4.len() + ipv6.len() >= SAMPLE {
            break;
        }
    }
    if csv.has_header() {
        return true;
    }
    let are_numbers = format == Format::NumericCsv && ipv6.is_empty();
    let is_one_even = ipv4.is_empty() || ipv4.iter().any(|interval| is_even(*interval, 2));
    are_ranges(&mut ipv4) && are_ranges(&mut ipv6) && (!are_numbers || is_one_even)
}

/// Describes a table whose rows are no plausible ranges, and that has no other addresses.
pub(super) fn numbers(format: Format) -> Description {
    Description {
        seen:
            "this is a table whose first two columns may be something else than ranges of addresses"
                .to_owned(),
        keys: vec![format!("format: {format}")],
    }
}

/// Returns true if no range overlaps another or, with odd ends, crosses the border of a /8.
fn are_ranges<A: Address>(intervals: &mut [Interval<A>]) -> bool {
    let shift = A::BITS - 8;
    let crosses = |interval: &Interval<A>| {
        interval.first().to_number() >> shift != interval.last().to_number() >> shift
    };
    if intervals
        .iter()
        .any(|interval| crosses(interval) && !is_even(*interval, 8))
    {
        return false;
    }
    intervals.sort_unstable();
    let overlaps = |pair: &[Interval<A>]| pair[0] != pair[1] && pair[1].first() <= pair[0].last();
    !intervals.windows(2).any(overlaps)
}

/// Returns true if the last `bits` bits are zeros in the first and ones in the last
/// address.
fn is_even<A: Address>(interval: Interval<A>, bits: u32) -> bool {
    let mask = (1 << bits) - 1;
    interval.first().to_number() & mask == 0 && interval.last().to_number() & mask == mask
}

#[cfg(test)]
mod tests {
    use crate::lists::{Format, Why, recognise};

    #[test]
    fn pairs_that_are_no_ranges_are_refused() {
        for text in [
            "10.0.0.5,45.1.2.3,x\n",
            "10.0.0.5,10.0.0.9,x\n10.0.0.6,10.0.0.12,x\n",
            "1700000000,1700000101,x\n1700000001,1700000102,y\n",
            "2001:db8::1,45.1.2.3\n",
        ] {
            match recognise(text) {
                Err(refused) => assert!(matches!(refused.why, Why::Csv(_)), "{text}"),
                Ok(format) => assert!(
                    !matches!(format, Format::RangeCsv | Format::NumericCsv),
                    "{text}"
                ),
            }
        }
        for text in [
            "6.0.0.0,7.255.255.255,US\n",
            "1.0.0.0,1.0.0.255\n1.0.1.0,1.0.3.255\n",
            "0,16777215,ZZ\n16777216,16777471,AU\n",
            "first,last\n10.0.0.5,10.0.0.9\n10.0.0.6,10.0.0.12\n",
        ] {
            assert!(recognise(text).is_ok(), "{text}");
        }
    }
}
