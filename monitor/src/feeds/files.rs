//! The file system and the store, as policies read them.

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

/// The file system of this machine, and what it has stored of feeds.
#[derive(Clone, Debug)]
pub struct DiskAndFeeds {
    store: Store,
}

impl DiskAndFeeds {
    /// With the feeds of this state directory.
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

/// The same, as if an update were stored already.
pub struct WithUpdate<'a> {
    /// What else there is.
    pub files: &'a dyn Files,
    /// The feed that is updated.
    pub url: &'a FeedUrl,
    /// Its new content.
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
