//! Splits a CSV or TSV into rows, whatever separates its columns, and finds its header.

use std::net::IpAddr;

/// Maximum number of columns that are read.
pub(super) const MAX_COLUMNS: usize = 64;

/// Maximum number of bytes of a row, and of lines that a quoted field may span.
const MAX_ROW: usize = 64 * 1024;
const MAX_ROW_LINES: usize = 64;

/// Number of rows by which the separator is found.
const SAMPLE: usize = 64;

/// The characters that may separate columns.
const SEPARATORS: [u8; 4] = *b",;\t|";

/// How the rows of a text are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) separator: u8,
    /// Number of columns of most rows.
    pub(super) columns: usize,
    /// The names of the columns, and the number of the header's line.
    pub(super) header: Option<(Vec<String>, u32)>,
}

/// One row, which may span lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawRow<'a> {
    pub(super) text: &'a str,
    /// Number of its first line, counted from 1.
    pub(super) line: u32,
    /// True if a quoted field has no end.
    pub(super) is_open: bool,
}

impl Dialect {
    /// Finds the dialect of `text`. Returns `None` if most rows do not have the same
    /// number of columns, at least two.
    pub(super) fn of(text: &str) -> Option<Self> {
        let sample: Vec<RawRow<'_>> = rows(text)
            .filter(|row| !is_comment(row.text) && !row.is_open)
            .take(SAMPLE)
            .collect();
        let each = SEPARATORS.into_iter().filter_map(|separator| {
            let (columns, rows) = most_columns(&sample, separator)?;
            let enough = columns >= 2 && 4 * rows >= 3 * sample.len();
            enough.then_some((rows, columns, separator))
        });
        let (_, columns, separator) = each.max_by_key(|(rows, columns, _)| (*rows, *columns))?;
        let mut dialect = Self {
            separator,
            columns,
            header: None,
        };
        dialect.header = dialect.find_header(text);
        Some(dialect)
    }

    /// Returns the header: the first row, or the last comment before the first row. Its
    /// fields are words.
    fn find_header(&self, text: &str) -> Option<(Vec<String>, u32)> {
        let mut fields = Fields::new(self.separator);
        let mut comment = None;
        for row in rows(text) {
            let is_comment = is_comment(row.text);
            let content = row.text.trim().trim_start_matches(['#', ';', ' ']);
            fields.split(content);
            if fields.is_header(self.columns) {
                let names = (0..fields.len())
                    .filter_map(|at| fields.get(at))
                    .map(str::to_owned);
                let header = Some((names.collect(), row.line));
                if !is_comment {
                    return header;
                }
                comment = header;
            } else if !is_comment {
                return comment;
            }
        }
        comment
    }

    /// Returns the names of the columns, or nothing if there is no header.
    pub(super) fn names(&self) -> &[String] {
        self.header.as_ref().map_or(&[], |(names, _)| names)
    }

    /// Returns the word for the separator.
    pub(super) const fn separator_name(&self) -> &'static str {
        match self.separator {
            b',' => "commas",
            b';' => "semicolons",
            b'\t' => "tabs",
            _ => "vertical bars",
        }
    }
}

