//! Reads one data file or feed into a look-up table.

use std::{
    io::{self, Read},
    net::IpAddr,
    path::Path,
};

use jiff::civil::Date;

use super::{
    facts::Facts,
    input::{Input, MAX_BINARY},
    mapped::Mapped,
    mmdb::{self, MmdbError},
    prefixes::Rows,
    rir,
    source::{AsOf, Source, SourceKind, date_in},
    statement::Statements,
    table::{BuildError, Builder, Size, Table},
};
use crate::{
    address::Destination,
    lists::{InvalidLine, MAX_LINE, Refused, is_database, recognise},
};

/// Number of lines at the beginning in which a table may state its date as a comment.
const HEADER_LINES: u64 = 64;

/// If none of the first lines is a row, the file is not a table.
const FIRST_LINES: u64 = 1000;

/// The reason why a data file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The look-up table of the file cannot be written.
    #[error("write the look-up table: {0}")]
    Table(io::Error),
    /// The file is not text, and not an MMDB database either.
    #[error("it is neither text nor an MMDB database")]
    Binary,
    /// The content is binary and larger than the limit for MMDB databases.
    #[error("it is not text, and larger than {} MiB, the limit for an MMDB database", MAX_BINARY >> 20)]
    LargeBinary,
    /// The text is something else than a table.
    #[error("{} (line {})", .0.why, .0.line)]
    Refused(Refused),
    /// The lines are not rows of a table.
    #[error("no line states anything about a range; line {line}: {why}")]
    NoRow {
        /// Line number of the first bad line, counted from 1.
        line: u64,
        /// Its error.
        why: String,
    },
    /// The file has no line with addresses.
    #[error("it contains no row with addresses")]
    Empty,
    /// The table has too many rows, or is too large.
    #[error("{0}")]
    Limit(String),
    /// The MMDB database cannot be used.
    #[error("{0}")]
    Mmdb(String),
}

impl DataError {
    /// Returns true if the same content gives the same error again. With free space on the
    /// disk, for example, another attempt may succeed.
    #[must_use]
    pub fn is_final(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, InvalidData, InvalidInput, UnexpectedEof};
        match self {
            Self::Io(error) => matches!(
                error.kind(),
                FileTooLarge | InvalidData | InvalidInput | UnexpectedEof
            ),
            Self::Table(_) => false,
            Self::Binary
            | Self::LargeBinary
            | Self::Refused(_)
            | Self::NoRow { .. }
            | Self::Empty
            | Self::Limit(_)
            | Self::Mmdb(_) => true,
        }
    }

    /// Returns the fix.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Io(_) => "check the path, the permissions and the free space",
            Self::Table(_) => "check the free space and the permissions of the state directory",
            Self::Binary | Self::Refused(_) | Self::NoRow { .. } | Self::Empty => {
                "use the delegated file of a registry, an MMDB database, or a table of prefixes or ranges with an AS number or a country"
            }
            Self::LargeBinary => "use a smaller database, such as one of AS numbers or countries",
            Self::Limit(_) => "remove the rows that are not needed",
            Self::Mmdb(_) => {
                "fetch the database again; use one with AS numbers, countries or organisations"
            }
        }
    }
}

impl From<BuildError> for DataError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Io(error) => Self::Table(error),
            other => Self::Limit(other.to_string()),
        }
    }
}

impl From<MmdbError> for DataError {
    fn from(error: MmdbError) -> Self {
        match error {
            MmdbError::Build(error) => error.into(),
            other => Self::Mmdb(crate::quoted::message(other.to_string())),
        }
    }
}

/// A data file that was read.
#[derive(Debug)]
pub struct DataFile {
    source: Source,
    table: Table,
    contents: Contents,
}

/// What a data file contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Number of rows with IPv4 addresses.
    pub ipv4_rows: u64,
    /// Number of rows with IPv6 addresses.
    pub ipv6_rows: u64,
    /// Number of different IPv4 addresses.
    pub ipv4_addresses: u128,
    /// Number of different IPv6 addresses.
    pub ipv6_addresses: u128,
    /// Number of lines that cannot be read.
    pub bad_lines: u64,
    /// Number of rows whose range an earlier row has with other facts. The earlier counts.
    pub contradictions: u64,
}

