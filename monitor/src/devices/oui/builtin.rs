//! The built-in table of vendors. The build script writes it from the crate `oui-data`;
//! `build/vendors.rs` describes its format.

use jiff::civil::{Date, date};

use super::{Vendor, VendorSource, parse::masked};

/// Date on which the version of the crate was published.
pub const DATE: Date = date(2026, 10, 17);

static TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vendors.bin"));

/// Length of each kind of prefix, in bits, and its stored length, in bytes. They have the
/// order of the table.
const LENGTHS: [(u8, usize); 3] = [(24, 3), (28, 4), (36, 5)];

/// Length of the stored offset of a name, in bytes.
const OFFSET: usize = 3;

/// Returns the vendor of a MAC, given as a number, by the longest prefix. The name is
/// empty if the registry names no vendor.
pub(super) fn find(mac: u64) -> Option<Vendor<'static>> {
    let mut rest = TABLE;
    let mut counts = [0; LENGTHS.len()];
    for count in &mut counts {
        let (bytes, after) = rest.split_first_chunk()?;
        *count = u32::from_le_bytes(*bytes) as usize;
        rest = after;
    }
    let mut found = None;
    for ((bits, width), count) in LENGTHS.into_iter().zip(counts) {
        let (records, after) = rest.split_at_checked(count.checked_mul(width + OFFSET)?)?;
        rest = after;
        // The lengths grow, so a later one replaces an earlier one.
        if let Some(offset) = offset(records, width, masked(mac, bits)) {
            found = Some((bits, offset));
        }
    }
    let (bits, offset) = found?;
    let (length, text) = rest.get(offset..)?.split_first()?;
    Some(Vendor {
        name: str::from_utf8(text.get(..usize::from(*length))?).ok()?,
        source: VendorSource::BuiltIn,
        as_of: DATE,
        bits,
    })
}

/// Finds a prefix among records whose prefixes have `width` bytes. Returns the offset of
/// the name.
fn offset(records: &[u8], width: usize, prefix: u64) -> Option<usize> {
    // The high 48 bits of the number are the MAC.
    let bytes = (prefix << 16).to_be_bytes();
    let wanted = bytes.get(..width)?;
    let size = width + OFFSET;
    let (mut low, mut high) = (0, records.len() / size);
    while low < high {
        let middle = low + (high - low) / 2;
        let record = records.get(middle * size..(middle + 1) * size)?;
        let (found, name) = record.split_at_checked(width)?;
        match found.cmp(wanted) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => {
                let [a, b, c] = <[u8; OFFSET]>::try_from(name).ok()?;
                return Some(u32::from_le_bytes([a, b, c, 0]) as usize);
            }
        }
    }
    None
}
