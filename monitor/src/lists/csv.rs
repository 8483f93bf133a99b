//! Reads rows of a CSV. A row has a network or the two ends of a range, and may have
//! a country or an AS number. Commas or tabs separate the columns. The first row may
//! be a header with the names of the columns.

use super::{
    Country, Key,
    fields::Fields,
    header::{Columns, asn, origins},
    line::{InvalidLine, whole},
    selection::Chooser,
    spelling::is_netmask,
    verdict,
};
use crate::{address::Destination, quoted::quoted};

/// A reader of rows. It reads each line by itself, so each error has the right line
/// number.
#[derive(Debug)]
pub(super) struct Csv {
    /// The fields of the current row.
    fields: Fields,
    /// The header, if there is one.
    header: Option<Columns>,
    /// The last comment before the first row, if it names columns.
    comment: Option<(usize, Columns)>,
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
            header: None,
            comment: None,
            at_start: false,
            first_country: None,
            several_countries: false,
        }
    }

    /// Returns true if the selection names no country, but the rows name more than one.
    pub(super) fn several_countries(&self) -> bool {
        self.several_countries
    }

    /// Returns true if a header names the columns.
    pub(super) fn has_header(&self) -> bool {
        self.header.is_some()
    }

    /// Returns the fields of the current row.
    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Parses `line` as a row. Returns `None` if it is blank, a comment or the header.
    pub(super) fn row(
        &mut self,
        line: &str,
        chooser: &mut Chooser<'_>,
    ) -> Result<Option<Row<'_>>, InvalidLine> {
        let content = whole(line);
        if content.is_empty() {
            self.read_comment(line);
            return Ok(None);
        }
        self.fields.split(content);
        if std::mem::take(&mut self.at_start) {
            let header = self.fields.all().as_deref().and_then(Columns::of);
            let is_header = header.is_some();
            let fits = |comment: &(usize, Columns)| comment.0 == self.fields.len();
            let comment = self.comment.take().filter(fits);
            self.header = header.or(comment.map(|(_, columns)| columns));
            if is_header {
                return Ok(None);
            }
        }
        let key = usize::from(!self.is_network()) + 1;
        self.check(key)?;
        let wanted = self.is_wanted(key, chooser)?;
        let pattern = InvalidLine::Pattern {
            pattern: "first,last,…` or `network,…",
        };
        let addresses = self.addresses().ok_or(pattern)?;
        Ok(Some(Row { addresses, wanted }))
    }

    /// Remembers a comment that names columns with addresses, as in `# src_ip,dst_ip`.
    pub(super) fn read_comment(&mut self, line: &str) {
        if !self.at_start {
            return;
        }
        self.fields
            .split(line.trim().trim_start_matches(['#', ' ']));
        let names = self.fields.all();
        let columns = names.as_deref().and_then(Columns::of);
        if let Some(columns) = columns.filter(|columns| columns.names_addresses) {
            self.comment = Some((self.fields.len(), columns));
        }
    }

    /// Refuses a row whose addresses may mean something else than to be listed.
    fn check(&self, key: usize) -> Result<(), InvalidLine> {
        if let Some(header) = &self.header
            && (header.has_verdict || header.network.is_none() && header.range.is_none())
        {
            return Err(InvalidLine::NoRangeNamed);
        }
        let named = self.header.unwrap_or_default();
        let is_name = |at| [named.organisation, named.holder, named.netname].contains(&Some(at));
        let verdict = (0..self.fields.len())
            .filter(|at| !is_name(*at))
            .find_map(|at| {
                let text = self.fields.get(at)?;
                let is_verdict = verdict::is_clear(text) || at == key && verdict::is_possible(text);
                is_verdict.then(|| quoted(text))
            });
        if let Some(text) = verdict {
            return Err(InvalidLine::Verdict { text });
        }
        if !self.is_network() {
            return Ok(());
        }
        let network = self
            .fields
            .get(named.network.unwrap_or(0))
            .unwrap_or_default();
        let mut fields = (0..self.fields.len()).filter_map(|at| self.fields.get(at));
        if !network.contains('/') && (named.has_mask || fields.any(is_netmask)) {
            let text = quoted(network);
            return Err(InvalidLine::LostMask { text });
        }
        let text = self.fields.get(1).unwrap_or_default();
        if self.header.is_none() && !is_key(text) {
            let pattern = "network,AS number` or `network,country";
            return Err(InvalidLine::Pattern { pattern });
        }
        Ok(())
    }

    /// Returns true if one column holds a network. A header that names the columns
    /// decides. Without one, the first column must be a CIDR, and the second must not be
    /// a destination.
    fn is_network(&self) -> bool {
        if let Some(Columns { network, range, .. }) = self.header
            && (network.is_some() || range.is_some())
        {
            return range.is_none();
        }
        let is_cidr = |text: &str| text.contains('/') && text.parse::<Destination>().is_ok();
        let is_other = |text: &str| !text.is_empty() && text.parse::<Destination>().is_err();
        self.fields.get(0).is_some_and(is_cidr) && self.fields.get(1).is_some_and(is_other)
    }

    fn addresses(&self) -> Option<Addresses<'_>> {
        let named = self.header.unwrap_or_default();
        if self.is_network() {
            let column = named.network.unwrap_or(0);
            return self.fields.get(column).map(Addresses::Network);
        }
        let (first, last) = named.range.unwrap_or((0, 1));
        let [first, last] = [self.fields.get(first)?, self.fields.get(last)?];
        Some(Addresses::Range { first, last })
    }

    /// Returns true if the selection includes the row. `key` is the column with the
    /// country or AS number if no header names one.
    fn is_wanted(&mut self, key: usize, chooser: &mut Chooser<'_>) -> Result<bool, InvalidLine> {
        let named = self.header.unwrap_or_default();
        if let Some(wanted) = chooser.selection.asn() {
            let text = self.fields.get(named.asn.unwrap_or(key));
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
        let column = self.country_column(key);
        let text = self.fields.get(column).unwrap_or_default();
        let found = match (&chooser.selection.locations, named.geoname) {
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
            Some(_) => Err(InvalidLine::Country {
                text: quoted(text),
                column: column + 1,
            }),
        }
    }

    /// Returns the column of the country. If the key column has an AS number and no
    /// header names the columns, the country is in the next one (iptoasn.com).
    fn country_column(&self, key: usize) -> usize {
        let named = self.header.unwrap_or_default();
        let column = named.country.or(named.geoname).unwrap_or(key);
        let text = self.fields.get(column).unwrap_or_default();
        if named.country.is_none() && asn(text).is_some() {
            let next = self.fields.get(key + 1).unwrap_or_default();
            if next == "None" || next.parse::<Country>().is_ok() {
                return key + 1;
            }
        }
        column
    }
}

