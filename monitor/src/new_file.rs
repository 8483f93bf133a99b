//! Writes files atomically: writes an unfinished file in the same directory, syncs
//! it to disk, then renames it.
//!
//! A process that is killed leaves an unfinished file behind. Its name tells which
//! process wrote it, so that the next daemon can remove it.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process,
};

use tempfile::NamedTempFile;

use crate::regular_file;

/// Prefix of the names of unfinished files. The number of the writing process and a
/// random part follow.
const PREFIX: &str = ".unfinished-";

/// Creates an unfinished file in `directory`, mode 0600. Dropping the value removes
/// the file.
///
/// # Errors
///
/// Returns the error of the system.
pub fn begin(directory: &Path) -> io::Result<NamedTempFile> {
    let prefix = format!("{PREFIX}{}-", process::id());
    tempfile::Builder::new()
        .prefix(&prefix)
        .tempfile_in(directory)
}

/// Renames an unfinished file to `path`, and replaces an existing file. The
/// unfinished file must be in the directory of `path`.
///
/// # Errors
///
/// Returns the error of the system. The old file is still there, unless only the
/// last step failed. Then the new file is there, but a power failure may undo the
/// renaming.
pub fn put(file: &NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    fs::rename(file.path(), path)?;
    sync_directory_of(path)
}

/// Replaces the file at `path` by a file with this `content`, mode 0600.
///
/// # Errors
///
/// As for [`put`].
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    put(&written(path, content)?, path)
}

/// Creates a file at `path` with this `content`, mode 0600.
///
/// # Errors
///
/// Returns the error of the system: [`io::ErrorKind::AlreadyExists`] if the file
/// exists.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    put_new(written(path, content)?, path)
}

/// Renames an unfinished file to `path`, where nothing may be. The unfinished file must be in the
/// directory of `path`.
///
/// # Errors
///
/// As for [`create`].
pub fn put_new(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    sync_directory_of(path)
}

/// Creates a file at `path`, mode 0600, for a caller that writes it piece by piece, and reads it
/// again. The file has
/// its name from the beginning, so that what is written stays if the process is killed. A link
/// at `path` is not followed.
///
/// # Errors
///
/// Returns the error of the system: [`io::ErrorKind::AlreadyExists`] if something is at `path`.
pub fn create_growing(path: &Path) -> io::Result<fs::File> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the file is new, so the call does not wait for a FIFO"
    )]
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file
}

fn written(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = begin(directory_of(path))?;
    file.write_all(content)?;
    Ok(file)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    regular_file::open_folder(directory_of(path))?.sync_all()
}

/// Removes the unfinished files of ended processes from `directory`. Call it before
/// this process begins a file there.
///
/// # Errors
///
/// Returns the error of the system.
pub fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let writer = entry.file_name().to_str().and_then(writer);
        if writer.is_some_and(is_gone) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn writer(name: &str) -> Option<u32> {
    let (process, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    process.parse().ok()
}

/// True if the process has ended, or has the number of this process. In a
/// container, a new daemon may get the number of the last one.
fn is_gone(process: u32) -> bool {
    process == process::id() || !Path::new("/proc").join(process.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_what_no_process_writes_any_more_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let begun = begin(directory.path()).unwrap();
        let (_, own) = begun.keep().unwrap();
        // Process 1 always exists. The kernel numbers processes up to 2^22.
        let [living, dead] = [1, 5_000_000].map(|process| {
            let path = directory.path().join(format!("{PREFIX}{process}-a1"));
            fs::write(&path, "").unwrap();
            path
        });
        let kept = directory.path().join("last-good.tar");
        fs::write(&kept, "").unwrap();
        remove_unfinished(directory.path()).unwrap();
        let there = [&own, &living, &dead, &kept].map(|path| path.exists());
        assert_eq!(there, [false, true, false, true]);
    }

    #[test]
    fn a_file_is_replaced_whole_and_one_that_is_there_is_not_created() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for content in ["first", "second"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = create(&path, b"third").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        let grown = directory.path().join("grown");
        create_growing(&grown).unwrap().write_all(b"first").unwrap();
        let error = create_growing(&grown).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let mode = fs::metadata(&grown).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("target"), &link).unwrap();
        create_growing(&link).unwrap_err();
        fs::remove_file(&grown).unwrap();
        fs::remove_file(&link).unwrap();
        // A failure leaves nothing behind.
        let missing = directory.path().join("missing/file");
        replace(&missing, b"").unwrap_err();
        assert_eq!(directory.path().read_dir().unwrap().count(), 1);
    }
}
