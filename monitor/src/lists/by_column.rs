//! Reads the addresses in a column of a CSV, or in the two columns with the ends of
//! ranges.

use std::{collections::BTreeMap, fmt};

use super::{
    InvalidLine, Line, List,
    dialect::{Dialect, Fields, MAX_COLUMNS, family, is_comment, rows},
    header::is_mask,
    numeric_csv, plain,
    selection::Chooser,
    spelling::is_netmask,
};
use crate::{address::Destination, quoted::quoted};

/// A column: its name in the header, or its number, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// The name in the header.
    Name(String),
    /// The number, counted from 1.
    Number(usize),
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.pad(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// The columns of a CSV that hold the addresses, and the rows to use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnSelection {
    /// The column with addresses, networks or ranges, or with the first addresses.
    pub first: Column,
    /// The column with the last addresses, if the two ends are in two columns.
    pub last: Option<Column>,
    /// Values that a row must have, by column.
    pub conditions: BTreeMap<Column, String>,
}

/// The numbers of the columns, counted from 0.
struct Places {
    first: usize,
    last: Option<usize>,
    /// True if the header names a column with netmasks or lengths.
    has_mask: bool,
    conditions: Vec<(usize, String)>,
}

pub(super) fn read(text: &str, chooser: &mut Chooser<'_>, list: &mut List) {
    let Some(wanted) = chooser.selection.columns.as_ref() else {
        list.add(Err(InvalidLine::NoColumnNamed), 1);
        return;
    };
    let Some(dialect) = Dialect::of(text) else {
        list.add(Err(InvalidLine::NoTable), 1);
        return;
    };
    let places = match wanted.places(&dialect) {
        Ok(places) => places,
        Err(error) => {
            let line = dialect.header.as_ref().map_or(1, |(_, line)| *line);
            list.add(Err(error), line);
            return;
        }
    };
    let header = dialect.header.as_ref().map(|(_, line)| *line);
    let mut fields = Fields::new(dialect.separator);
    for row in rows(text) {
        if is_comment(row.text) || header == Some(row.line) {
            continue;
        }
        if row.is_open {
            list.add(Err(InvalidLine::OpenQuote), row.line);
            continue;
        }
        fields.split(row.text);
        // A quotation mark without its second one may have joined rows.
        let is_joined = row.text.trim_end().contains('\n') && fields.len() > dialect.columns;
        let line = if is_joined {
            Err(InvalidLine::OpenQuote)
        } else {
            places.line(&fields, chooser)
        };
        list.add(line, row.line);
    }
}

impl ColumnSelection {
    fn places(&self, dialect: &Dialect) -> Result<Places, InvalidLine> {
        let place = |column: &Column| column.place(dialect);
        let conditions = self.conditions.iter();
        let conditions = conditions.map(|(column, value)| Ok((place(column)?, value.clone())));
        Ok(Places {
            first: place(&self.first)?,
            last: self.last.as_ref().map(place).transpose()?,
            has_mask: dialect.names().iter().any(|name| is_mask(name)),
            conditions: conditions.collect::<Result<_, InvalidLine>>()?,
        })
    }
}

impl Column {
    fn place(&self, dialect: &Dialect) -> Result<usize, InvalidLine> {
        let names = dialect.header.as_ref().map(|(names, _)| names.as_slice());
        let missing = || InvalidLine::NoColumn {
            column: quoted(&self.to_string()),
            found: columns_of(dialect),
        };
        match self {
            Self::Number(number) => {
                let place = number
                    .checked_sub(1)
                    .filter(|place| *place < dialect.columns);
                place.ok_or_else(missing)
            }
            Self::Name(name) => {
                let names = names.ok_or_else(missing)?;
                let mut found = names.iter().enumerate().filter(|(_, found)| *found == name);
                let (place, _) = found.next().ok_or_else(missing)?;
                if found.next().is_some() {
                    let column = quoted(name);
                    return Err(InvalidLine::TwoColumns { column });
                }
                Ok(place)
            }
        }
    }
}

impl Places {
    fn line(&self, fields: &Fields, chooser: &Chooser<'_>) -> Result<Line, InvalidLine> {
        let field = |column: usize| {
            let missing = || InvalidLine::MissingColumn {
                column: column + 1,
                found: fields.len(),
            };
            fields.get(column).ok_or_else(missing)
        };
        for (column, value) in &self.conditions {
            if field(*column)? != value {
                return Ok(Line::LeftOut);
            }
        }
        let first = field(self.first)?;
        let Some(last) = self.last else {
            let mut all = (0..fields.len()).filter_map(|at| fields.get(at));
            let is_alone = !first.contains(['/', '-']) && family(first).is_some();
            if is_alone && (self.has_mask || all.any(is_netmask)) {
                let text = quoted(first);
                return Err(InvalidLine::LostMask { text });
            }
            return plain::entry(first, chooser);
        };
        let last = field(last)?;
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number(first) && is_number(last) {
            return numeric_csv::ends(first, last).map(Line::Destination);
        }
        let text = format!("{first}-{last}");
        Ok(Line::Destination(Destination::range(&text, first, last)?))
    }
}

/// Returns the names of the columns, or how many there are.
fn columns_of(dialect: &Dialect) -> String {
    match &dialect.header {
        Some((names, _)) => {
            let names: Vec<String> = names
                .iter()
                .take(MAX_COLUMNS)
                .map(|name| quoted(name))
                .collect();
            quoted(&names.join(", "))
        }
        None => format!("{} columns without a header", dialect.columns),
    }
}