/// Returns true for an AS number, a country code, or what stands for none.
fn is_key(text: &str) -> bool {
    let is_none = matches!(text, "" | "-" | "??" | "None");
    is_none || origins(text).is_some() || text.parse::<Country>().is_ok()
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
        assert!(
            error.contains("column 3 should contain country codes, but contains `13335`"),
            "{error}"
        );
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

    #[test]
    fn rows_that_may_mean_something_else_are_refused() {
        let all = Selection::default();
        for (text, message) in [
            ("45.1.2.0/24,deny\n", "`deny` in this row"),
            ("45.1.2.0/24,CN,allow\n", "`allow` in this row"),
            ("45.1.2.0/24,note\n", "is not `network,AS number`"),
            (
                "network,is_allowed\n45.1.2.0/24,x\n",
                "names neither a network",
            ),
            (
                "network,netmask\n45.1.2.0,255.255.255.0\n",
                "its netmask or length",
            ),
            (
                "network,length,asn\n45.1.2.0,24,1\n",
                "its netmask or length",
            ),
            (
                "network,asn,x\n45.1.2.0,1,255.255.255.0\n",
                "its netmask or length",
            ),
            (
                "src_ip,dst_ip,x\n10.0.0.5,45.1.2.3,y\n",
                "names neither a network",
            ),
            (
                "# src_ip,dst_ip\n45.1.2.3,45.1.2.9\n",
                "names neither a network",
            ),
            ("id,count,ip\n1,2,45.1.2.3\n", "names neither a network"),
        ] {
            for format in [
                crate::lists::Format::RangeCsv,
                crate::lists::Format::NumericCsv,
            ] {
                let list = crate::lists::read(text, format, &all);
                assert!(list.is_empty(), "{text}");
                let error = list.bad.first()[0].1.to_string();
                assert!(error.contains(message), "{text}: {error}");
            }
            let refused = crate::lists::recognise(text);
            assert!(
                !matches!(
                    refused,
                    Ok(crate::lists::Format::RangeCsv | crate::lists::Format::NumericCsv)
                ),
                "{text}: {refused:?}"
            );
        }
    }
}
