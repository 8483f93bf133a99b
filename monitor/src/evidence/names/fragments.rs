//! Reassembles a bounded piece of a byte stream from fragments in any order.
//!
//! Where fragments overlap, the first copy wins. So a later fragment cannot change bytes
//! that a parser has read already.

/// Fragments of one byte stream. Fragments do not overlap, and are sorted by position.
#[derive(Clone, Debug)]
pub struct Fragments {
    parts: Vec<Part>,
    held: usize,
    max_parts: usize,
    max_bytes: usize,
}

#[derive(Clone, Debug)]
struct Part {
    start: i64,
    bytes: Vec<u8>,
}

impl Part {
    fn end(&self) -> i64 {
        end(self.start, &self.bytes)
    }
}

impl Fragments {
    /// Creates an empty piece that holds at most `max_parts` fragments and `max_bytes`
    /// bytes.
    #[must_use]
    pub const fn new(max_parts: usize, max_bytes: usize) -> Self {
        Self {
            parts: Vec::new(),
            held: 0,
            max_parts,
            max_bytes,
        }
    }

    /// Adds the bytes of a fragment that no earlier fragment covers. `start` is the
    /// position of its first byte. Returns the number of bytes that found no room.
    pub fn add(&mut self, start: i64, bytes: &[u8]) -> usize {
        let mut position = start;
        let mut rest = bytes;
        let mut refused = 0;
        let mut index = self.parts.partition_point(|part| part.end() <= start);
        while !rest.is_empty() {
            let Some(next) = self.parts.get(index) else {
                return refused + self.insert(index, position, rest).1;
            };
            let (next_start, next_end) = (next.start, next.end());
            let (gap, after_gap) = split(rest, next_start.saturating_sub(position));
            if !gap.is_empty() {
                let (inserted, lost) = self.insert(index, position, gap);
                refused += lost;
                index += usize::from(inserted);
            }
            position = end(position, gap);
            rest = split(after_gap, next_end.saturating_sub(position)).1;
            position = position.max(next_end);
            index += 1;
        }
        refused
    }

    /// Inserts a part at `index`. Returns true if the part was inserted, and the number of
    /// bytes that found no room.
    fn insert(&mut self, index: usize, start: i64, bytes: &[u8]) -> (bool, usize) {
        let room = if self.parts.len() < self.max_parts {
            self.max_bytes.saturating_sub(self.held)
        } else {
            0
        };
        let kept = bytes.get(..room).unwrap_or(bytes);
        if !kept.is_empty() {
            self.held += kept.len();
            let bytes = kept.to_vec();
            self.parts.insert(index, Part { start, bytes });
        }
        (!kept.is_empty(), bytes.len() - kept.len())
    }

    /// Returns the bytes from position `start` up to the first gap.
    #[must_use]
    pub fn from(&self, start: i64) -> Vec<u8> {
        let mut run = Vec::new();
        let mut position = start;
        let first = self.parts.partition_point(|part| part.end() <= start);
        for part in self.parts.iter().skip(first) {
            if part.start > position {
                break;
            }
            run.extend_from_slice(split(&part.bytes, position.saturating_sub(part.start)).1);
            position = part.end();
        }
        run
    }

    /// Number of bytes held.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Number of fragments held.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.parts.len()
    }
}

/// Splits `bytes` at `length`. A negative length is 0.
fn split(bytes: &[u8], length: i64) -> (&[u8], &[u8]) {
    let length = usize::try_from(length.max(0)).unwrap_or(usize::MAX);
    bytes.split_at(length.min(bytes.len()))
}

fn end(start: i64, bytes: &[u8]) -> i64 {
    start.saturating_add(i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
