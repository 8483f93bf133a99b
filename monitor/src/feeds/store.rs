//! Stores feeds on disk: for each, the last good content, a refused update that can
//! be accepted, and the result of the last attempt.
//!
//! ```text
//! STATE_DIR/feeds/<hash of the URL>/meta.json      an `Entry`, names contents by their hash
//! STATE_DIR/feeds/<hash of the URL>/<SHA-256>      one version of the list, as it was fetched
//! ```
//!
//! Only replacing `meta.json` changes which content is in force. If the process is
//! interrupted before that step, the old content stays in force.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::meta::{self, MAX_META, Meta};
use crate::{
    lists::{FeedUrl, Sha256},
    new_file,
    regular_file::{self, Purpose},
};

/// The name of the file that holds a feed's [`Entry`].
const META: &str = "meta.json";

/// The length of the name of a feed's directory, in hexadecimal digits.
const NAME_DIGITS: usize = 32;

/// The stored feeds of one state directory.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// The stored state of one feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// The feed's URL.
    pub url: String,
    /// The content in force.
    pub good: Option<Good>,
    /// A refused update that an operator can still accept.
    pub candidate: Option<Candidate>,
    /// The last attempt to fetch the feed.
    pub last: Option<Attempt>,
    /// Number of failed attempts since the last one that succeeded.
    pub failures: u32,
}

impl Entry {
    /// Returns the entry of a feed that was never fetched.
    #[must_use]
    pub fn new(url: &FeedUrl) -> Self {
        Self {
            url: url.as_str().to_owned(),
            ..Self::default()
        }
    }
}

/// The metadata of a stored content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// SHA-256 of the content as it was fetched, in hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
    /// Time of the fetch, in seconds since 1970-01-01T00:00:00Z.
    pub fetched_at: u64,
    /// Last time at which the server still had this content, in seconds since
    /// 1970-01-01T00:00:00Z.
    pub checked_at: u64,
    /// The server's `ETag` for this content.
    pub etag: Option<String>,
    /// The server's `Last-Modified` for this content.
    pub last_modified: Option<String>,
}

/// A refused update that an operator can still accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The metadata of the content.
    #[serde(flatten)]
    pub content: Good,
    /// The reason why it was refused.
    pub reason: String,
}

/// An attempt to fetch a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Time at which it ended, in seconds since 1970-01-01T00:00:00Z.
    pub at: u64,
    /// Its result.
    pub outcome: Outcome,
    /// If it did not succeed: the reason, and what to do.
    pub reason: Option<String>,
}

/// The result of an attempt to fetch a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The current content of the URL is in force.
    Current,
    /// The current content of the URL was refused.
    Refused,
    /// The fetch failed, so there is no content.
    Failed,
}

/// The reason why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An operation on a file or directory failed.
    #[error("{what} {}: {source}", crate::printable::path(path))]
    Io {
        /// The operation, as a verb such as "read".
        what: &'static str,
        /// Path of the file or directory.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// A file differs from what the daemon wrote.
    #[error(
        "{} is damaged ({why}): the feed counts as never fetched",
        crate::printable::path(path)
    )]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// The damage.
        why: String,
    },
}

