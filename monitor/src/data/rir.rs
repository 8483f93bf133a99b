//! Reads the delegated file of a regional internet registry, plain or extended:
//! `registry|country|type|start|value|date|status[|…]`.

use jiff::civil::Date;

use super::{
    facts::Facts,
    source::compact_date,
    statement::{CountryMeaning, Status},
};
use crate::{
    address::Destination,
    lists::{InvalidLine, Record, record},
    registry::Registry,
};

/// Returns true if a text looks like a line of a delegated file.
pub(super) fn is_line(text: &str) -> bool {
    text.split('|').count() >= 6
}

/// Returns the addresses of a line and the facts about them. Returns `None` for a line
/// without addresses.
pub(super) fn row(text: &str) -> Result<Option<(Destination, Facts)>, InvalidLine> {
    let Some(Record {
        registry,
        country,
        destination,
        date,
        status,
    }) = record(text)?
    else {
        return Ok(None);
    };
    // `ZZ` is the code for no country.
    let country = country.parse().ok().filter(|_| country != "ZZ");
    let status = Status::ALL.into_iter().find(|known| known.word() == status);
    let facts = Facts {
        registry: Registry::of_file(registry),
        delegated: compact_date(date),
        status,
        country: country.map(|country| (country, CountryMeaning::Delegation)),
        ..Facts::default()
    };
    Ok(Some((destination, facts)))
}

/// Returns the date of the file if `text` is its version line:
/// `version|registry|serial|records|startdate|enddate|UTCoffset`. The end date is the last
/// day that the file covers. Without it, the serial counts if it is a date.
pub(super) fn date(text: &str) -> Option<Date> {
    let fields: Vec<&str> = text.trim().split('|').collect();
    let [version, _, serial, _, _, end, _] = fields[..] else {
        return None;
    };
    let is_version = version.starts_with(|c: char| c.is_ascii_digit());
    let date = compact_date(end).or_else(|| compact_date(serial));
    date.filter(|_| is_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_states_registry_country_date_and_status() {
        let text = "apnic|CN|ipv4|42.62.0.0|32768|20110310|allocated";
        let (addresses, facts) = row(text).unwrap().unwrap();
        assert_eq!(addresses, "42.62.0.0/17".parse().unwrap());
        assert_eq!(facts.registry, Some(Registry::Apnic));
        assert_eq!(facts.delegated, "2011-03-10".parse().ok());
        assert_eq!(facts.status, Some(Status::Allocated));
        let country = ("CN".parse().unwrap(), CountryMeaning::Delegation);
        assert_eq!(facts.country, Some(country));
    }

    #[test]
    fn extended_lines_and_lines_without_a_country_or_date_are_read() {
        for (text, registry, country, delegated) in [
            (
                "ripencc|EU|ipv6|2001:600::|32|19990826|allocated|a-b-c",
                Some(Registry::RipeNcc),
                true,
                true,
            ),
            (
                "arin||ipv4|23.90.0.0|256||reserved|",
                Some(Registry::Arin),
                false,
                false,
            ),
            (
                "lacnic|ZZ|ipv4|24.152.0.0|256|00000000|available|",
                Some(Registry::Lacnic),
                false,
                false,
            ),
            (
                "example|CN|ipv4|1.0.0.0|256|20110310|legacy",
                None,
                true,
                true,
            ),
        ] {
            let (_, facts) = row(text).unwrap().unwrap();
            assert_eq!(facts.registry, registry, "{text}");
            assert_eq!(facts.country.is_some(), country, "{text}");
            assert_eq!(facts.delegated.is_some(), delegated, "{text}");
        }
    }

    #[test]
    fn the_version_line_dates_the_file() {
        for (text, expected) in [
            (
                "2|apnic|20210715|69826|19830613|20210714|+1000",
                Some("2021-07-14"),
            ),
            (
                "2|ripencc|1634252399|1|19830705|20211014|+0200",
                Some("2021-10-14"),
            ),
            (
                "2.3|arin|20210715|1|19700101|00000000|-0500",
                Some("2021-07-15"),
            ),
            ("2|x|1|1|1|1|+0", None),
            ("apnic|CN|ipv4|42.62.0.0|32768|20110310|allocated", None),
            ("", None),
        ] {
            assert_eq!(
                date(text),
                expected.map(|date| date.parse().unwrap()),
                "{text}"
            );
        }
    }
}
