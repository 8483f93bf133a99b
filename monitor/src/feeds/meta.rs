//! Reads `meta.json` of a feed. Limits the size of the file and the length of each
//! text in it.

use std::{fmt, path::Path};

use serde::{
    Deserializer as _,
    de::{IgnoredAny, MapAccess, Visitor},
};

use super::store::{Entry, Good};
use crate::{
    quoted::message,
    regular_file::{self, Purpose},
};

/// The maximum number of bytes read from a `meta.json`. The daemon writes a few
/// thousand.
pub(super) const MAX_META: u64 = 256 * 1024;

/// The maximum length of a stored `ETag` or `Last-Modified`, in bytes.
const MAX_VALIDATOR: usize = 512;

/// Returns true if an `ETag` or `Last-Modified` is short enough and printable, and so
/// can be stored. A longer one is dropped, because a cut one would match nothing;
/// then the next fetch downloads the list again.
pub(super) fn is_validator(value: &str) -> bool {
    let shown = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    value.len() <= MAX_VALIDATOR && value.bytes().all(shown)
}

/// The result of reading a `meta.json`.
pub(super) enum Meta {
    /// The whole entry.
    Whole(Entry),
    /// The file is larger than [`MAX_META`]. Holds the URL and the content in force,
    /// which come first in the file.
    Beginning(Entry),
    /// The file is not JSON or does not have the keys of an entry. Holds the reason.
    Damaged(String),
}

/// Reads the file at `path`, but no more than [`MAX_META`] bytes.
pub(super) fn read(path: &Path) -> std::io::Result<Meta> {
    let bytes = regular_file::read_beginning(path, Purpose::State, MAX_META + 1)?;
    if bytes.len() as u64 > MAX_META {
        return Ok(Meta::Beginning(bounded(beginning(&bytes))));
    }
    Ok(match serde_json::from_slice(&bytes) {
        Ok(entry) => Meta::Whole(bounded(entry)),
        Err(error) => Meta::Damaged(message(error.to_string())),
    })
}

/// Returns `entry` with each text cut to its limit. Texts in the file can be longer,
/// because an older version stored everything that a server sent.
pub(super) fn bounded(mut entry: Entry) -> Entry {
    if let Some(candidate) = &mut entry.candidate {
        bound_good(&mut candidate.content);
        candidate.reason = message(std::mem::take(&mut candidate.reason));
    }
    if let Some(good) = &mut entry.good {
        bound_good(good);
    }
    if let Some(last) = &mut entry.last {
        last.reason = last.reason.take().map(message);
    }
    entry
}

fn bound_good(good: &mut Good) {
    for value in [&mut good.etag, &mut good.last_modified] {
        *value = value.take().filter(|value| is_validator(value));
    }
}

/// Reads the URL and the content in force. They come first in the file, so the list
/// in force stays even if the rest is cut off.
fn beginning(bytes: &[u8]) -> Entry {
    let mut entry = Entry::default();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    // The result is always an error, because the end of the text is missing.
    let _ = reader.deserialize_map(Beginning(&mut entry));
    entry
}

struct Beginning<'a>(&'a mut Entry);

impl<'de> Visitor<'de> for Beginning<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the entry of a feed")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "url" => self.0.url = map.next_value()?,
                "good" => self.0.good = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}
