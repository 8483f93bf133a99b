//! Splits a line of a table into fields. Commas or tabs separate them.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// Maximum number of columns that are read. Published tables have all needed columns
/// among these.
const COLUMNS: usize = 16;

/// The fields of one line. It reads each line by itself, so a quoted field cannot
/// continue in the next line.
#[derive(Debug)]
pub(crate) struct Fields {
    commas: Reader,
    tabs: Reader,
    /// The bytes of all fields.
    bytes: Vec<u8>,
    /// Start and end of each field in `bytes`.
    columns: Vec<(usize, usize)>,
}

impl Fields {
    /// Returns a splitter without a line.
    pub(crate) fn new() -> Self {
        let tabs = ReaderBuilder::new().delimiter(b'\t').quoting(false).build();
        Self {
            commas: Reader::new(),
            tabs,
            bytes: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// Splits `line`, and replaces the fields of the line before. If the first
    /// separator is a tab, only tabs separate.
    pub(crate) fn split(&mut self, line: &str) {
        let tab = line.find('\t');
        let is_tabbed = tab.is_some_and(|tab| !line[..tab].contains(','));
        let reader = if is_tabbed {
            &mut self.tabs
        } else {
            &mut self.commas
        };
        reader.reset();
        self.bytes.resize(line.len(), 0);
        let mut ends = [0; COLUMNS];
        let (result, _, written, found) =
            reader.read_record(line.as_bytes(), &mut self.bytes, &mut ends);
        // The line has no line end, so the reader does not report the end of the last
        // field.
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

    /// Returns the number of fields, at most 16.
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Returns a field without white space around it. Returns `None` if there is no such
    /// field, or if it is not UTF-8.
    pub(crate) fn get(&self, column: usize) -> Option<&str> {
        let (start, end) = *self.columns.get(column)?;
        std::str::from_utf8(self.bytes.get(start..end)?)
            .ok()
            .map(str::trim)
    }

    /// Returns every field, or `None` if one is not UTF-8.
    pub(crate) fn all(&self) -> Option<Vec<&str>> {
        (0..self.len()).map(|column| self.get(column)).collect()
    }
}
