//! The policy files and lists that were in force last, as an archive that `tar` can
//! unpack. A daemon uses it if the files have errors when it starts.
//!
//! No text of a file stays in memory. A [`Recorder`] writes each file to an
//! unfinished archive when the file is read, and [`UnsavedLastGood::keep`] renames the
//! archive. A [`LastGood`] reads a file from the archive only when the file is
//! requested.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    ffi::OsStr,
    fs::File,
    io::{self, BufWriter, Read, Seek, Write},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Component, Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::StateDirError;
use crate::{
    at_once::at_once,
    lists::FeedUrl,
    new_file,
    policy::Files,
    regular_file::{Purpose, RegularFile},
};

/// Name of the file in the state directory.
const FILE: &str = "last-good.tar";

/// So many bytes of an archive are written at once. A list has megabytes.
const BUFFER: usize = 256 << 10;

/// About so many bytes of a list are one prefix.
const BYTES_OF_A_PREFIX: usize = 16;

/// Stands for `..` in the archive, where `tar` refuses it: a policy may name `../lists/a.txt`.
const UP: &str = "^..";

/// Byte range of each file in an archive, by absolute path.
pub type ArchivedFiles = BTreeMap<PathBuf, Range<u64>>;

/// Files as they were when their policies were last in force permanently.
#[derive(Debug, Default)]
pub struct LastGood {
    /// `None` if no archive is stored.
    archive: Option<File>,
    files: ArchivedFiles,
}

/// Reads files, and writes each file that was read to an archive.
pub struct Recorder<'a> {
    inner: &'a dyn Files,
    state_dir: &'a Path,
    /// An error here does not keep files from being read. [`UnsavedLastGood::keep`] returns
    /// it.
    archive: RefCell<io::Result<Unfinished>>,
}

/// An archive that is being written.
type Unfinished = ArchiveWriter<BufWriter<NamedTempFile>>;

/// An archive of the files that were read, which has not replaced the last archive
/// yet. Dropping the value removes it.
#[derive(Debug)]
pub struct UnsavedLastGood {
    path: PathBuf,
    archive: io::Result<NamedTempFile>,
}

/// Writes an archive in the tar format.
pub struct ArchiveWriter<W: Write> {
    archive: tar::Builder<W>,
    /// Size of the files so far, in bytes.
    size: u64,
}

impl<'a> Recorder<'a> {
    /// Reads from `inner`, and writes the archive into `state_dir`.
    #[must_use]
    pub fn new(inner: &'a dyn Files, state_dir: &'a Path) -> Self {
        let archive = new_file::begin(state_dir);
        let archive = archive.map(|file| BufWriter::with_capacity(BUFFER, file));
        let archive = archive.map(ArchiveWriter::new);
        Self {
            inner,
            state_dir,
            archive: RefCell::new(archive),
        }
    }

    /// Finishes the archive of all files that were read.
    #[must_use]
    pub fn into_unkept(self) -> UnsavedLastGood {
        let finish = |archive: Unfinished| Ok(archive.finish()?.into_inner()?);
        UnsavedLastGood {
            path: self.state_dir.join(FILE),
            archive: self.archive.into_inner().and_then(finish),
        }
    }

    fn record(&self, path: &Path, bytes: &[u8]) {
        let mut archive = self.archive.borrow_mut();
        if let Ok(unfinished) = &mut *archive
            && let Err(error) = unfinished.add(path, bytes)
        {
            // Dropping the unfinished file frees its room on the disk.
            *archive = Err(error);
        }
    }
}

impl Files for Recorder<'_> {
    fn read(&self, path: &Path, purpose: Purpose) -> io::Result<Vec<u8>> {
        self.read_and(path, purpose, &|_| ())
    }

    fn read_and(
        &self,
        path: &Path,
        purpose: Purpose,
        work: &(dyn Fn(&[u8]) + Sync),
    ) -> io::Result<Vec<u8>> {
        let bytes = self.inner.read(path, purpose)?;
        let path = std::path::absolute(path)?;
        at_once(
            bytes.len() / BYTES_OF_A_PREFIX,
            || work(&bytes),
            || self.record(&path, &bytes),
        );
        Ok(bytes)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.inner.is_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        self.inner.list(directory)
    }

    /// Not recorded, because fetched lists have their own store.
    fn feed(&self, url: &FeedUrl) -> io::Result<Option<Vec<u8>>> {
        self.inner.feed(url)
    }
}

