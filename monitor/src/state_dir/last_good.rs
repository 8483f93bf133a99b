//! The policy files and lists that were in force last, as an archive that
//! anybody can unpack: what a daemon falls back on where the files are broken
//! by the time it starts.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{StateDirError, write};
use crate::{
    lists::FeedUrl,
    policy::Files,
    regular_file::{Purpose, RegularFile},
};

/// Name of the file in the state directory.
const FILE: &str = "last-good.tar";

/// Files by absolute path, as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastGood {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

/// Reads files, and keeps what was read.
pub struct Recorder<'a> {
    inner: &'a dyn Files,
    read: RefCell<LastGood>,
}

impl<'a> Recorder<'a> {
    /// Reads from `inner`.
    #[must_use]
    pub fn new(inner: &'a dyn Files) -> Self {
        Self {
            inner,
            read: RefCell::default(),
        }
    }

    /// All that was read.
    #[must_use]
    pub fn into_last_good(self) -> LastGood {
        self.read.into_inner()
    }
}

impl Files for Recorder<'_> {
    fn read(&self, path: &Path, purpose: Purpose) -> io::Result<Vec<u8>> {
        let bytes = self.inner.read(path, purpose)?;
        let mut read = self.read.borrow_mut();
        read.files.insert(std::path::absolute(path)?, bytes.clone());
        Ok(bytes)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.inner.is_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        self.inner.list(directory)
    }

    /// Not kept: what was fetched has a store of its own.
    fn feed(&self, url: &FeedUrl) -> io::Result<Option<Vec<u8>>> {
        self.inner.feed(url)
    }
}

/// As they were; a directory holds the files of it that were read.
impl Files for LastGood {
    fn read(&self, path: &Path, _: Purpose) -> io::Result<Vec<u8>> {
        let found = self.files.get(&std::path::absolute(path)?);
        found.cloned().ok_or(io::ErrorKind::NotFound.into())
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.list(path).is_ok_and(|files| !files.is_empty())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let wanted = std::path::absolute(directory)?;
        let inside = self.files.keys().filter_map(|path| {
            let name = path.file_name()?;
            (path.parent() == Some(&wanted)).then(|| directory.join(name))
        });
        Ok(inside.collect())
    }
}

impl LastGood {
    /// What a daemon kept in `state_dir`; empty where it kept nothing.
    pub fn read(state_dir: &Path) -> Result<Self, StateDirError> {
        let path = state_dir.join(FILE);
        match RegularFile::open(&path, Purpose::LastGood).and_then(Self::unpack) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            unpacked => unpacked.map_err(|source| StateDirError::Io {
                operation: "read",
                path,
                source,
            }),
        }
    }

    /// Whether nothing was kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What an archive holds that [`Self::pack`] made.
    pub fn unpack(archive: impl io::Read) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(archive).entries()? {
            let mut entry = entry?;
            // Others are never packed, and a sparse file is as large as it claims.
            if !entry.header().entry_type().is_file() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "{} is no regular file",
                        crate::printable::path(&entry.path()?)
                    ),
                ));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            // An archive has paths without their first slash.
            files.insert(Path::new("/").join(entry.path()?), bytes);
        }
        Ok(Self { files })
    }

    /// Keeps it in `state_dir`.
    pub fn write(&self, state_dir: &Path) -> Result<(), StateDirError> {
        let pack = || {
            let packed = self.pack()?;
            Purpose::LastGood.check(packed.len() as u64)?;
            io::Result::Ok(packed)
        };
        write(&state_dir.join(FILE), pack())
    }

    /// The archive of it.
    pub fn pack(&self) -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            let name = path.strip_prefix("/").unwrap_or(path);
            archive.append_data(&mut header, name, bytes.as_slice())?;
        }
        archive.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Disk;

    #[test]
    fn what_was_read_is_read_again_without_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let policies = directory.path().join("policies");
        let long = policies.join("a".repeat(150)).join("b".repeat(150));
        std::fs::create_dir_all(&long).unwrap();
        let paths = [policies.join("a.yaml"), long.join("list.txt")];
        for path in &paths {
            std::fs::write(path, b"text \xff").unwrap();
        }
        std::fs::write(policies.join("unread"), b"").unwrap();
        let recorder = Recorder::new(&Disk);
        for path in &paths {
            recorder.read(path, Purpose::List).unwrap();
        }
        let kept = recorder.into_last_good();
        kept.write(directory.path()).unwrap();
        std::fs::remove_dir_all(&policies).unwrap();
        let read = LastGood::read(directory.path()).unwrap();
        assert_eq!(read, kept);
        for path in &paths {
            assert_eq!(
                Files::read(&read, path, Purpose::List).unwrap(),
                b"text \xff"
            );
        }
        assert!(read.is_directory(&policies));
        assert!(!read.is_directory(&paths[0]));
        assert_eq!(read.list(&policies).unwrap(), [paths[0].clone()]);
        let other = Files::read(&read, &policies.join("unread"), Purpose::List);
        assert_eq!(other.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn nothing_kept_is_empty_and_half_of_it_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let none = LastGood::read(directory.path()).unwrap();
        assert_eq!(none, LastGood::default());
        let recorder = Recorder::new(&Disk);
        let file = directory.path().join("a.yaml");
        std::fs::write(&file, [7; 2000]).unwrap();
        recorder.read(&file, Purpose::List).unwrap();
        recorder.into_last_good().write(directory.path()).unwrap();
        let path = directory.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..1000]).unwrap();
        let error = LastGood::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("last-good.tar"), "{error}");
    }
}
