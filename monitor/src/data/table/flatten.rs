//! Cuts ranges that overlap into parts that do not. The smallest range wins: a prefix in
//! another prefix is more specific.

use super::{BuildError, Entry};

/// Maximum number of ranges around one address. Prefixes have at most 129.
const MAX_DEPTH: usize = 256;

/// Takes ranges in order, and gives parts in order.
#[derive(Default)]
pub(super) struct Flattener {
    /// The ranges that contain `from`, the largest first. Where two overlap and none
    /// contains the other, the one that starts later is on top.
    around: Vec<Entry>,
    /// First address that is in no part yet. `None` if there is none left.
    from: Option<u128>,
    /// The last part, which the next one may continue.
    last: Option<Entry>,
    /// Number of ranges that another range has with another value.
    contradictions: u64,
}

impl Flattener {
    pub(super) fn new() -> Self {
        Self {
            from: Some(0),
            ..Self::default()
        }
    }

    /// Takes the next range.
    pub(super) fn add(
        &mut self,
        entry: Entry,
        part: &mut impl FnMut(Entry) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        while let Some(top) = self.around.pop_if(|top| top.last < entry.first) {
            self.emit(top, top.last, part)?;
        }
        let top = self.around.last().copied();
        if let Some(top) = top {
            if (top.first, top.last) == (entry.first, entry.last) {
                // The first row counts.
                self.contradictions += u64::from(top.value != entry.value);
                return Ok(());
            }
            if let Some(before) = entry.first.checked_sub(1) {
                self.emit(top, before, part)?;
            }
        }
        if self.around.len() == MAX_DEPTH {
            return Err(BuildError::Nested { limit: MAX_DEPTH });
        }
        self.from = Some(entry.first);
        self.around.push(entry);
        Ok(())
    }

    /// Gives the last parts. Returns the number of contradictions.
    pub(super) fn finish(
        mut self,
        part: &mut impl FnMut(Entry) -> Result<(), BuildError>,
    ) -> Result<u64, BuildError> {
        while let Some(top) = self.around.pop() {
            self.emit(top, top.last, part)?;
        }
        if let Some(last) = self.last {
            part(last)?;
        }
        Ok(self.contradictions)
    }

    /// Gives the part of `entry` from `self.from` to `to`, if it has an address.
    fn emit(
        &mut self,
        entry: Entry,
        to: u128,
        part: &mut impl FnMut(Entry) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        let Some(first) = self.from.filter(|from| *from <= to) else {
            return Ok(());
        };
        self.from = to.checked_add(1);
        let new = Entry {
            first,
            last: to,
            value: entry.value,
        };
        match &mut self.last {
            Some(last) if last.value == new.value && last.last.checked_add(1) == Some(first) => {
                last.last = to;
            }
            last => {
                if let Some(done) = last.replace(new) {
                    part(done)?;
                }
            }
        }
        Ok(())
    }
}
