//! Builds a table from rows in any order.

use std::{
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Entry, Family, Ranges, Size, Table, flatten::Flattener, sort::Sorter, values::ValueWriter,
};
use crate::{
    address::{Address, Destination, Interval},
    data::facts::Facts,
};

/// Maximum number of rows. The whole routing table of both families has fewer than 1.5
/// million.
const MAX_ROWS: u64 = 4_000_000;

/// The reason why a table cannot be built.
#[derive(Debug, thiserror::Error)]
pub(in crate::data) enum BuildError {
    /// Writing the file of the table failed.
    #[error("write the look-up table: {0}")]
    Io(#[from] io::Error),
    /// There are more rows than the limit.
    #[error("it has more than {limit} rows with addresses")]
    Rows {
        /// Maximum number of rows.
        limit: u64,
    },
    /// The values are larger than the limit.
    #[error("its names and countries have more than 128 MiB")]
    Large,
    /// Ranges are nested more deeply than the limit.
    #[error("more than {limit} of its ranges contain the same address")]
    Nested {
        /// Maximum number of ranges around one address.
        limit: usize,
    },
}

/// Collects rows.
pub(in crate::data) struct Builder {
    directory: PathBuf,
    ipv4: Sorter,
    ipv6: Sorter,
    values: ValueWriter,
    size: Size,
}

impl Builder {
    /// Begins a table. Its files are temporary, in `directory`, and have no name.
    pub(in crate::data) fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            ipv4: Sorter::new(Family::Ipv4, directory),
            ipv6: Sorter::new(Family::Ipv6, directory),
            values: ValueWriter::new(directory)?,
            size: Size::default(),
        })
    }

    /// Adds a row.
    pub(in crate::data) fn add(
        &mut self,
        addresses: Destination,
        facts: &Facts,
    ) -> Result<(), BuildError> {
        if self.size.ipv4_rows + self.size.ipv6_rows == MAX_ROWS {
            return Err(BuildError::Rows { limit: MAX_ROWS });
        }
        let value = self.values.store(facts)?;
        match addresses {
            Destination::Ipv4(interval) => {
                self.size.ipv4_rows += 1;
                self.ipv4.add(entry(interval, value))?;
            }
            Destination::Ipv6(interval) => {
                self.size.ipv6_rows += 1;
                self.ipv6.add(entry(interval, value))?;
            }
        }
        Ok(())
    }

    /// Returns the number of rows so far.
    pub(in crate::data) const fn rows(&self) -> u64 {
        self.size.ipv4_rows + self.size.ipv6_rows
    }

    /// Sorts the rows, and writes the table.
    pub(in crate::data) fn finish(self) -> Result<Table, BuildError> {
        let mut size = self.size;
        let (ipv4, addresses, contradictions) = write(self.ipv4, Family::Ipv4, &self.directory)?;
        size.ipv4_addresses = addresses;
        size.contradictions = contradictions;
        let (ipv6, addresses, contradictions) = write(self.ipv6, Family::Ipv6, &self.directory)?;
        size.ipv6_addresses = addresses;
        size.contradictions += contradictions;
        Ok(Table {
            ipv4,
            ipv6,
            values: self.values.finish()?,
            size,
        })
    }
}

fn entry<A: Address>(interval: Interval<A>, value: u32) -> Entry {
    Entry {
        first: interval.first().to_number(),
        last: interval.last().to_number(),
        value,
    }
}

/// Writes the records of one family. Returns them with the number of different addresses
/// and of contradictions.
fn write(
    sorter: Sorter,
    family: Family,
    directory: &Path,
) -> Result<(Ranges, u128, u64), BuildError> {
    let mut file = BufWriter::new(tempfile::tempfile_in(directory)?);
    let mut pages = Vec::new();
    let mut count = 0;
    let mut addresses = 0_u128;
    let mut record = Vec::with_capacity(family.record());
    let mut put = |part: Entry| -> Result<(), BuildError> {
        if count % family.page() == 0 {
            pages.push(part.first);
        }
        count += 1;
        let size = (part.last - part.first).saturating_add(1);
        addresses = addresses.saturating_add(size);
        record.clear();
        part.write(family, &mut record);
        file.write_all(&record)?;
        Ok(())
    };
    let mut ordered = sorter.finish();
    let mut flattener = Flattener::new();
    while let Some(entry) = ordered.next()? {
        flattener.add(entry, &mut put)?;
    }
    let contradictions = flattener.finish(&mut put)?;
    pages.shrink_to_fit();
    let ranges = Ranges {
        family,
        records: file.into_inner().map_err(io::IntoInnerError::into_error)?,
        count,
        pages,
    };
    Ok((ranges, addresses, contradictions))
}
