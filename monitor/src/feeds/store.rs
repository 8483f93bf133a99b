//! What is kept of feeds: the last good content, what came since, and when.
//!
//! ```text
//! STATE_DIR/feeds/<hash of the URL>/meta.json      names the contents by their hash
//! STATE_DIR/feeds/<hash of the URL>/<SHA-256>      a content, as it was fetched
//! ```
//!
//! Replacing `meta.json` is the one step that changes what is in force: whoever
//! is interrupted before it has changed nothing.

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

/// The file that names the others.
const META: &str = "meta.json";

/// Hexadecimal digits of the name of a feed's directory.
const NAME_DIGITS: usize = 32;

/// The feeds of a state directory.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// What is known of one feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Where it comes from.
    pub url: String,
    /// The content in force.
    pub good: Option<Good>,
    /// An update that was refused, and that can be accepted.
    pub candidate: Option<Candidate>,
    /// How the last attempt went.
    pub last: Option<Attempt>,
    /// Attempts that failed since one did not.
    pub failures: u32,
}

impl Entry {
    /// Of a feed that nothing is known of.
    #[must_use]
    pub fn new(url: &FeedUrl) -> Self {
        Self {
            url: url.as_str().to_owned(),
            ..Self::default()
        }
    }
}

/// A content that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// Of the content as it was fetched.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// When it was fetched, in seconds since 1970-01-01T00:00:00Z.
    pub fetched_at: u64,
    /// When it was last found to be what the URL gives.
    pub checked_at: u64,
    /// What the server calls this content.
    pub etag: Option<String>,
    /// When the server says that it was changed.
    pub last_modified: Option<String>,
}

/// A content that was refused, and that can be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The content, with what the server said of it.
    #[serde(flatten)]
    pub content: Good,
    /// Why it was refused.
    pub reason: String,
}

/// An attempt to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// In seconds since 1970-01-01T00:00:00Z.
    pub at: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not end well, and what to do.
    pub reason: Option<String>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What the URL gives is in force.
    Current,
    /// What the URL gives was not taken.
    Refused,
    /// The URL gave nothing.
    Failed,
}

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory.
    #[error("{what} {}: {source}", crate::printable::path(path))]
    Io {
        /// What was tried.
        what: &'static str,
        /// Of the file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// What is there is not what was written.
    #[error(
        "{} is damaged ({why}): it counts as never fetched",
        crate::printable::path(path)
    )]
    Damaged {
        /// Of the file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Store {
    /// That of a state directory; nothing is made yet.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self {
            directory: state_dir.join("feeds"),
        }
    }

    /// What is known of a feed; nothing where it was never fetched.
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
                    "{} has more than {} KiB: only the list in force is taken from it, and the next fetch writes it anew",
                    crate::printable::path(&path),
                    MAX_META / 1024
                );
                entry
            }
            Meta::Damaged(why) => return Err(damaged(why)),
        };
        if entry.url != url.as_str() {
            return Err(damaged("it is about another URL".to_owned()));
        }
        Ok(entry)
    }

    /// The content in force, where there is one.
    pub fn good(&self, url: &FeedUrl) -> Result<Option<(Good, Vec<u8>)>, StoreError> {
        let Some(good) = self.entry(url)?.good else {
            return Ok(None);
        };
        let content = self.content(url, &good)?;
        Ok(Some((good, content)))
    }

    /// What was refused and can be accepted, where there is something.
    pub fn candidate(&self, url: &FeedUrl) -> Result<Option<(Candidate, Vec<u8>)>, StoreError> {
        let Some(candidate) = self.entry(url)?.candidate else {
            return Ok(None);
        };
        let content = self.content(url, &candidate.content)?;
        Ok(Some((candidate, content)))
    }

    /// Writes `entry`, and first the content that it names and that is new.
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

    /// Removes what no policy names any more.
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
        // Else it might name any file.
        let Ok(sha256) = good.sha256.parse::<Sha256>() else {
            return Err(damaged(directory.join(META), "it holds a wrong hash"));
        };
        let path = directory.join(sha256.to_string());
        match regular_file::read(&path, Purpose::Feed) {
            Ok(content) if Sha256::of(&content) == sha256 => Ok(content),
            Ok(_) => Err(damaged(path, "its hash is another")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(damaged(path, "it is not there"))
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
        .map_err(|source| io_error("make", path, source))
}

fn replace(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    new_file::replace(path, content).map_err(|source| io_error("write", path, source))
}

fn remove_others(directory: &Path, kept: &BTreeSet<&str>) -> Result<(), StoreError> {
    let failed = |source| io_error("tidy", directory, source);
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
