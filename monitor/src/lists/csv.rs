//! Reads rows of a CSV. A row has a network or the two ends of a range, and may have
//! a country or an AS number. Commas or tabs separate the columns. The first row may
//! be a header with the names of the columns.

use super::{
    Country, Key,
    fields::Fields,
    header::{Columns, asn, origins},
    line::{InvalidLine, whole},
    selection::Chooser,
};
use crate::{address::Destination, quoted::quoted};

/// A reader of rows. It reads each line by itself, so each error has the right line
/// number.
#[derive(Debug)]
pub(super) struct Csv {
    /// The fields of the current row.
    fields: Fields,
    /// The columns that the header names.
    named: Columns,
    /// True if the next row may be the header.
    at_start: bool,
    first_country: Option<Country>,
    several_countries: bool,
}

/// The addresses of a row, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addresses<'a> {
    /// The two ends of a range, in two columns.
    Range { first: &'a str, last: &'a str },
    /// A network in one column.
    Network(&'a str),
}

/// A row that is not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) addresses: Addresses<'a>,
    /// True if the selection includes the row's country or AS number.
    pub(super) wanted: bool,
}

impl Csv {
    /// Returns a reader for a whole list, which may begin with a header.
    pub(super) fn new() -> Self {
        Self {
            at_start: true,
            ..Self::within()
        }
    }

    /// Returns a reader for rows after the first, which are never a header.
    pub(super) fn within() -> Self {
        Self {
            fields: Fields::new(),
            named: Columns::default(),
            at_start: false,
            first_country: None,
            several_countries: false,
        }
    }

    /// Returns true if the selection names no country, but the rows name more than one.
    pub(super) fn several_countries(&self) -> bool {
        self.several_countries
    }

