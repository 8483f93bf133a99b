//! Reads policy files and lists. The policy stage has no other access to files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    lists::FeedUrl,
    regular_file::{self, Purpose},
};

/// The source of policies: a file system, and the stored content of feeds.
pub trait Files {
    /// Reads a whole file; `purpose` sets the size limit.
    fn read(&self, path: &Path, purpose: Purpose) -> io::Result<Vec<u8>>;

    /// Like [`read`](Self::read). Calls `work` with the bytes once, perhaps on another thread
    /// while this one uses them too.
    fn read_and(
        &self,
        path: &Path,
        purpose: Purpose,
        work: &(dyn Fn(&[u8]) + Sync),
    ) -> io::Result<Vec<u8>> {
        let bytes = self.read(path, purpose)?;
        work(&bytes);
        Ok(bytes)
    }

    /// True if `path` is a directory.
    fn is_directory(&self, path: &Path) -> bool;

    /// Paths of the entries of a directory, in any order.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;

    /// The last good content of a feed; `None` if there is none yet.
    fn feed(&self, url: &FeedUrl) -> io::Result<Option<Vec<u8>>> {
        let _ = url;
        Ok(None)
    }
}

/// The file system of this machine, without feeds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, purpose: Purpose) -> io::Result<Vec<u8>> {
        regular_file::read(path, purpose)
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(directory)?;
        entries.map(|entry| Ok(entry?.path())).collect()
    }
}