/// Returns the most frequent number of columns, and the number of rows that have it.
fn most_columns(sample: &[RawRow<'_>], separator: u8) -> Option<(usize, usize)> {
    let mut fields = Fields::new(separator);
    let mut counts = std::collections::BTreeMap::<usize, usize>::new();
    for row in sample {
        fields.split(row.text);
        *counts.entry(fields.len()).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(columns, rows)| (*rows, *columns))
}

/// Returns true for a line that is blank or a comment.
pub(super) fn is_comment(row: &str) -> bool {
    let row = row.trim_start();
    row.is_empty() || row.starts_with('#') || row.starts_with("//")
}

/// The fields of one row.
#[derive(Debug)]
pub(super) struct Fields {
    separator: u8,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Fields {
    pub(super) fn new(separator: u8) -> Self {
        Self {
            separator,
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Splits `row`. A field in quotation marks may contain separators and, doubled,
    /// quotation marks. Columns beyond [`MAX_COLUMNS`] are not stored.
    pub(super) fn split(&mut self, row: &str) {
        let mut rest = row.trim_end_matches(['\r', '\n']).as_bytes();
        self.bytes.clear();
        self.ends.clear();
        while self.ends.len() < MAX_COLUMNS {
            let opened = opening(rest, self.separator);
            let (end, is_quoted) = match opened {
                Some(start) => {
                    rest = &rest[start..];
                    (self.unquote(rest), true)
                }
                None => (0, false),
            };
            let length = rest[end..].iter().position(|byte| *byte == self.separator);
            let length = end + length.unwrap_or(rest.len() - end);
            let text = &rest[end..length];
            // After the second quotation mark, blanks mean nothing.
            if !is_quoted || !text.trim_ascii().is_empty() {
                self.bytes.extend_from_slice(text);
            }
            self.ends.push(self.bytes.len());
            match rest.get(length + 1..) {
                Some(after) => rest = after,
                None => break,
            }
        }
    }

    /// Stores the text up to the second quotation mark, and returns the offset behind it.
    fn unquote(&mut self, text: &[u8]) -> usize {
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            match (byte, text.get(at + 1)) {
                (b'"', Some(b'"')) => at += 1,
                (b'"', _) => return at + 1,
                _ => {}
            }
            self.bytes.push(*byte);
            at += 1;
        }
        at
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns a field without white space around it.
    pub(super) fn get(&self, column: usize) -> Option<&str> {
        let end = *self.ends.get(column)?;
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        let text = std::str::from_utf8(self.bytes.get(start..end)?).ok()?;
        Some(text.trim())
    }

    fn is_header(&self, columns: usize) -> bool {
        let is_word = |field: &str| {
            field.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && family(field).is_none()
                && field.len() <= 64
        };
        self.len() == columns && (0..columns).all(|at| self.get(at).is_some_and(is_word))
    }
}

/// Returns the offset behind the quotation mark with which `field` begins. Blanks may
/// stand before it.
fn opening(field: &[u8], separator: u8) -> Option<usize> {
    let is_blank = |byte: &u8| *byte == b' ' || (*byte == b'\t' && separator != b'\t');
    let start = field.iter().position(|byte| !is_blank(byte))?;
    (field[start] == b'"').then_some(start + 1)
}

/// Returns true for IPv4 and false for IPv6, if `field` is an address, a network or a
/// range. Fast, because it is called for every field of an unknown text.
pub(super) fn family(field: &str) -> Option<bool> {
    let begins = field.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':');
    if !begins || !field.contains(['.', ':']) {
        return None;
    }
    let address = field.split(['/', '-']).next().unwrap_or_default();
    let address: IpAddr = address.trim().parse().ok()?;
    Some(address.is_ipv4())
}

/// Returns the rows of `text`. A row with an open quotation mark continues in the next
/// lines. If it does not end within the limits, or ends within a field, it is its first
/// line alone.
pub(super) fn rows(text: &str) -> impl Iterator<Item = RawRow<'_>> {
    let mut rest = text;
    let mut line = 1_u32;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let first = line_end(rest);
        let (mut end, mut lines) = (first, 1);
        let mut state = Quotes::default();
        if !is_comment(&rest[..end]) {
            state.read(&rest[..end]);
            while state.is_open && end < rest.len() && lines < MAX_ROW_LINES && end < MAX_ROW {
                let next = end + line_end(&rest[end..]);
                state.read(&rest[end..next]);
                (end, lines) = (next, lines + 1);
            }
        }
        let is_open = state.is_open || (lines > 1 && state.is_broken);
        if is_open {
            (end, lines) = (first, 1);
        }
        let row = RawRow {
            text: &rest[..end],
            line,
            is_open,
        };
        rest = &rest[end..];
        line = line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        Some(row)
    })
}

