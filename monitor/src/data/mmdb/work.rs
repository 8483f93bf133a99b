//! Bounds the work of decoding the entries of an MMDB database. A few bytes can point to
//! many values, and each of millions of networks can name such an entry.
//!
//! ```text
//! control byte   type (3 bits), size (5 bits)
//! pointer        to another value of the data section
//! map, array     `size` pairs or values
//! other          `size` bytes
//! ```

/// Maximum work for one entry. Real entries have fewer than 200 values.
const MAX_OF_ENTRY: u32 = 4096;

/// Maximum work for all entries of a database.
const MAX_OF_ALL: u32 = 50_000_000;

/// Number of bytes of text that count as one more value.
const BYTES: usize = 64;

/// Maximum number of values around a value.
const MAX_DEPTH: u32 = 32;

/// Number of zero bytes between the search tree and the data section.
const SEPARATOR: usize = 16;

/// The entries of a database are too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::data) enum TooMuchWork {
    /// One entry is too large.
    #[error("an entry of this MMDB database has more than {MAX_OF_ENTRY} values")]
    Entry,
    /// All entries together are too large.
    #[error("the entries of this MMDB database have more than {MAX_OF_ALL} values")]
    All,
}

/// Counts the values that are decoded.
pub(super) struct Work<'a> {
    data: &'a [u8],
    left: u32,
}

impl<'a> Work<'a> {
    /// Begins to count. `file` is the database; its tree has `nodes` nodes of two records of
    /// `record` bits.
    pub(super) fn new(file: &'a [u8], nodes: u32, record: u16) -> Self {
        let tree = (nodes as usize).saturating_mul(usize::from(record) / 4);
        Self {
            data: file
                .get(tree.saturating_add(SEPARATOR)..)
                .unwrap_or_default(),
            left: MAX_OF_ALL,
        }
    }

    /// Counts the entry at `offset` of the data section. For a damaged entry, counts the
    /// values before the damage; decoding it fails.
    pub(super) fn take(&mut self, offset: usize) -> Result<(), TooMuchWork> {
        let mut left = MAX_OF_ENTRY;
        self.walk(offset, 0, &mut left)?;
        let used = MAX_OF_ENTRY - left;
        self.left = self.left.checked_sub(used).ok_or(TooMuchWork::All)?;
        Ok(())
    }

    /// Counts the value at `at` and those in it. Returns the place after it, or `None` if it
    /// is damaged.
    fn walk(&self, at: usize, depth: u32, left: &mut u32) -> Result<Option<usize>, TooMuchWork> {
        if depth > MAX_DEPTH {
            return Err(TooMuchWork::Entry);
        }
        let Some(head) = Head::read(self.data, at) else {
            return Ok(None);
        };
        let (count, bytes) = match head.kind {
            Kind::Pointer(to) => {
                take(left, 1)?;
                let target = self.walk(to, depth + 1, left)?;
                return Ok(target.map(|_| head.end));
            }
            Kind::Values(count) => (count, 0),
            Kind::Bytes(bytes) => (0, bytes),
        };
        take(left, 1 + bytes / BYTES)?;
        let mut end = head.end.saturating_add(bytes);
        for _ in 0..count {
            match self.walk(end, depth + 1, left)? {
                Some(after) => end = after,
                None => return Ok(None),
            }
        }
        Ok(Some(end))
    }
}

fn take(left: &mut u32, work: usize) -> Result<(), TooMuchWork> {
    let work = u32::try_from(work).map_err(|_| TooMuchWork::Entry)?;
    *left = left.checked_sub(work).ok_or(TooMuchWork::Entry)?;
    Ok(())
}

/// The beginning of a value.
struct Head {
    kind: Kind,
    /// The place after the beginning.
    end: usize,
}

enum Kind {
    /// A pointer to a place in the data section.
    Pointer(usize),
    /// This many values follow.
    Values(usize),
    /// This many bytes follow.
    Bytes(usize),
}