/// Returns `text` as YAML reads it as text.
pub(super) fn yaml_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_plain);
    let is_value = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if word && !is_value.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::lists::{Format, Selection, read as read_list};

    pub(in crate::lists) const FEED: &str = "# threat feed\n# \"seen\",\"dst_ip\",\"dst_port\",\"c2_status\"\n\
        \"2024-01-01 00:00:01\",\"192.0.2.1\",\"443\",\"online\"\n\
        \"2024-01-01, later\",\"2001:db8::1\",\"80\",\"offline\"\n\
        \"multi\nline\",\"192.0.2.2\",\"80\",\"online\"\n";

    fn parse(text: &str, first: Column, last: Option<Column>, status: Option<&str>) -> List {
        let conditions =
            status.map(|value| (Column::Name("c2_status".to_owned()), value.to_owned()));
        let columns = ColumnSelection {
            first,
            last,
            conditions: conditions.into_iter().collect(),
        };
        let selection = Selection {
            columns: Some(columns),
            ..Selection::default()
        };
        read_list(text, Format::Csv, &selection)
    }

    fn name(text: &str) -> Column {
        Column::Name(text.to_owned())
    }

    #[test]
    fn a_column_is_found_by_name_and_number_and_rows_by_their_values() {
        for column in [name("dst_ip"), Column::Number(2)] {
            let list = parse(FEED, column.clone(), None, None);
            assert_eq!(
                (list.ipv4.len(), list.ipv6.len(), list.bad.count()),
                (2, 1, 0)
            );
            assert_eq!((list.ipv4[1].1, list.ipv6[0].1), (5, 4));
            let online = parse(FEED, column, None, Some("online"));
            assert_eq!(
                (online.ipv4.len(), online.ipv6.len(), online.left_out),
                (2, 0, 1)
            );
        }
    }

    #[test]
    fn every_separator_is_read_with_and_without_a_header() {
        for separator in [",", ";", "\t", "|"] {
            let rows = "a,192.0.2.1,192.0.2.9\nb,2001:db8::,2001:db8::f\n".replace(',', separator);
            let list = parse(&rows, Column::Number(2), Some(Column::Number(3)), None);
            assert_eq!(
                (list.ipv4.len(), list.ipv6.len(), list.bad.count()),
                (1, 1, 0),
                "{separator}"
            );
            let header = format!("{}{rows}", "name,lo,hi\n".replace(',', separator));
            let list = parse(&header, name("lo"), Some(name("hi")), None);
            assert_eq!(
                (list.ipv4.len(), list.ipv6.len(), list.bad.count()),
                (1, 1, 0),
                "{separator}"
            );
        }
        let list = parse(
            "x;16777216;16777471\ny;1;1\n",
            Column::Number(2),
            Some(Column::Number(3)),
            None,
        );
        let range = Destination::Ipv4(list.ipv4[0].0).to_string();
        assert_eq!((range.as_str(), list.ipv4.len()), ("1.0.0.0/24", 2));
    }

    #[test]
    fn wrong_columns_and_rows_are_refused_with_their_line() {
        for (text, column, line, message) in [
            (
                FEED,
                name("ip"),
                2,
                "there is no column `ip`; the table has: seen, dst_ip",
            ),
            (FEED, Column::Number(5), 2, "there is no column `5`"),
            (
                "1,192.0.2.1\n2,192.0.2.2\n",
                name("ip"),
                1,
                "2 columns without a header",
            ),
            ("ip,ip\n192.0.2.1,192.0.2.2\n", name("ip"), 1, "two columns"),
            (
                "a,ip\n1,192.0.2.1\n2\n3,192.0.2.1\n4,192.0.2.1\n",
                name("ip"),
                3,
                "has 1 columns",
            ),
            (
                "a,ip\n1,192.0.2.1\n2,x.example\n",
                name("ip"),
                3,
                "`x.example`",
            ),
            ("192.0.2.1\n", Column::Number(1), 1, "is not a CSV"),
        ] {
            let list = parse(text, column, None, None);
            let (found, error) = &list.bad.first()[0];
            assert_eq!((*found, list.bad.count()), (line, 1), "{text}");
            assert!(error.to_string().contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn a_quotation_mark_within_a_field_loses_no_row() {
        let list = parse(
            "5\" disk\t8.8.8.8\n3\" disk\t9.9.9.9\nx\t7.7.7.7\n",
            Column::Number(2),
            None,
            None,
        );
        assert_eq!((list.ipv4.len(), list.bad.count()), (3, 0));
        let text = "x\t7.7.7.7\n\"5 disk\t8.8.8.8\n\"3\t9.9.9.9\ny\t6.6.6.6\nz\t5.5.5.5\n";
        let list = parse(text, Column::Number(2), None, None);
        assert_eq!((list.ipv4.len(), list.bad.count()), (3, 2));
    }

    #[test]
    fn an_address_whose_netmask_is_in_another_column_is_refused() {
        for text in [
            "a,mask\n45.1.2.0,255.255.255.0\n",
            "a,length\n45.1.2.0,24\n",
            "a,b\n45.1.2.0,255.255.255.0\n",
        ] {
            let list = parse(text, name("a"), None, None);
            let error = list.bad.first()[0].1.to_string();
            assert!(
                list.is_empty() && error.contains("netmask or length"),
                "{text}: {error}"
            );
        }
        let list = parse("a,mask\n45.1.2.0/24,255.255.255.0\n", name("a"), None, None);
        assert_eq!(list.ipv4.len(), 1);
    }
}
