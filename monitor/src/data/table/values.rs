//! The values of a table: each different one is stored once, in a file.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use super::BuildError;
use crate::data::facts::{Facts, MAX_STORED};

/// Maximum number of values that are remembered to store each once. Beyond this the
/// writer forgets them all, so that a value may be stored again. It is 7/8 of a power of
/// two, so that the map does not grow past 128 Ki places.
const REMEMBERED: usize = 112 * 1024;

/// Maximum size of the file in bytes.
const MAX_LENGTH: u32 = 128 * 1024 * 1024;

/// The stored values.
#[derive(Debug)]
pub(super) struct Values {
    file: File,
    length: u32,
}

impl Values {
    /// Reads the value at `place`.
    pub(super) fn read(&self, place: u32) -> io::Result<Facts> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the table is damaged");
        let left = self.length.checked_sub(place).ok_or_else(damaged)?;
        let left = usize::try_from(left).map_err(|_| damaged())?;
        let mut bytes = vec![0; left.min(size_of::<u16>() + MAX_STORED)];
        self.file.read_exact_at(&mut bytes, place.into())?;
        let (length, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
        let stored = rest.get(..usize::from(u16::from_be_bytes(*length)));
        stored.and_then(Facts::decode).ok_or_else(damaged)
    }

    /// Length of the file in bytes.
    #[cfg(test)]
    pub(super) const fn length(&self) -> u32 {
        self.length
    }
}

/// Writes values.
pub(super) struct ValueWriter {
    file: BufWriter<File>,
    length: u32,
    /// Place of each remembered value by its hash.
    places: HashMap<[u8; 16], u32>,
}

impl ValueWriter {
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(tempfile::tempfile_in(directory)?),
            length: 0,
            places: HashMap::new(),
        })
    }

    /// Stores `facts`, unless they are already there. Returns their place.
    pub(super) fn store(&mut self, facts: &Facts) -> Result<u32, BuildError> {
        let stored = facts.encode();
        let hash = blake3::hash(stored.as_bytes());
        let (hash, _) = hash
            .as_bytes()
            .split_first_chunk()
            .unwrap_or((&[0; 16], &[]));
        if let Some(place) = self.places.get(hash) {
            return Ok(*place);
        }
        let place = self.length;
        let length = u16::try_from(stored.len()).map_err(|_| BuildError::Large)?;
        let after = place
            .checked_add(u32::from(length) + 2)
            .filter(|after| *after <= MAX_LENGTH);
        self.length = after.ok_or(BuildError::Large)?;
        self.file.write_all(&length.to_be_bytes())?;
        self.file.write_all(stored.as_bytes())?;
        if self.places.len() >= REMEMBERED {
            self.places.clear();
        }
        self.places.insert(*hash, place);
        Ok(place)
    }

    /// Length of the file in bytes.
    pub(super) const fn length(&self) -> u32 {
        self.length
    }

    pub(super) fn finish(self) -> io::Result<Values> {
        Ok(Values {
            file: self
                .file
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?,
            length: self.length,
        })
    }
}