impl UnsavedLastGood {
    /// Replaces the last archive by this one. The caller may call it again after an
    /// error.
    ///
    /// # Errors
    ///
    /// Returns an error if the archive cannot be synced or renamed, or could not be
    /// written when the files were read. In the second case every call fails, and
    /// the files must be read again.
    pub fn keep(&self) -> Result<(), StateDirError> {
        let keep = || {
            let archive = self.archive.as_ref();
            // `io::Error` cannot be cloned, so only the kind and the text are
            // copied.
            let archive =
                archive.map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
            Purpose::LastGood.check(archive.as_file().metadata()?.len())?;
            new_file::put(archive, &self.path)
        };
        keep().map_err(|source| StateDirError::Io {
            operation: "write",
            path: self.path.clone(),
            source,
        })
    }
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive.
    pub fn new(target: W) -> Self {
        Self {
            archive: tar::Builder::new(target),
            size: 0,
        }
    }

    /// Adds a file.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, or an error if the archive would be too
    /// large to be read again.
    pub fn add(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.size = self.size.saturating_add(bytes.len() as u64);
        Purpose::LastGood.check(self.size)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        let name = with_components(path, |component| match component {
            Component::RootDir => None,
            Component::ParentDir => Some(OsStr::new(UP)),
            other => Some(other.as_os_str()),
        });
        self.archive.append_data(&mut header, name, bytes)
    }

    /// Writes the end of the archive, and returns the target.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn finish(self) -> io::Result<W> {
        self.archive.into_inner()
    }
}

/// The path with each component as `change` returns it, without those for which it returns `None`.
fn with_components<'a>(
    path: &'a Path,
    change: impl Fn(Component<'a>) -> Option<&'a OsStr>,
) -> PathBuf {
    path.components().filter_map(change).collect()
}

/// Finds the files in an archive that [`ArchiveWriter`] wrote.
///
/// # Errors
///
/// Returns the error of the system, or an error if the input is not such an archive
/// or is truncated.
pub fn archived_files(mut archive: impl Read + Seek) -> io::Result<ArchivedFiles> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let size = archive.seek(io::SeekFrom::End(0))?;
    archive.rewind()?;
    let mut files = ArchivedFiles::new();
    for entry in tar::Archive::new(archive).entries_with_seek()? {
        let entry = entry?;
        let path = entry.path()?;
        // A writer adds only regular files. A sparse file could claim any size.
        if !entry.header().entry_type().is_file() {
            let path = crate::printable::path(&path);
            return Err(invalid(format!("{path} is no regular file")));
        }
        let start = entry.raw_file_position();
        let end = start.checked_add(entry.size()).filter(|end| *end <= size);
        let end = end.ok_or_else(|| {
            let path = crate::printable::path(&path);
            invalid(format!("it ends within {path}"))
        })?;
        // An archive has paths without their first slash.
        let path = with_components(&path, |component| match component.as_os_str() {
            up if up == UP => Some(OsStr::new("..")),
            other => Some(other),
        });
        files.insert(Path::new("/").join(path), start..end);
    }
    Ok(files)
}

/// Reads files from the archive. A directory has only those of its files that are
/// in the archive.
impl Files for LastGood {
    fn read(&self, path: &Path, _: Purpose) -> io::Result<Vec<u8>> {
        let found = self.files.get(&std::path::absolute(path)?);
        let (Some(range), Some(archive)) = (found, &self.archive) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let length = range.end - range.start;
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        archive.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
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
    /// Opens the archive that a daemon stored in `state_dir`. Empty if there is
    /// none.
    ///
    /// # Errors
    ///
    /// Returns an error if the archive cannot be read or is incomplete.
    pub fn open(state_dir: &Path) -> Result<Self, StateDirError> {
        let path = state_dir.join(FILE);
        let open = || -> io::Result<Self> {
            let archive = RegularFile::open(&path, Purpose::LastGood)?.into_file();
            let files = archived_files(io::BufReader::new(&archive))?;
            Ok(Self {
                archive: Some(archive),
                files,
            })
        };
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            opened => opened.map_err(|source| StateDirError::LastGood { path, source }),
        }
    }

