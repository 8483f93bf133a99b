//! `meta.json` of a feed: read within a limit, with each text within its own.

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

/// The most bytes of a `meta.json` that are read. What is written has some
/// thousand.
pub(super) const MAX_META: u64 = 256 * 1024;

/// The longest `ETag` or `Last-Modified` that is kept, in bytes.
const MAX_VALIDATOR: usize = 512;

/// Whether a server's name for a content is kept. A longer one is of no use
/// when it is cut, so the list is fetched without it.
pub(super) fn is_validator(value: &str) -> bool {
    let shown = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    value.len() <= MAX_VALIDATOR && value.bytes().all(shown)
}

/// What a file holds.
pub(super) enum Meta {
    /// All of it.
    Whole(Entry),
    /// The file is larger than the limit: what stands in its first part.
    Beginning(Entry),
    /// Not JSON, or other keys.
    Damaged(String),
}

/// Reads at most [`MAX_META`] bytes.
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

/// `entry` with texts that are as long as they may be: an older version kept
/// all that a server sent.
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

/// URL and content in force, which stand first in the file: so the list in
/// force stays, whatever follows.
fn beginning(bytes: &[u8]) -> Entry {
    let mut entry = Entry::default();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    // It ends with an error in any case: the end of the text is missing.
    let _ = reader.deserialize_map(Beginning(&mut entry));
    entry
}

struct Beginning<'a>(&'a mut Entry);

impl<'de> Visitor<'de> for Beginning<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("what is known of a feed")
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
