//! Reads tables of prefixes and ranges, separated by commas or tabs:
//!
//! ```text
//! 42.62.0.0/17    23724                                 prefix, AS number
//! 1.0.0.0,1.0.0.255,13335,"Cloudflare, Inc."            range, AS number, organisation
//! 1.0.0.0,1.0.0.255,AU                                  range, country
//! 16777216,16777471,AU                                  the same with decimal numbers
//! 1.0.0.0  1.0.0.255  13335  US  CLOUDFLARENET          range, AS number, its country, name
//! network,autonomous_system_number,autonomous_system_organization    with a header
//! ```

use super::{
    facts::{Facts, clean_name},
    statement::{CountryMeaning, HolderField},
};
use crate::{
    address::Destination,
    lists::{Columns, Country, Fields, InvalidLine, asn, numeric_range},
};

/// Reads the rows of one table.
pub(super) struct Rows {
    fields: Fields,
    named: Columns,
    /// True until a row that is not a comment was read.
    at_start: bool,
}

impl Rows {
    pub(super) fn new() -> Self {
        Self {
            fields: Fields::new(),
            named: Columns::default(),
            at_start: true,
        }
    }

    /// Returns the addresses of a row and the facts about them. Returns `None` for a blank
    /// line, a comment, and the header.
    pub(super) fn row(&mut self, text: &str) -> Result<Option<(Destination, Facts)>, InvalidLine> {
        let text = text.trim();
        if text.is_empty() || text.starts_with(['#', ';']) {
            return Ok(None);
        }
        self.fields.split(text);
        if std::mem::take(&mut self.at_start)
            && let Some(named) = self.fields.all().as_deref().and_then(Columns::of)
        {
            self.named = named;
            return Ok(None);
        }
        let (addresses, after) = self.addresses()?;
        let facts = if self.has_names() {
            self.named_facts()
        } else {
            self.facts(after)
        };
        Ok(Some((addresses, facts)))
    }

    fn has_names(&self) -> bool {
        self.named.network.is_some() || self.named.range.is_some()
    }

    /// Returns the addresses, and the number of the first column after them.
    fn addresses(&self) -> Result<(Destination, usize), InvalidLine> {
        let field = |column| self.fields.get(column).unwrap_or_default();
        if let Some((first, last)) = self.named.range {
            return Ok((range(field(first), field(last))?, 0));
        }
        if let Some(network) = self.named.network {
            return Ok((field(network).parse()?, 0));
        }
        let first = field(0);
        if first.contains('/') {
            return Ok((first.parse()?, 1));
        }
        if self.fields.len() < 3 {
            return Err(InvalidLine::Pattern {
                pattern: "network,AS or country` or `first,last,AS or country",
            });
        }
        Ok((range(first, field(1))?, 2))
    }

    /// Returns the facts of a row in a table with a header.
    fn named_facts(&self) -> Facts {
        let field = |column: Option<usize>| self.fields.get(column?);
        let Columns {
            asn: as_number,
            country,
            organisation,
            holder,
            netname,
            ..
        } = self.named;
        let name = |column, of| Some((field(column).and_then(clean_name)?, of));
        let holder = name(holder, HolderField::Holder);
        let number = field(as_number).and_then(asn);
        Facts {
            asn: number,
            // Without a number it is not known whose name this is.
            organisation: number.and_then(|_| field(organisation).and_then(clean_name)),
            country: field(country).and_then(of_table),
            holder: holder.or_else(|| name(netname, HolderField::Netname)),
            ..Facts::default()
        }
    }

    /// Returns the facts of a row in a table without a header. The first column after the
    /// addresses decides: an AS number or a country.
    fn facts(&self, column: usize) -> Facts {
        let field = |column| self.fields.get(column).unwrap_or_default();
        let Some(number) = asn(field(column)) else {
            return Facts {
                country: of_table(field(column)),
                ..Facts::default()
            };
        };
        // A country between number and name is that of the autonomous system
        // (iptoasn.com). It is not the country of the range.
        let next = field(column + 1);
        let has_country =
            self.fields.len() > column + 2 && (next == "None" || next.parse::<Country>().is_ok());
        let name = if has_country { column + 2 } else { column + 1 };
        Facts {
            asn: Some(number),
            organisation: clean_name(field(name)),
            ..Facts::default()
        }
    }
}

/// Parses the two ends of a range: addresses, or decimal numbers of addresses.
fn range(first: &str, last: &str) -> Result<Destination, InvalidLine> {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !first.is_empty() && is_number(first) && is_number(last) {
        return numeric_range(first, last);
    }
    Ok(Destination::range(&format!("{first}-{last}"), first, last)?)
}