    /// True if no files are stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Disk;

    fn unfinished(directory: &Path) -> usize {
        let names = directory.read_dir().unwrap().flatten();
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with(".unfinished-"))
            .count()
    }

    #[test]
    fn what_was_read_is_read_again_without_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let policies = directory.path().join("policies");
        let long = policies.join("a".repeat(150)).join("b".repeat(150));
        std::fs::create_dir_all(&long).unwrap();
        let paths = [
            policies.join("a.yaml"),
            long.join("list.txt"),
            policies.join("../lists.txt"),
        ];
        for path in &paths {
            std::fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap();
        }
        std::fs::write(policies.join("unread"), b"").unwrap();
        let recorder = Recorder::new(&Disk, directory.path());
        for path in &paths {
            recorder.read(path, Purpose::List).unwrap();
        }
        recorder.into_unkept().keep().unwrap();
        std::fs::remove_dir_all(&policies).unwrap();
        let kept = LastGood::open(directory.path()).unwrap();
        for path in &paths {
            assert_eq!(
                Files::read(&kept, path, Purpose::List).unwrap(),
                path.as_os_str().as_encoded_bytes()
            );
        }
        assert!(kept.is_directory(&policies));
        assert!(!kept.is_directory(&paths[0]));
        assert_eq!(kept.list(&policies).unwrap(), [paths[0].clone()]);
        let other = Files::read(&kept, &policies.join("unread"), Purpose::List);
        assert_eq!(other.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// Another archive replaces the file while the first archive is open.
    #[test]
    fn an_open_archive_stays_what_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        let keep = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let recorder = Recorder::new(&Disk, directory.path());
            recorder.read(&path, Purpose::Policies).unwrap();
            recorder.into_unkept().keep().unwrap();
        };
        keep("first");
        let kept = LastGood::open(directory.path()).unwrap();
        keep("second, which is longer");
        assert_eq!(
            Files::read(&kept, &path, Purpose::Policies).unwrap(),
            b"first"
        );
        assert_eq!(unfinished(directory.path()), 0);
    }

    #[test]
    fn what_is_not_kept_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::new(&Disk, directory.path());
        let unkept = recorder.into_unkept();
        assert_eq!(unfinished(directory.path()), 1);
        drop(unkept);
        assert_eq!(unfinished(directory.path()), 0);
    }

    #[test]
    fn files_are_read_where_the_archive_cannot_be_written_and_that_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.yaml");
        std::fs::write(&file, "text").unwrap();
        let missing = directory.path().join("missing");
        let recorder = Recorder::new(&Disk, &missing);
        assert_eq!(recorder.read(&file, Purpose::List).unwrap(), b"text");
        let unkept = recorder.into_unkept();
        for _ in 0..2 {
            let error = unkept.keep().unwrap_err().to_string();
            assert!(error.contains("missing/last-good.tar"), "{error}");
        }
    }

    #[test]
    fn nothing_kept_is_empty_and_half_of_it_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(LastGood::open(directory.path()).unwrap().is_empty());
        let recorder = Recorder::new(&Disk, directory.path());
        let file = directory.path().join("a.yaml");
        std::fs::write(&file, [7; 2000]).unwrap();
        recorder.read(&file, Purpose::List).unwrap();
        recorder.into_unkept().keep().unwrap();
        let path = directory.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for part in [&whole[..100], &whole[..1000], &[7; 700]] {
            std::fs::write(&path, part).unwrap();
            let error = LastGood::open(directory.path()).unwrap_err().to_string();
            assert!(error.contains("last-good.tar"), "{error}");
            assert!(error.contains("remove"), "{error}");
        }
    }
}
