//! A look-up table from addresses to facts, in a temporary file.
//!
//! The file has sorted records of fixed size, one for each range, that do not overlap.
//! The memory holds only the first address of each page of about 4 KiB, so a look-up
//! reads one page and one value.
//!
//! ```text
//! records   first address, last address, place of the value   IPv4: 12 bytes, IPv6: 36
//! values    length (2 bytes), facts                           each stored once
//! ```

mod build;
mod flatten;
mod sort;
mod values;

use std::{fs::File, io, net::IpAddr, os::unix::fs::FileExt as _};

pub(super) use build::{BuildError, Builder};

use self::values::Values;
use super::facts::Facts;

/// Approximate size of a page of records, in bytes.
const PAGE: usize = 4096;

/// A range with the place of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// First address, as a number.
    first: u128,
    /// Last address, as a number.
    last: u128,
    /// Place of the value in the file of values.
    value: u32,
}

/// The family of a table's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// Length of an address in bytes.
    const fn width(self) -> usize {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 16,
        }
    }

    /// Length of a record in bytes.
    const fn record(self) -> usize {
        2 * self.width() + size_of::<u32>()
    }

    /// Number of records in a page.
    const fn page(self) -> usize {
        PAGE / self.record()
    }

    fn of(address: IpAddr) -> (Self, u128) {
        match address {
            IpAddr::V4(address) => (Self::Ipv4, address.to_bits().into()),
            IpAddr::V6(address) => (Self::Ipv6, address.to_bits()),
        }
    }
}

impl Entry {
    fn write(&self, family: Family, to: &mut Vec<u8>) {
        for number in [self.first, self.last] {
            let bytes = number.to_be_bytes();
            to.extend(bytes.iter().skip(bytes.len() - family.width()));
        }
        to.extend(self.value.to_be_bytes());
    }

    /// Reads a record of `family.record()` bytes.
    fn read(family: Family, bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_at_checked(family.width())?;
        let (last, value) = rest.split_at_checked(family.width())?;
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |number: u128, byte| number << 8 | u128::from(*byte))
        };
        Some(Self {
            first: number(first),
            last: number(last),
            value: u32::from_be_bytes(value.try_into().ok()?),
        })
    }
}

/// A look-up table.
#[derive(Debug)]
pub(super) struct Table {
    ipv4: Ranges,
    ipv6: Ranges,
    values: Values,
    size: Size,
}

/// The size of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Number of rows with IPv4 addresses.
    pub(super) ipv4_rows: u64,
    /// Number of rows with IPv6 addresses.
    pub(super) ipv6_rows: u64,
    /// Number of different IPv4 addresses.
    pub(super) ipv4_addresses: u128,
    /// Number of different IPv6 addresses, at most 2^128 - 1.
    pub(super) ipv6_addresses: u128,
    /// Number of rows whose range another row has with other facts. The first row counts.
    pub(super) contradictions: u64,
}

/// The ranges of one family.
#[derive(Debug)]
struct Ranges {
    family: Family,
    records: File,
    /// Number of records.
    count: usize,
    /// First address of the first record of each page.
    pages: Vec<u128>,
}

impl Table {
    /// Returns the facts of the smallest range that contains `address`.
    pub(super) fn find(&self, address: IpAddr) -> io::Result<Option<Facts>> {
        let (family, number) = Family::of(address);
        let ranges = match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        };
        match ranges.find(number)? {
            Some(value) => self.values.read(value).map(Some),
            None => Ok(None),
        }
    }

    pub(super) const fn size(&self) -> Size {
        self.size
    }

    /// Returns the memory and the disk that the table uses, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> (usize, u64) {
        let ranges = [&self.ipv4, &self.ipv6];
        let memory = ranges.map(|ranges| ranges.pages.capacity() * size_of::<u128>());
        let disk = ranges.map(|ranges| (ranges.count * ranges.family.record()) as u64);
        (
            size_of::<Self>() + memory.iter().sum::<usize>(),
            disk.iter().sum::<u64>() + u64::from(self.values.length()),
        )
    }
}

impl Ranges {
    /// Returns the place of the value of the range that contains `number`.
    fn find(&self, number: u128) -> io::Result<Option<u32>> {
        let after = self.pages.partition_point(|first| *first <= number);
        let Some(page) = after.checked_sub(1) else {
            return Ok(None);
        };
        let start = page * self.family.page();
        let count = self.family.page().min(self.count - start);
        let mut bytes = vec![0; count * self.family.record()];
        let offset = (start * self.family.record()) as u64;
        self.records.read_exact_at(&mut bytes, offset)?;
        let records = bytes.chunks_exact(self.family.record());
        let entries: Vec<Entry> = records
            .filter_map(|record| Entry::read(self.family, record))
            .collect();
        let after = entries.partition_point(|entry| entry.first <= number);
        let entry = after.checked_sub(1).and_then(|at| entries.get(at));
        Ok(entry
            .filter(|entry| number <= entry.last)
            .map(|entry| entry.value))
    }
}

#[cfg(test)]
mod tests;