    /// Parses `line` as a row. Returns `None` if it is blank, a comment or the header.
    pub(super) fn row(
        &mut self,
        line: &str,
        chooser: &mut Chooser<'_>,
    ) -> Result<Option<Row<'_>>, InvalidLine> {
        let line = whole(line);
        if line.is_empty() {
            return Ok(None);
        }
        self.fields.split(line);
        if std::mem::take(&mut self.at_start)
            && let Some(named) = self.fields.all().as_deref().and_then(Columns::of)
        {
            self.named = named;
            return Ok(None);
        }
        let key = usize::from(!self.is_network()) + 1;
        let wanted = self.is_wanted(key, chooser)?;
        let pattern = InvalidLine::Pattern {
            pattern: "first,last,…` or `network,…",
        };
        let addresses = self.addresses().ok_or(pattern)?;
        Ok(Some(Row { addresses, wanted }))
    }

    /// Returns true if one column holds a network. A header that names the columns
    /// decides. Without one, the first column must be a CIDR, and the second must not be
    /// a destination.
    fn is_network(&self) -> bool {
        let Columns { network, range, .. } = self.named;
        if network.is_some() || range.is_some() {
            return range.is_none();
        }
        let is_cidr = |text: &str| text.contains('/') && text.parse::<Destination>().is_ok();
        let is_key = |text: &str| !text.is_empty() && text.parse::<Destination>().is_err();
        self.fields.get(0).is_some_and(is_cidr) && self.fields.get(1).is_some_and(is_key)
    }

    fn addresses(&self) -> Option<Addresses<'_>> {
        if self.is_network() {
            return self
                .fields
                .get(self.named.network.unwrap_or(0))
                .map(Addresses::Network);
        }
        let (first, last) = self.named.range.unwrap_or((0, 1));
        let [first, last] = [self.fields.get(first)?, self.fields.get(last)?];
        Some(Addresses::Range { first, last })
    }

    /// Returns true if the selection includes the row. `key` is the column with the
    /// country or AS number if no header names one.
    fn is_wanted(&mut self, key: usize, chooser: &mut Chooser<'_>) -> Result<bool, InvalidLine> {
        if let Some(wanted) = chooser.selection.asn() {
            let text = self.fields.get(self.named.asn.unwrap_or(key));
            let text = text.unwrap_or_default();
            return match origins(text) {
                Some(found) => {
                    // Every key is recorded, so all origins are looked up.
                    let taken = found
                        .into_iter()
                        .filter(|asn| chooser.takes(Some(Key::Asn(*asn))));
                    Ok(taken.count() > 0)
                }
                // Tables write this for a range that no autonomous system announces.
                None if matches!(text, "" | "-") => Ok(false),
                None => Err(InvalidLine::Asn {
                    text: quoted(text),
                    asn: wanted,
                }),
            };
        }
        let text = self.country(key);
        let found = match (&chooser.selection.locations, self.named.geoname) {
            (Some(locations), Some(_)) => text
                .parse()
                .ok()
                .and_then(|number| locations.country(number)),
            _ => text.parse::<Country>().ok(),
        };
        match chooser.selection.country() {
            None => {
                let differs = found.is_some_and(|new| {
                    let first = *self.first_country.get_or_insert(new);
                    first != new
                });
                self.several_countries |= differs;
                Ok(true)
            }
            Some(_) if found.is_some() => Ok(chooser.takes(found.map(Key::Country))),
            // Tables write this if the country is not known.
            Some(_) if matches!(text, "" | "-" | "??" | "None") => Ok(false),
            Some(country) => Err(InvalidLine::Country {
                text: quoted(text),
                country,
            }),
        }
    }

    /// Returns the text in the column of the country. If that column has an AS number
    /// and no header names the columns, the country is in the next one (iptoasn.com).
    fn country(&self, key: usize) -> &str {
        let column = self.named.country.or(self.named.geoname);
        let text = self.fields.get(column.unwrap_or(key)).unwrap_or_default();
        if self.named.country.is_none() && asn(text).is_some() {
            let next = self.fields.get(key + 1).unwrap_or_default();
            if next == "None" || next.parse::<Country>().is_ok() {
                return next;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::Selection;

    fn row(line: &str) -> Option<(String, String)> {
        let all = Selection::default();
        let mut csv = Csv::within();
        let row = csv.row(line, &mut Chooser::new(&all)).ok().flatten()?;
        match row.addresses {
            Addresses::Range { first, last } => Some((first.to_owned(), last.to_owned())),
            Addresses::Network(_) => None,
        }
    }

    #[test]
    fn quotes_commas_in_quotes_and_missing_columns() {
        let expected = Some(("a".to_owned(), "b".to_owned()));
        for line in [
            "a,b",
            " a , b ,c\r",
            "\"a\",\"b\"",
            "a,b,1,\"Cloudflare, Inc.\"",
            "a,b,\"say \"\"x\"\", y\",z,z,z",
        ] {
            assert_eq!(row(line), expected, "{line}");
        }
        assert_eq!(row("\"a,b\""), None);
        assert_eq!(row("a"), None);
        assert_eq!(row("# a,b"), None);
    }

    #[test]
    fn one_country_is_taken_and_unknown_ones_are_left_out() {
        let china = Selection {
            keys: [Key::Country("CN".parse().unwrap())].into(),
            ..Selection::default()
        };
        let mut csv = Csv::within();
        let mut chooser = Chooser::new(&china);
        let mut wanted = |line| csv.row(line, &mut chooser).map(|row| row.unwrap().wanted);
        assert!(wanted("a,b,CN").unwrap());
        assert!(wanted("a,b,\"cn\",China").unwrap());
        for line in ["a,b,US", "a,b,??", "a,b,-", "a,b,", "a,b"] {
            assert!(!wanted(line).unwrap(), "{line}");
        }
        let error = wanted("a,b,13335").unwrap_err().to_string();
        assert!(error.contains("`13335` is not a country code"), "{error}");
    }

    #[test]
    fn several_countries_are_noticed_if_the_selection_names_none() {
        let all = Selection::default();
        let (mut csv, mut chooser) = (Csv::within(), Chooser::new(&all));
        for (line, several) in [("a,b,CN", false), ("a,b,13335", false), ("a,b,US", true)] {
            csv.row(line, &mut chooser).unwrap();
            assert_eq!(csv.several_countries(), several, "{line}");
        }
    }
}