/// Parses a country. Returns `None` for texts such as `??` and `-`, and for `ZZ`.
fn of_table(text: &str) -> Option<(Country, CountryMeaning)> {
    let country = text.parse().ok().filter(|_| text != "ZZ")?;
    Some((country, CountryMeaning::Unstated))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Option<(Destination, Facts)>, InvalidLine> {
        let mut rows = Rows::new();
        let mut last = Ok(None);
        for line in lines {
            last = rows.row(line);
        }
        last
    }

    fn origin(asn: u32, name: Option<&str>) -> Facts {
        Facts {
            asn: Some(asn),
            organisation: name.map(str::to_owned),
            ..Facts::default()
        }
    }

    fn country(code: &str) -> Facts {
        Facts {
            country: of_table(code),
            ..Facts::default()
        }
    }

    #[test]
    fn tables_without_a_header() {
        for (line, range, facts) in [
            ("42.62.0.0/17\t23724", "42.62.0.0/17", origin(23724, None)),
            (
                "2001:db8::/32,AS64500,Example",
                "2001:db8::/32",
                origin(64500, Some("Example")),
            ),
            (
                "1.0.0.0,1.0.0.255,13335,\"Cloudflare, Inc.\"",
                "1.0.0.0/24",
                origin(13335, Some("Cloudflare, Inc.")),
            ),
            (
                "1.0.0.0,1.0.0.255,71,HP",
                "1.0.0.0/24",
                origin(71, Some("HP")),
            ),
            ("1.0.0.0,1.0.0.255,AU", "1.0.0.0/24", country("AU")),
            ("16777216,16777471,AU", "1.0.0.0/24", country("AU")),
            ("1.0.0.0/24,cn", "1.0.0.0/24", country("CN")),
            ("15726992,15726999,??", "0.239.249.144/29", Facts::default()),
            (
                "1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET",
                "1.0.0.0/24",
                origin(13335, Some("CLOUDFLARENET")),
            ),
            (
                "1.0.1.0\t1.0.3.255\t0\tNone\tNot routed",
                "1.0.1.0-1.0.3.255",
                origin(0, Some("Not routed")),
            ),
        ] {
            let expected = (range.parse().unwrap(), facts);
            assert_eq!(read(&[line]).unwrap(), Some(expected), "{line}");
        }
    }

    #[test]
    fn tables_with_a_header() {
        let maxmind = "network,autonomous_system_number,autonomous_system_organization";
        let row = "1.0.0.0/24,13335,\"Cloudflare, Inc.\"";
        let (_, facts) = read(&["# x", maxmind, row]).unwrap().unwrap();
        assert_eq!(facts, origin(13335, Some("Cloudflare, Inc.")));
        let wide = "start_ip,end_ip,country,country_code,asn,as_name,holder";
        let row = "1.0.0.0,1.0.0.255,Australia,AU,AS13335,CF,APNIC Labs";
        let (addresses, facts) = read(&[wide, row]).unwrap().unwrap();
        assert_eq!(addresses, "1.0.0.0/24".parse().unwrap());
        let expected = Facts {
            country: of_table("AU"),
            holder: Some(("APNIC Labs".to_owned(), HolderField::Holder)),
            ..origin(13335, Some("CF"))
        };
        assert_eq!(facts, expected);
        for (row, expected) in [
            ("1.0.0.0/24,LABEL,", ("LABEL", HolderField::Netname)),
            ("1.0.0.0/24,LABEL,Example", ("Example", HolderField::Holder)),
        ] {
            let read = read(&["network,netname,holder", row]).unwrap().unwrap();
            let (name, field) = read.1.holder.unwrap();
            assert_eq!((name.as_str(), field), expected, "{row}");
        }
        let own = read(&["network,organisation", "1.0.0.0/24,Example"]);
        assert!(own.unwrap().unwrap().1.is_empty());
    }

    #[test]
    fn lines_that_are_not_rows_are_refused() {
        for line in [
            "1.0.0.0,1.0.0.255",
            "1.0.0.1/24,1",
            "x,y,1",
            "1.0.0.9,1.0.0.1,1",
            "1,x,1",
            "9,1,AU",
        ] {
            assert!(read(&["1.0.0.0/24,1", line]).is_err(), "{line}");
        }
        for nothing in ["", " ", "# x", "; x"] {
            assert!(read(&[nothing]).unwrap().is_none(), "{nothing}");
        }
    }
}
