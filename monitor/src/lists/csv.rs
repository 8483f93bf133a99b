//! Rows with two ends of a range and, in the third column, perhaps a country
//! or the number of an autonomous system.

use csv_core::{ReadRecordResult, Reader};

use super::{
    Country, Key,
    line::{InvalidLine, whole},
    selection::Chooser,
};
use crate::quoted::quoted;

/// Columns that mean something here.
const COLUMNS: usize = 3;

/// Reads rows one by one, so that each error has the number of its line: a
/// quoted field does not go on in the next one.
#[derive(Debug)]
pub(super) struct Csv {
    reader: Reader,
    fields: Vec<u8>,
    first_country: Option<Country>,
    several_countries: bool,
}

/// The ends of a range as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) first: &'a str,
    pub(super) last: &'a str,
    /// Whether its country or number is the one that was asked for.
    pub(super) wanted: bool,
}

impl Csv {
    pub(super) fn new() -> Self {
        Self {
            reader: Reader::new(),
            fields: Vec::new(),
            first_country: None,
            several_countries: false,
        }
    }

    /// Whether all was taken, though the rows name more than one country.
    pub(super) fn several_countries(&self) -> bool {
        self.several_countries
    }

    /// The row in `line`; `None` where it is blank or a comment.
    pub(super) fn row(
        &mut self,
        line: &str,
        chooser: &mut Chooser<'_>,
    ) -> Result<Option<Row<'_>>, InvalidLine> {
        let line = whole(line);
        if line.is_empty() {
            return Ok(None);
        }
        let [first, last, third] = self.split(line);
        let wanted = self.is_wanted(third, chooser)?;
        let [Some(first), Some(last)] = [self.field(first), self.field(last)] else {
            let pattern = "first,last,…";
            return Err(InvalidLine::Pattern { pattern });
        };
        Ok(Some(Row {
            first,
            last,
            wanted,
        }))
    }

    /// Where in `self.fields` the first columns are.
    fn split(&mut self, line: &str) -> [Option<(usize, usize)>; COLUMNS] {
        self.reader.reset();
        self.fields.resize(line.len(), 0);
        let mut ends = [0; COLUMNS];
        let (result, _, written, found) =
            self.reader
                .read_record(line.as_bytes(), &mut self.fields, &mut ends);
        // Without a line end, the last field ends with the input only.
        let count = if result == ReadRecordResult::InputEmpty && found < COLUMNS {
            ends[found] = written;
            found + 1
        } else {
            found
        };
        let mut start = 0;
        std::array::from_fn(|column| {
            let field = (column < count).then_some((start, ends[column]));
            start = ends[column];
            field
        })
    }

    fn field(&self, range: Option<(usize, usize)>) -> Option<&str> {
        let (start, end) = range?;
        std::str::from_utf8(&self.fields[start..end])
            .ok()
            .map(str::trim)
    }

    fn is_wanted(
        &mut self,
        column: Option<(usize, usize)>,
        chooser: &mut Chooser<'_>,
    ) -> Result<bool, InvalidLine> {
        let text = self.field(column).unwrap_or_default();
        if let Some(asn) = chooser.selection.asn() {
            return match text.parse() {
                Ok(found) => Ok(chooser.takes(Some(Key::Asn(found)))),
                // What such tables write where nobody announces a range.
                Err(_) if matches!(text, "" | "-") => Ok(false),
                Err(_) => Err(InvalidLine::Asn {
                    text: quoted(text),
                    asn,
                }),
            };
        }
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
            Some(_) if matches!(text, "" | "-" | "??") => Ok(false),
            Some(country) => Err(InvalidLine::Country {
                text: quoted(text),
                country,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::Selection;

    fn row(line: &str) -> Option<(String, String)> {
        let all = Selection::default();
        let mut csv = Csv::new();
        let row = csv.row(line, &mut Chooser::new(&all)).ok().flatten()?;
        Some((row.first.to_owned(), row.last.to_owned()))
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
        let mut csv = Csv::new();
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
        let (mut csv, mut chooser) = (Csv::new(), Chooser::new(&all));
        for (line, several) in [("a,b,CN", false), ("a,b,13335", false), ("a,b,US", true)] {
            csv.row(line, &mut chooser).unwrap();
            assert_eq!(csv.several_countries(), several, "{line}");
        }
    }
}