impl DataFile {
    /// Reads the content of a data file. `name` is its path or URL, `changed` the date to
    /// use if the content states none. The table is a temporary file in `directory`.
    ///
    /// # Errors
    ///
    /// Fails if the content cannot be read, or states nothing about any range.
    pub fn read(
        content: impl Read,
        name: &str,
        changed: Option<AsOf>,
        directory: &Path,
    ) -> Result<Self, DataError> {
        let mut input = Input::new(content)?;
        let mut builder = Builder::new(directory).map_err(BuildError::from)?;
        let (kind, date, bad_lines) = if input.sample().contains(&0) {
            let date = read_database(input, directory, &mut builder)?;
            (SourceKind::Mmdb, date, 0)
        } else {
            let sample = String::from_utf8_lossy(input.sample()).into_owned();
            let mut lines = Lines::new(&sample);
            lines.read(&mut input, &mut builder)?;
            (lines.kind(), lines.date, lines.bad)
        };
        let table = builder.finish()?;
        let of_content = date.map(|date| AsOf {
            date,
            dated_by: super::DatedBy::Content,
        });
        Ok(Self {
            source: Source {
                name: name.into(),
                kind,
                as_of: of_content.or(changed),
            },
            contents: Contents::new(table.size(), bad_lines),
            table,
        })
    }

    /// The source that statements of this file name.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// What the file contains.
    #[must_use]
    pub const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Adds what this file states about `address`. Reads two places of the table's file.
    ///
    /// # Errors
    ///
    /// Fails if the table cannot be read.
    pub fn state(&self, address: IpAddr, statements: &mut Statements) -> io::Result<()> {
        if let Some(facts) = self.table.find(address)? {
            facts.state(&self.source, statements);
        }
        Ok(())
    }
}

impl Contents {
    const fn new(size: Size, bad_lines: u64) -> Self {
        Self {
            ipv4_rows: size.ipv4_rows,
            ipv6_rows: size.ipv6_rows,
            ipv4_addresses: size.ipv4_addresses,
            ipv6_addresses: size.ipv6_addresses,
            bad_lines,
            contradictions: size.contradictions,
        }
    }
}

/// Reads binary content as an MMDB database. Returns its date.
fn read_database(
    input: Input<'_>,
    directory: &Path,
    builder: &mut Builder,
) -> Result<Option<Date>, DataError> {
    let Some(file) = input.spool(directory)? else {
        return Err(DataError::LargeBinary);
    };
    let mapped = Mapped::new(&file)?;
    if !is_database(mapped.bytes()) {
        return Err(DataError::Binary);
    }
    Ok(mmdb::read(mapped.bytes(), builder)?)
}

/// The lines of a text file.
struct Lines<'a> {
    sample: &'a str,
    /// The rows of a table, or `None` if the file is a registry's.
    table: Option<Rows>,
    date: Option<Date>,
    bad: u64,
    first_bad: Option<(u64, InvalidLine)>,
    /// Number of the current line, counted from 1.
    number: u64,
}

impl<'a> Lines<'a> {
    fn new(sample: &'a str) -> Self {
        let is_meaningful = |line: &&str| !line.trim().is_empty() && !line.starts_with(['#', ';']);
        let first = sample.lines().find(is_meaningful);
        let is_registry = first.is_some_and(rir::is_line);
        Self {
            sample,
            table: (!is_registry).then(Rows::new),
            date: None,
            bad: 0,
            first_bad: None,
            number: 0,
        }
    }

    const fn kind(&self) -> SourceKind {
        match self.table {
            Some(_) => SourceKind::Table,
            None => SourceKind::DelegatedFile,
        }
    }

    /// Reads every line into `builder`.
    fn read(&mut self, input: &mut Input<'_>, builder: &mut Builder) -> Result<(), DataError> {
        let mut line = Vec::new();
        while let Some(length) = input.line(&mut line)? {
            self.number += 1;
            match self.row(&line, length) {
                Ok(Some((addresses, facts))) if !facts.is_empty() => {
                    builder.add(addresses, &facts)?;
                }
                Ok(_) => {}
                Err(error) => {
                    self.bad += 1;
                    self.first_bad.get_or_insert((self.number, error));
                }
            }
            if self.number == FIRST_LINES && builder.rows() == 0 && self.bad > 0 {
                return Err(self.nothing());
            }
        }
        if builder.rows() == 0 {
            return Err(self.nothing());
        }
        Ok(())
    }

    fn row(
        &mut self,
        line: &[u8],
        length: usize,
    ) -> Result<Option<(Destination, Facts)>, InvalidLine> {
        if length > MAX_LINE {
            return Err(InvalidLine::TooLong { bytes: length });
        }
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches('\u{feff}');
        let Some(rows) = &mut self.table else {
            self.date = self.date.or_else(|| rir::date(text));
            return rir::row(text);
        };
        let is_comment = text.starts_with(['#', ';']);
        if is_comment && self.date.is_none() && self.number <= HEADER_LINES {
            self.date = date_in(text);
        }
        rows.row(text)
    }

    /// The reason why no line is a row.
    fn nothing(&mut self) -> DataError {
        if let Err(refused) = recognise(self.sample) {
            return DataError::Refused(refused);
        }
        match self.first_bad.take() {
            Some((line, error)) => DataError::NoRow {
                line,
                why: error.to_string(),
            },
            None => DataError::Empty,
        }
    }
}
