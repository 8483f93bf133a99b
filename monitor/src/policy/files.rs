//! Reading policy files and lists: the only way out of the policy stage.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    lists::FeedUrl,
    regular_file::{self, Purpose},
};

/// What policies are read from: a file system, and what was fetched.
pub trait Files {
    /// The whole of a file, which may be as large as `purpose` allows.
    fn read(&self, path: &Path, purpose: Purpose) -> io::Result<Vec<u8>>;

    /// Whether `path` is a directory.
    fn is_directory(&self, path: &Path) -> bool;

    /// Paths of what lies in a directory, in any order.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;

    /// The last good content of a list that is fetched; `None` where there is none yet.
    fn feed(&self, url: &FeedUrl) -> io::Result<Option<Vec<u8>>> {
        let _ = url;
        Ok(None)
    }
}

/// The file system of this machine; of lists that are fetched it knows none.
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