/// The quotation marks of a row. One opens a field only at the field's beginning.
#[derive(Default)]
struct Quotes {
    /// True within a field in quotation marks.
    is_open: bool,
    /// True if a quotation mark ends a field, and more text follows.
    is_broken: bool,
    /// True within a field without quotation marks.
    in_field: bool,
}

impl Quotes {
    /// Reads a line with its line end.
    fn read(&mut self, line: &str) {
        let bytes = line.as_bytes();
        let ends = |byte: &u8| SEPARATORS.contains(byte) || matches!(byte, b'\r' | b'\n');
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' if self.is_open && bytes.get(at + 1) == Some(&b'"') => at += 1,
                b'"' if self.is_open => {
                    let after = bytes[at + 1..].iter().find(|byte| **byte != b' ');
                    self.is_broken |= !after.is_none_or(ends);
                    (self.is_open, self.in_field) = (false, true);
                }
                b'"' if !self.in_field => self.is_open = true,
                _ if self.is_open => {}
                byte if ends(byte) => self.in_field = false,
                b' ' => {}
                _ => self.in_field = true,
            }
            at += 1;
        }
    }
}

/// Returns the length of the first line with its line end.
fn line_end(text: &str) -> usize {
    text.find('\n').map_or(text.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_separator_and_both_places_of_a_header_are_found() {
        for (text, separator, names) in [
            ("a,ip\n1,192.0.2.1\n", b',', Some(["a", "ip"])),
            (
                "# one\n# \"a\";\"ip\"\n\"1\";\"192.0.2.1\"\n",
                b';',
                Some(["a", "ip"]),
            ),
            ("1\t192.0.2.1\n2\t192.0.2.2\n", b'\t', None),
            ("a|ip\nx, y|192.0.2.2\n", b'|', Some(["a", "ip"])),
        ] {
            let dialect = Dialect::of(text).unwrap();
            assert_eq!(
                (dialect.separator, dialect.columns),
                (separator, 2),
                "{text}"
            );
            let header = dialect.header.map(|(names, _)| names);
            assert_eq!(header, names.map(|names| names.map(str::to_owned).to_vec()));
        }
        assert_eq!(Dialect::of("192.0.2.1\n192.0.2.2\n"), None);
        assert_eq!(Dialect::of(""), None);
    }

    #[test]
    fn a_quoted_field_may_span_lines_and_an_open_one_costs_only_its_line() {
        let found = |text| -> Vec<(String, u32, bool)> {
            let each = rows(text).map(|row| (row.text.to_owned(), row.line, row.is_open));
            each.collect()
        };
        let text = "1,\"a\nb\"\n2,c\n";
        assert_eq!(
            found(text),
            [
                ("1,\"a\nb\"\n".to_owned(), 1, false),
                ("2,c\n".to_owned(), 3, false)
            ]
        );
        let open = format!("1,\"a\n{}", "2,c\n".repeat(200));
        let rows = found(&open);
        assert_eq!((rows.len(), rows[0].2, rows[1].2), (201, true, false));
    }

    #[test]
    fn a_quotation_mark_within_a_field_opens_nothing() {
        let text = "5\" disk\t8.8.8.8\n3\" disk\t9.9.9.9\n";
        assert_eq!(rows(text).count(), 2);
        assert!(rows(text).all(|row| !row.is_open));
        // The second mark of this row ends within a field.
        let broken = "\"5 disk\t8.8.8.8\n\"x\t9.9.9.9\n";
        let found: Vec<bool> = rows(broken).map(|row| row.is_open).collect();
        assert_eq!(found, [true, true]);
    }

    #[test]
    fn fields_are_split_at_the_separator_alone() {
        let mut fields = Fields::new(b',');
        for (row, expected) in [
            ("a,\"b,\"\"c\", \"d\" ,", vec!["a", "b,\"c", "d", ""]),
            ("\"\",x", vec!["", "x"]),
            ("a\"b,c", vec!["a\"b", "c"]),
            ("", vec![""]),
        ] {
            fields.split(row);
            let found: Vec<&str> = (0..fields.len()).filter_map(|at| fields.get(at)).collect();
            assert_eq!(found, expected, "{row}");
        }
    }
}