impl Store {
    /// Returns the store of a state directory. Creates no file or directory.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self {
            directory: state_dir.join("feeds"),
        }
    }

    /// Returns the entry of a feed. For a feed that was never fetched, that is an empty
    /// entry.
    pub fn entry(&self, url: &FeedUrl) -> Result<Entry, StoreError> {
        let path = self.directory_of(url).join(META);
        let read = match meta::read(&path) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entry::new(url)),
            Err(source) => return Err(io_error("read", &path, source)),
        };
        let damaged = |why: String| StoreError::Damaged {
            path: path.clone(),
            why,
        };
        let entry = match read {
            Meta::Whole(entry) => entry,
            Meta::Beginning(entry) => {
                tracing::warn!(
                    "{} has more than {} KiB: only the list in force is taken from it, and the next fetch replaces the file",
                    crate::printable::path(&path),
                    MAX_META / 1024
                );
                entry
            }
            Meta::Damaged(why) => return Err(damaged(why)),
        };
        if entry.url != url.as_str() {
            return Err(damaged("it belongs to another URL".to_owned()));
        }
        Ok(entry)
    }

    /// Returns the content in force, if there is one.
    pub fn good(&self, url: &FeedUrl) -> Result<Option<(Good, Vec<u8>)>, StoreError> {
        let Some(good) = self.entry(url)?.good else {
            return Ok(None);
        };
        let content = self.content(url, &good)?;
        Ok(Some((good, content)))
    }

    /// Returns the refused update that can be accepted, if there is one.
    pub fn candidate(&self, url: &FeedUrl) -> Result<Option<(Candidate, Vec<u8>)>, StoreError> {
        let Some(candidate) = self.entry(url)?.candidate else {
            return Ok(None);
        };
        let content = self.content(url, &candidate.content)?;
        Ok(Some((candidate, content)))
    }

    /// Writes `content`, if there is a new one, and then the `entry` that names it.
    /// Removes the contents that `entry` does not name.
    pub fn save(
        &self,
        url: &FeedUrl,
        entry: &Entry,
        content: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let directory = self.directory_of(url);
        make_directory(&directory)?;
        if let Some(content) = content {
            let path = directory.join(Sha256::of(content).to_string());
            replace(&path, content)?;
        }
        let text = serde_json::to_vec_pretty(&meta::bounded(entry.clone()))
            .map_err(|error| io_error("write", &directory.join(META), error.into()))?;
        replace(&directory.join(META), &text)?;
        let candidate = entry.candidate.as_ref().map(|candidate| &candidate.content);
        let kept = entry.good.iter().chain(candidate);
        let mut kept: BTreeSet<&str> = kept.map(|good| good.sha256.as_str()).collect();
        kept.insert(META);
        remove_others(&directory, &kept)
    }

    /// Removes the feeds whose URL is not in `urls`.
    pub fn keep_only(&self, urls: &[FeedUrl]) -> Result<(), StoreError> {
        let names: Vec<String> = urls.iter().map(name_of).collect();
        let kept = names.iter().map(String::as_str).collect();
        remove_others(&self.directory, &kept)
    }

    fn content(&self, url: &FeedUrl, good: &Good) -> Result<Vec<u8>, StoreError> {
        let directory = self.directory_of(url);
        let damaged = |path: PathBuf, why: &str| StoreError::Damaged {
            path,
            why: why.to_owned(),
        };
        // Accepts only a hash, because any other text could be the path of another file.
        let Ok(sha256) = good.sha256.parse::<Sha256>() else {
            return Err(damaged(directory.join(META), "a hash in it is malformed"));
        };
        let path = directory.join(sha256.to_string());
        match regular_file::read(&path, Purpose::Feed) {
            Ok(content) if Sha256::of(&content) == sha256 => Ok(content),
            Ok(_) => Err(damaged(path, "its content has another hash")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(damaged(path, "the file is missing"))
            }
            Err(source) => Err(io_error("read", &path, source)),
        }
    }

    fn directory_of(&self, url: &FeedUrl) -> PathBuf {
        self.directory.join(name_of(url))
    }
}

fn name_of(url: &FeedUrl) -> String {
    let mut name = Sha256::of(url.as_str().as_bytes()).to_string();
    name.truncate(NAME_DIGITS);
    name
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(path)
        .map_err(|source| io_error("create", path, source))
}

/// Replaces the file at `path` in one step: writes a temporary file, syncs it and
/// renames it. Only the owner can read the new file, as with every temporary file.
fn replace(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    new_file::replace(path, content).map_err(|source| io_error("write", path, source))
}

fn remove_others(directory: &Path, kept: &BTreeSet<&str>) -> Result<(), StoreError> {
    let failed = |source| io_error("list", directory, source);
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if kept.contains(entry.file_name().to_string_lossy().as_ref()) {
            continue;
        }
        let is_directory = entry.file_type().map_err(failed)?.is_dir();
        let path = entry.path();
        let removed = if is_directory {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(|source| io_error("remove", &path, source))?;
    }
    Ok(())
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
