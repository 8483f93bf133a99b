//! The sources from which policies read their files, lists and feeds.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::Store;
use crate::{
    lists::FeedUrl,
    policy::{Disk, Files},
    regular_file::Purpose,
};

/// Reads files from the file system, and feeds from the store.
#[derive(Clone, Debug)]
pub struct DiskAndFeeds {
    store: Store,
}

impl DiskAndFeeds {
    /// Uses the feeds in the store of this state directory.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self {
            store: Store::new(state_dir),
        }
    }
}

impl Files for DiskAndFeeds {
    fn read(&self, path: &Path, purpose: Purpose) -> io::Result<Vec<u8>> {
        Disk.read(path, purpose)
    }

    fn is_directory(&self, path: &Path) -> bool {
        Disk.is_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        Disk.list(directory)
    }

    fn feed(&self, url: &FeedUrl) -> io::Result<Option<Vec<u8>>> {
        let good = self.store.good(url).map_err(io::Error::other)?;
        Ok(good.map(|(_, content)| content))
    }
}

/// Reads everything from `files`, except one feed: that has a new content, as if the
/// update were already stored.
pub struct WithUpdate<'a> {
    /// The source of everything else.
    pub files: &'a dyn Files,
    /// The URL of the updated feed.
    pub url: &'a FeedUrl,
    /// The new content of that feed.
    pub content: &'a [u8],
}

impl Files for WithUpdate<'_> {
    fn read(&self, path: &Path, purpose: Purpose) -> io::Result<Vec<u8>> {
        self.files.read(path, purpose)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.files.is_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        self.files.list(directory)
    }

    fn feed(&self, url: &FeedUrl) -> io::Result<Option<Vec<u8>>> {
        if url == self.url {
            return Ok(Some(self.content.to_vec()));
        }
        self.files.feed(url)
    }
}
