//! The vendor of a MAC address, from the operator's files and else from the built-in
//! table. Each answer has the date of its source.
//!
//! A randomised address has no vendor. The registry assigns prefixes of 24, 28 and 36
//! bits; the longest one that covers a MAC decides.

mod builtin;
mod parse;

use std::collections::HashMap;

use jiff::civil::Date;

pub use self::builtin::DATE as BUILTIN_DATE;
use self::parse::Record;
use super::{lines::Skipped, mac};
use crate::policy::MacAddress;

/// Maximum number of files.
pub const MAX_FILES: usize = 8;

/// Maximum number of prefixes of all files. The registry had 59,000 in 2026.
pub const MAX_PREFIXES: usize = 200_000;

/// Maximum length of a vendor's name, in characters. The longest one in the registry had
/// 108 in 2026.
pub const MAX_NAME: usize = 120;

/// The owner of a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// A vendor.
    Vendor(Vendor<'a>),
    /// No source names a vendor, or the registry hides the name.
    Unknown,
    /// The address is locally administered: a device chose it, often at random.
    Randomised,
    /// The address is a group address or all zeros, so it belongs to no device.
    NotADevice,
}

/// The vendor to which the registry assigned a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vendor<'a> {
    /// Its name. A file can contain any text, so the caller escapes it.
    pub name: &'a str,
    /// Where the name is from.
    pub source: VendorSource,
    /// Date of the source.
    pub as_of: Date,
    /// Length of the prefix, in bits.
    pub bits: u8,
}

/// Where the name of a vendor is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VendorSource {
    /// A file of the operator.
    File,
    /// The built-in table, made from the crate `oui-data`.
    BuiltIn,
}

impl VendorSource {
    /// Returns the word of JSON and of the store.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::BuiltIn => "built-in",
        }
    }
}

/// Why a file of vendors is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVendorFile {
    /// No line is valid.
    #[error(
        "no line has a MAC prefix and a vendor{}; give oui.csv, mam.csv, oui36.csv or oui.txt of the IEEE, Wireshark's `manuf` or nmap's `nmap-mac-prefixes`",
        .0.first.first().map(|line| format!(" ({line})")).unwrap_or_default()
    )]
    Empty(Skipped),
    /// There are too many files.
    #[error("there are more than {MAX_FILES} files of vendors; join them")]
    TooManyFiles,
}

/// What was read from a file of vendors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VendorFile {
    /// Number of prefixes.
    pub prefixes: usize,
    /// Number of prefixes beyond [`MAX_PREFIXES`].
    pub not_kept: u64,
    /// Lines that are not valid.
    pub skipped: Skipped,
}

/// The vendors of the operator's files, in front of the built-in table.
#[derive(Clone, Debug, Default)]
pub struct Vendors {
    /// Date of each file.
    files: Vec<Date>,
    /// Sorted by length and prefix, each once.
    prefixes: Vec<Prefix>,
    /// Start and length of each name in `text`.
    names: Vec<(u32, u16)>,
    text: String,
}

#[derive(Clone, Copy, Debug)]
struct Prefix {
    /// The prefix as the high bits of a MAC of 48 bits.
    value: u64,
    bits: u8,
    file: u8,
    name: u32,
}

impl Vendors {
    /// Adds a file of the operator, whose date is `as_of`. The format is recognised: the
    /// CSV and the text of the IEEE, Wireshark's `manuf`, and lines of a prefix and a name
    /// (`nmap-mac-prefixes`, arp-scan). If two files have the same prefix, the newer file
    /// decides.
    pub fn add(&mut self, bytes: &[u8], as_of: Date) -> Result<VendorFile, InvalidVendorFile> {
        if self.files.len() >= MAX_FILES {
            return Err(InvalidVendorFile::TooManyFiles);
        }
        let file = u8::try_from(self.files.len()).unwrap_or(u8::MAX);
        let mut report = VendorFile::default();
        let mut known = HashMap::new();
        let before = self.prefixes.len();
        parse::each_record(bytes, &mut report.skipped, |record| {
            if self.prefixes.len() >= MAX_PREFIXES {
                report.not_kept = report.not_kept.saturating_add(1);
            } else {
                let name = self.name(&record, &mut known);
                self.prefixes.push(Prefix {
                    value: record.value,
                    bits: record.bits,
                    file,
                    name,
                });
            }
        });
        report.prefixes = self.prefixes.len() - before;
        if report.prefixes == 0 && report.not_kept == 0 {
            return Err(InvalidVendorFile::Empty(report.skipped));
        }
        self.files.push(as_of);
        self.sort();
        Ok(report)
    }

    /// Returns the owner of a MAC address.
    #[must_use]
    pub fn owner(&self, address: MacAddress) -> Owner<'_> {
        if !mac::is_device(address) {
            return Owner::NotADevice;
        }
        if mac::is_randomised(address) {
            return Owner::Randomised;
        }
        let number = mac::number(address);
        let found = self.of_files(number).or_else(|| builtin::find(number));
        // An empty name says that the registry names no vendor.
        match found {
            Some(vendor) if !vendor.name.is_empty() => Owner::Vendor(vendor),
            _ => Owner::Unknown,
        }
    }

    /// Returns the vendor in the files, by the longest prefix.
    fn of_files(&self, number: u64) -> Option<Vendor<'_>> {
        let mut lengths = (parse::MIN_BITS..=parse::MAX_BITS).rev();
        let prefix = lengths.find_map(|bits| self.find(number, bits))?;
        let (start, length) = *self.names.get(prefix.name as usize)?;
        let start = start as usize;
        let name = self.text.get(start..start + usize::from(length))?;
        Some(Vendor {
            name,
            source: VendorSource::File,
            as_of: *self.files.get(usize::from(prefix.file))?,
            bits: prefix.bits,
        })
    }

    fn find(&self, number: u64, bits: u8) -> Option<&Prefix> {
        let value = parse::masked(number, bits);
        let key = |prefix: &Prefix| (prefix.bits, prefix.value);
        let index = self
            .prefixes
            .binary_search_by_key(&(bits, value), key)
            .ok()?;
        self.prefixes.get(index)
    }

    /// Returns the index of a record's name. `known` holds the names of this file.
    fn name(&mut self, record: &Record, known: &mut HashMap<String, u32>) -> u32 {
        if let Some(index) = known.get(&record.name) {
            return *index;
        }
        let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        let length = u16::try_from(record.name.len()).unwrap_or(u16::MAX);
        self.names.push((start, length));
        self.text.push_str(&record.name);
        known.insert(record.name.clone(), index);
        index
    }

    /// Sorts the prefixes, and keeps of equal ones the one of the newest file.
    fn sort(&mut self) {
        let files = &self.files;
        let date = |prefix: &Prefix| files.get(usize::from(prefix.file)).copied();
        self.prefixes.sort_by(|a, b| {
            let same = (a.bits, a.value).cmp(&(b.bits, b.value));
            same.then_with(|| (date(b), b.file).cmp(&(date(a), a.file)))
        });
        self.prefixes
            .dedup_by_key(|prefix| (prefix.bits, prefix.value));
    }
}

#[cfg(test)]
mod tests;
