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

/// Maximum size of the files of a table in bytes, while it is built: values, sorted runs and
/// records.
const MAX_BYTES: u64 = 192 * 1024 * 1024;

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
    /// The table is larger than the limit.
    #[error("its look-up table would have more than {} MiB", MAX_BYTES >> 20)]
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
        let value = self.store(facts)?;
        self.add_stored(addresses, value)
    }

    /// Stores facts. Returns their place.
    pub(in crate::data) fn store(&mut self, facts: &Facts) -> Result<u32, BuildError> {
        self.values.store(facts)
    }

    /// Adds a row with facts that are stored at `value`.
    pub(in crate::data) fn add_stored(
        &mut self,
        addresses: Destination,
        value: u32,
    ) -> Result<(), BuildError> {
        if self.rows() == MAX_ROWS {
            return Err(BuildError::Rows { limit: MAX_ROWS });
        }
        // A row is in a run, and has at least one record.
        if self.bytes() + self.runs() > MAX_BYTES {
            return Err(BuildError::Large);
        }
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

    /// Size of the sorted runs in bytes.
    fn runs(&self) -> u64 {
        let Size {
            ipv4_rows,
            ipv6_rows,
            ..
        } = self.size;
        let record = |family: Family| family.record() as u64;
        ipv4_rows * record(Family::Ipv4) + ipv6_rows * record(Family::Ipv6)
    }

    /// Size of the files so far in bytes, at most.
    fn bytes(&self) -> u64 {
        u64::from(self.values.length()) + self.runs()
    }

    /// Sorts the rows, and writes the table.
    pub(in crate::data) fn finish(self) -> Result<Table, BuildError> {
        let mut size = self.size;
        let room = &mut MAX_BYTES.saturating_sub(self.bytes());
        let directory = &self.directory;
        let (ipv4, addresses, contradictions) = write(self.ipv4, Family::Ipv4, directory, room)?;
        size.ipv4_addresses = addresses;
        size.contradictions = contradictions;
        let (ipv6, addresses, contradictions) = write(self.ipv6, Family::Ipv6, directory, room)?;
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

/// Writes the records of one family, at most `room` bytes. Returns them with the number of different addresses
/// and of contradictions.
fn write(
    sorter: Sorter,
    family: Family,
    directory: &Path,
    room: &mut u64,
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
        *room = room
            .checked_sub(record.len() as u64)
            .ok_or(BuildError::Large)?;
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
