//! Rows with a network or the two ends of a range, and perhaps a country or the
//! number of an autonomous system. Commas or tabs separate the columns, and the
//! first row may name them.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{
    Country, Key,
    header::{Columns, asn},
    line::{InvalidLine, whole},
    selection::Chooser,
};
use crate::{address::Destination, quoted::quoted};

/// Columns that are read; published tables have what matters in fewer.
const COLUMNS: usize = 16;

/// Reads rows one by one, so that each error has the number of its line: a
/// quoted field does not go on in the next one.
#[derive(Debug)]
pub(super) struct Csv {
    commas: Reader,
    tabs: Reader,
    fields: Vec<u8>,
    /// Where each column is in `fields`.
    columns: Vec<(usize, usize)>,
    /// What the header says.
    named: Columns,
    /// The next row may be the header.
    at_start: bool,
    first_country: Option<Country>,
    several_countries: bool,
}

/// The addresses of a row as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addresses<'a> {
    /// In two columns.
    Range { first: &'a str, last: &'a str },
    /// In one column.
    Network(&'a str),
}

/// A row that is not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) addresses: Addresses<'a>,
    /// Whether its country or number is the one that was asked for.
    pub(super) wanted: bool,
}

impl Csv {
    /// For a whole list, which may begin with a header.
    pub(super) fn new() -> Self {
        Self {
            at_start: true,
            ..Self::within()
        }
    }

    /// For rows after the first.
    pub(super) fn within() -> Self {
        let tabs = ReaderBuilder::new().delimiter(b'\t').quoting(false).build();
        Self {
            commas: Reader::new(),
            tabs,
            fields: Vec::new(),
            columns: Vec::new(),
            named: Columns::default(),
            at_start: false,
            first_country: None,
            several_countries: false,
        }
    }

    /// Whether all was taken, though the rows name more than one country.
    pub(super) fn several_countries(&self) -> bool {
        self.several_countries
    }

    /// The row in `line`; `None` where it is blank, a comment or the header.
    pub(super) fn row(
        &mut self,
        line: &str,
        chooser: &mut Chooser<'_>,
    ) -> Result<Option<Row<'_>>, InvalidLine> {
        let line = whole(line);
        if line.is_empty() {
            return Ok(None);
        }
        self.split(line);
        if std::mem::take(&mut self.at_start)
            && let Some(named) = self.header()
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

    /// Fills `self.columns`.
    fn split(&mut self, line: &str) {
        let tab = line.find('\t');
        let is_tabbed = tab.is_some_and(|tab| !line[..tab].contains(','));
        let reader = if is_tabbed {
            &mut self.tabs
        } else {
            &mut self.commas
        };
        reader.reset();
        self.fields.resize(line.len(), 0);
        let mut ends = [0; COLUMNS];
        let (result, _, written, found) =
            reader.read_record(line.as_bytes(), &mut self.fields, &mut ends);
        // Without a line end, the last field ends with the input only.
        let count = if result == ReadRecordResult::InputEmpty && found < COLUMNS {
            ends[found] = written;
            found + 1
        } else {
            found
        };
        let mut start = 0;
        self.columns.clear();
        for end in &ends[..count] {
            self.columns.push((start, *end));
            start = *end;
        }
    }

    fn header(&self) -> Option<Columns> {
        let fields: Option<Vec<&str>> = (0..self.columns.len()).map(|at| self.field(at)).collect();
        Columns::of(&fields?)
    }

    /// `None`: there is no such column, or it is not UTF-8.
    fn field(&self, column: usize) -> Option<&str> {
        let (start, end) = *self.columns.get(column)?;
        std::str::from_utf8(&self.fields[start..end])
            .ok()
            .map(str::trim)
    }

    /// Whether one column holds a network: the header says so, or the first
    /// column is a CIDR and the next one is not another destination.
    fn is_network(&self) -> bool {
        let Columns { network, range, .. } = self.named;
        if network.is_some() || range.is_some() {
            return range.is_none();
        }
        let is_cidr = |text: &str| text.contains('/') && text.parse::<Destination>().is_ok();
        let is_key = |text: &str| !text.is_empty() && text.parse::<Destination>().is_err();
        self.field(0).is_some_and(is_cidr) && self.field(1).is_some_and(is_key)
    }

    fn addresses(&self) -> Option<Addresses<'_>> {
        if self.is_network() {
            return self
                .field(self.named.network.unwrap_or(0))
                .map(Addresses::Network);
        }
        let (first, last) = self.named.range.unwrap_or((0, 1));
        let [first, last] = [self.field(first)?, self.field(last)?];
        Some(Addresses::Range { first, last })
    }

    /// `key` is the column that says it where no header does.
    fn is_wanted(&mut self, key: usize, chooser: &mut Chooser<'_>) -> Result<bool, InvalidLine> {
        if let Some(wanted) = chooser.selection.asn() {
            let text = self.field(self.named.asn.unwrap_or(key));
            let text = text.unwrap_or_default();
            return match asn(text) {
                Some(found) => Ok(chooser.takes(Some(Key::Asn(found)))),
                // What such tables write where nobody announces a range.
                None if matches!(text, "" | "-") => Ok(false),
                None => Err(InvalidLine::Asn {
                    text: quoted(text),
                    asn: wanted,
                }),
            };
        }
        let text = self.country(key);
        let found = text.parse::<Country>().ok();
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
            // What such tables write where no country is known.
            Some(_) if matches!(text, "" | "-" | "??" | "None") => Ok(false),
            Some(country) => Err(InvalidLine::Country {
                text: quoted(text),
                country,
            }),
        }
    }

    /// The country, or what stands in its place. Where a number comes first, it
    /// is that of an autonomous system and the country follows (iptoasn.com).
    fn country(&self, key: usize) -> &str {
        let text = self.field(self.named.country.unwrap_or(key));
        let text = text.unwrap_or_default();
        if self.named.country.is_none() && asn(text).is_some() {
            let next = self.field(key + 1).unwrap_or_default();
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
    fn several_countries_are_noticed_where_none_was_asked_for() {
        let all = Selection::default();
        let (mut csv, mut chooser) = (Csv::within(), Chooser::new(&all));
        for (line, several) in [("a,b,CN", false), ("a,b,13335", false), ("a,b,US", true)] {
            csv.row(line, &mut chooser).unwrap();
            assert_eq!(csv.several_countries(), several, "{line}");
        }
    }
}