impl Head {
    fn read(data: &[u8], at: usize) -> Option<Self> {
        let number = |from: usize, length: usize| {
            let bytes = data.get(from..from.checked_add(length)?)?;
            let push = |number: usize, byte: &u8| number << 8 | usize::from(*byte);
            Some(bytes.iter().fold(0, push))
        };
        let control = *data.get(at)?;
        let low = usize::from(control & 7);
        let mut end = at.checked_add(1)?;
        if control >> 5 == 1 {
            let length = usize::from(control >> 3 & 3) + 1;
            let rest = number(end, length)?;
            let to = match length {
                1 => low << 8 | rest,
                2 => (low << 16 | rest) + 2048,
                3 => (low << 24 | rest) + 526_336,
                _ => rest,
            };
            return Some(Self {
                kind: Kind::Pointer(to),
                end: end + length,
            });
        }
        let kind = match control >> 5 {
            0 => {
                end += 1;
                number(end - 1, 1)? + 7
            }
            kind => usize::from(kind),
        };
        let size = usize::from(control & 31);
        let longer = size.saturating_sub(28);
        let size = match longer {
            0 => size,
            1 => 29 + number(end, 1)?,
            2 => 285 + number(end, 2)?,
            _ => 65_821 + number(end, 3)?,
        };
        let kind = match kind {
            7 => Kind::Values(2 * size),
            11 => Kind::Values(size),
            14 => Kind::Bytes(0),
            _ => Kind::Bytes(size),
        };
        let end = end + longer;
        Some(Self { kind, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data: &[u8]) -> Result<u32, TooMuchWork> {
        let mut work = Work {
            data,
            left: MAX_OF_ALL,
        };
        work.take(0)?;
        Ok(MAX_OF_ALL - work.left)
    }

    #[test]
    fn each_value_counts_and_a_pointer_counts_its_target() {
        // {"a": "bc", "d": 1 (uint32), "e": [true]}
        let map = b"\xe3\x41a\x42bc\x41d\xc1\x01\x41e\x01\x04\x01\x07";
        assert_eq!(of(map), Ok(8));
        // A pointer to the text behind it.
        assert_eq!(of(b"\x20\x02\x41a"), Ok(2));
        // A text of 29 + 100 bytes.
        let long = [b"\x5d\x64".as_slice(), &[b'a'; 129]].concat();
        assert_eq!(of(&long), Ok(3));
        for damaged in [b"".as_slice(), b"\xe3", b"\xe1\x41a", b"\x20", b"\x20\xff"] {
            of(damaged).unwrap();
        }
    }

    #[test]
    fn an_entry_of_many_values_or_of_loops_is_too_much() {
        // An array of 65,821 values, each of them a pointer to the next, and so on.
        let wide = [b"\x1f\x04\0\0\0".as_slice(), &vec![0xa0; 70_000]].concat();
        assert_eq!(of(&wide), Err(TooMuchWork::Entry));
        assert_eq!(of(b"\x20\x00"), Err(TooMuchWork::Entry));
        // Arrays of eight pointers to the next array: 8^n values in a few bytes.
        let mut nested = Vec::new();
        for _ in 0..20 {
            let next = u8::try_from(nested.len() + 18).unwrap_or(0);
            nested.extend([0x08, 0x04]);
            nested.extend([0x20, next].repeat(8));
        }
        assert_eq!(of(&nested), Err(TooMuchWork::Entry));
    }

    #[test]
    fn all_entries_together_have_a_limit() {
        let entry = [b"\x1e\x04\x0e\xd0".as_slice(), &[0x40; 4096]].concat();
        let mut work = Work {
            data: &entry,
            left: 10_000,
        };
        let taken = std::iter::from_fn(|| work.take(0).ok());
        assert!(taken.count() < 4);
        assert_eq!(work.take(0), Err(TooMuchWork::All));
    }
}
