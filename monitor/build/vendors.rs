//! Writes the vendors of the crate `oui-data` as a compact table, which
//! `src/devices/oui/builtin.rs` reads. The table is sorted, has no pointers and no
//! repeated names. The perfect hash table of the crate is 8 times as large, and the
//! loader relocates its pointers in each process.
//!
//! ```text
//! 3 × u32      number of records of each length: 24, 28, 36 bits
//! records      by length, sorted: prefix (3, 4, 5 bytes, big endian), offset of the name (u24)
//! names        each: length in bytes (u8), UTF-8 text
//! ```
//!
//! Numbers are little endian unless stated.

use std::{collections::BTreeMap, fs, io, path::Path};

/// Length of each kind of prefix, as hexadecimal digits and as stored bytes.
const LENGTHS: [(usize, usize); 3] = [(6, 3), (7, 4), (9, 5)];

/// Organisations that are no vendor: the registry holds the block for its parts, or the
/// registry hides the name. Their records have an empty name.
const NO_VENDOR: [&str; 2] = ["IEEE Registration Authority", "Private"];

/// Writes the table to `path`.
pub(crate) fn write(path: &Path) -> io::Result<()> {
    let mut names = Names::default();
    let mut header = Vec::new();
    let mut records = Vec::new();
    for (digits, width) in LENGTHS {
        let of_length = of_length(digits);
        let count = u32::try_from(of_length.len()).map_err(io::Error::other)?;
        header.extend(count.to_le_bytes());
        for (prefix, organization) in of_length {
            let aligned = prefix << (8 * width - 4 * digits);
            records.extend(&aligned.to_be_bytes()[8 - width..]);
            records.extend(&names.offset(&organization)?.to_le_bytes()[..3]);
        }
    }
    fs::write(path, [header, records, names.bytes].concat())
}

/// Returns the records whose prefix has that many digits, sorted by prefix. Leaves out
/// locally administered prefixes: no vendor is shown for such a MAC.
fn of_length(digits: usize) -> BTreeMap<u64, String> {
    let entries = oui_data::OUI_ENTRIES.entries();
    let entries = entries.filter(|(prefix, _)| prefix.len() == digits);
    let numbers = entries.filter_map(|(prefix, record)| {
        let number = u64::from_str_radix(prefix, 16).ok()?;
        let is_local = number >> (4 * digits - 8) & 2 != 0;
        // The crate has line breaks in place of two spaces.
        let words: Vec<&str> = record.organization().split_whitespace().collect();
        let name = words.join(" ");
        let name = if NO_VENDOR.contains(&name.as_str()) {
            String::new()
        } else {
            name
        };
        (!is_local).then_some((number, name))
    });
    numbers.collect()
}

/// The names, each once.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    offsets: BTreeMap<String, u32>,
}

impl Names {
    /// Returns the offset of a name. Adds the name if it is new.
    fn offset(&mut self, name: &str) -> io::Result<u32> {
        if let Some(offset) = self.offsets.get(name) {
            return Ok(*offset);
        }
        let offset = u32::try_from(self.bytes.len()).map_err(io::Error::other)?;
        assert!(offset < 1 << 24, "the offset of a name has 24 bits");
        self.bytes
            .push(u8::try_from(name.len()).map_err(io::Error::other)?);
        self.bytes.extend(name.as_bytes());
        self.offsets.insert(name.to_owned(), offset);
        Ok(offset)
    }
}
