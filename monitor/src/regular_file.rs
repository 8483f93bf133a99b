//! Opens every file that the program reads. It opens only regular files, never waits,
//! and reads no more bytes than the limit for the file's purpose.
//!
//! So a FIFO, a device or an endless file in a watched folder cannot hang the process or
//! use up its memory. The kernel's own files (`/proc`, `/sys`) have a separate function.

use std::{
    fs::{self, File, FileType, OpenOptions},
    io::{self, Read, Seek as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use bytesize::ByteSize;

use crate::lists::MAX_FEED_BYTES;

/// The purpose for which a file is read. It decides the maximum size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A policy file or an overlay.
    Policies,
    /// A list, a table or a database of addresses.
    List,
    /// Data about ranges.
    Data,
    /// The config file.
    Config,
    /// Trusted certificates.
    Certificates,
    /// A small file of the state directory.
    State,
    /// The archive of the files that were in force last.
    LastGood,
    /// The content of a feed in its store.
    Feed,
    /// A capture.
    Capture,
    /// Leases, vendors or names of devices.
    Devices,
    /// A report, or its proof.
    Report,
    /// A time stamp of a report.
    Stamp,
    /// A key of SSH or minisign, a list of signers, or a signature.
    Key,
    /// A secret that the settings name.
    Secret,
}

impl Purpose {
    /// Returns the maximum size of such a file, in bytes.
    #[must_use]
    pub const fn limit(self) -> u64 {
        const MIB: u64 = 1 << 20;
        match self {
            Self::Config | Self::Stamp | Self::Key | Self::Secret => MIB,
            // The largest file of vendors, `oui.txt`, has 6 MB.
            Self::Policies | Self::Certificates | Self::State | Self::Devices => 16 * MIB,
            Self::Feed => MAX_FEED_BYTES,
            Self::List | Self::Data | Self::Report => 256 * MIB,
            Self::LastGood => 1024 * MIB,
            // Captures are read with bounded memory. The limit only stops the reading of a
            // huge sparse file.
            Self::Capture => 65_536 * MIB,
        }
    }

    /// Checks a size, in bytes, against the limit.
    ///
    /// # Errors
    ///
    /// Fails with a [`FileProblem`] that names the limit.
    pub fn check(self, size: u64) -> io::Result<()> {
        if size > self.limit() {
            return Err(FileProblem::too_large(self));
        }
        Ok(())
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Policies => "a policy file",
            Self::List => "a list",
            Self::Data => "data about ranges",
            Self::Config => "a config file",
            Self::Certificates => "a file of certificates",
            Self::State => "a file of the state directory",
            Self::LastGood => "the archive of the last good files",
            Self::Feed => "a feed",
            Self::Capture => "a capture file",
            Self::Devices => "a file about devices",
            Self::Report => "a report",
            Self::Stamp => "a time stamp",
            Self::Key => "a key, a list of signers or a signature",
            Self::Secret => "a file with a secret",
        }
    }

    const fn fix(self) -> &'static str {
        match self {
            Self::Policies => "move the addresses into lists, or split the file",
            Self::List => "split the list, or remove what the policies do not use",
            Self::Data => "remove the rows that are not needed",
            Self::Report => "make a report of a shorter period",
            Self::Config => "write only settings into it",
            Self::Devices => {
                "check which program writes the file, or name another one in `devices`"
            }
            Self::Certificates => "keep only the certificates that are needed",
            Self::Stamp => "name the file that `monitor report publish` wrote",
            Self::Key => "name a key, a list of signers or a signature",
            Self::Secret => "write only the secret into it",
            Self::State | Self::Feed => "remove the file; the daemon writes it again",
            Self::LastGood => "remove the file; the daemon writes it again from smaller lists",
            Self::Capture => {
                "split it with `editcap -c`, or give it on standard input: `monitor replay - <FILE`"
            }
        }
    }

    const fn fix_of_other_type(self) -> &'static str {
        match self {
            Self::Capture => {
                "write the capture into a file, or give it on standard input: `COMMAND | monitor replay -`"
            }
            Self::State | Self::Feed | Self::LastGood => {
                "remove it; the daemon writes the file again"
            }
            Self::Policies
            | Self::List
            | Self::Data
            | Self::Config
            | Self::Certificates
            | Self::Report
            | Self::Stamp
            | Self::Key
            | Self::Secret
            | Self::Devices => "put a regular file in its place",
        }
    }
}

/// The reason why a path is not read. An [`io::Error`] contains it; see
/// [`FileProblem::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; {}", self.why(), self.fix())]
pub struct FileProblem {
    purpose: Purpose,
    /// The type of the file, if it is not a regular file.
    found: Option<&'static str>,
}

impl FileProblem {
    /// Returns the problem that `error` contains, or `None` for an error of the system.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Returns the reason as text.
    #[must_use]
    pub fn why(&self) -> String {
        match self.found {
            Some(found) => format!("not a regular file: it is a {found}"),
            None => format!(
                "it has more than {}, the limit for {}",
                ByteSize::b(self.purpose.limit()).display().iec(),
                self.purpose.noun()
            ),
        }
    }

    /// Returns the fix as text.
    #[must_use]
    pub const fn fix(&self) -> &'static str {
        match self.found {
            Some(_) => self.purpose.fix_of_other_type(),
            None => self.purpose.fix(),
        }
    }

    fn too_large(purpose: Purpose) -> io::Error {
        let found = None;
        io::Error::new(io::ErrorKind::FileTooLarge, Self { purpose, found })
    }

    fn not_regular(purpose: Purpose, file_type: FileType) -> io::Error {
        let found = if file_type.is_fifo() {
            "FIFO"
        } else if file_type.is_dir() {
            "folder"
        } else if file_type.is_socket() {
            "socket"
        } else {
            "device"
        };
        let problem = Self {
            purpose,
            found: Some(found),
        };
        io::Error::new(io::ErrorKind::InvalidInput, problem)
    }
}

/// An open regular file. Reading beyond the limit is an error, even if the file grows
/// after it was opened.
#[derive(Debug)]
pub struct RegularFile {
    file: File,
    purpose: Purpose,
    /// Number of bytes that may still be read.
    left: u64,
    /// Size in bytes when it was opened.
    size: u64,
}

impl RegularFile {
    /// Opens the file at `path`. Follows symbolic links.
    ///
    /// # Errors
    ///
    /// Fails with an error of the system, or with a [`FileProblem`].
    pub fn open(path: &Path, purpose: Purpose) -> io::Result<Self> {
        let (file, size) = open_regular(path, purpose)?;
        purpose.check(size)?;
        Ok(Self {
            file,
            purpose,
            left: purpose.limit(),
            size,
        })
    }

    /// Returns the metadata of the opened file.
    ///
    /// # Errors
    ///
    /// Fails with an error of the system.
    pub fn metadata(&self) -> io::Result<fs::Metadata> {
        self.file.metadata()
    }

    /// The file itself, to be read within the size that it has: the limit does not
    /// hold for what it grows by.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }
}

/// Opens a regular file. Returns it with its size in bytes.
fn open_regular(path: &Path, purpose: Purpose) -> io::Result<(File, u64)> {
    // Checks the type before opening, because opening a device can have an effect: a
    // watchdog starts.
    let before = fs::metadata(path)?;
    if !before.is_file() {
        return Err(FileProblem::not_regular(purpose, before.file_type()));
    }
    // The path may lead to another file by now. If that is a FIFO, O_NONBLOCK keeps the
    // call from waiting.
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY);
    let file = open(&options, path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileProblem::not_regular(purpose, metadata.file_type()));
    }
    Ok((file, metadata.len()))
}

/// Reads at most `most` bytes from the beginning of a regular file of any size.
///
/// # Errors
///
/// Fails with an error of the system, or with a [`FileProblem`] if the file is not a
/// regular file.
pub fn read_beginning(path: &Path, purpose: Purpose, most: u64) -> io::Result<Vec<u8>> {
    let (file, _) = open_regular(path, purpose)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads at most `start` bytes from the beginning of a regular file of any size, and as many
/// bytes from its end as the limit for the purpose allows.
///
/// # Errors
///
/// Fails with an error of the system, or with a [`FileProblem`] if the file is not a
/// regular file.
pub fn read_ends(path: &Path, purpose: Purpose, start: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut file, size) = open_regular(path, purpose)?;
    let (mut first, mut last) = (Vec::new(), Vec::new());
    (&mut file).take(start).read_to_end(&mut first)?;
    let most = purpose.limit();
    file.seek(io::SeekFrom::Start(size.saturating_sub(most)))?;
    file.take(most).read_to_end(&mut last)?;
    Ok((first, last))
}

impl Read for RegularFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Reads one byte more than the limit, to notice a file that is too large.
        let most = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX);
        let most = buffer.len().min(most);
        let read = self.file.read(&mut buffer[..most])?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(FileProblem::too_large(self.purpose)),
        }
        Ok(read)
    }
}

/// Reads a whole regular file.
///
/// # Errors
///
/// Fails with an error of the system, or with a [`FileProblem`].
pub fn read(path: &Path, purpose: Purpose) -> io::Result<Vec<u8>> {
    let file = RegularFile::open(path, purpose)?;
    let mut bytes = Vec::new();
    // Reserves one byte more, so that `read_to_end` finds the end without another
    // allocation.
    bytes.try_reserve_exact(
        usize::try_from(file.size)
            .unwrap_or(usize::MAX)
            .saturating_add(1),
    )?;
    // Of a `File`, the standard library reads without clearing the room first.
    let most = file.left.saturating_add(1);
    let read = file.file.take(most).read_to_end(&mut bytes)?;
    if read as u64 > file.left {
        return Err(FileProblem::too_large(purpose));
    }
    Ok(bytes)
}

/// Reads a whole regular file as UTF-8 text.
///
/// # Errors
///
/// Fails with an error of the system, with a [`FileProblem`], or with
/// [`io::ErrorKind::InvalidData`] if the content is not UTF-8.
pub fn read_text(path: &Path, purpose: Purpose) -> io::Result<String> {
    let bytes = read(path, purpose)?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let message = format!("it is not UTF-8 text (byte {offset})");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// Reads a text file of the kernel, below `/proc` or `/sys`.
///
/// # Errors
///
/// Fails with an error of the system.
#[expect(
    clippy::disallowed_methods,
    reason = "reading a file of the kernel does not wait, and has an end"
)]
pub fn read_kernel_text(path: impl AsRef<Path>) -> io::Result<String> {
    fs::read_to_string(path)
}

/// Opens a folder.
///
/// # Errors
///
/// Fails with an error of the system: `ENOTDIR` if `path` is not a folder.
pub fn open_folder(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC);
    open(&options, path)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the flags keep the call from waiting"
)]
fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    #[test]
    fn a_file_that_grows_while_it_is_read_ends_at_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        fs::write(&path, "a").unwrap();
        let mut file = RegularFile::open(&path, Purpose::Config).unwrap();
        let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
        let block = vec![b'b'; 64 << 10];
        let mut read = 0;
        let error = loop {
            writer.write_all(&block).unwrap();
            let mut buffer = vec![0; 48 << 10];
            match file.read(&mut buffer) {
                Ok(bytes) => read += bytes as u64,
                Err(error) => break error,
            }
        };
        assert!(read <= Purpose::Config.limit(), "{read}");
        let text = error.to_string();
        assert!(text.contains("more than 1.0 MiB"), "{text}");
    }

    #[test]
    fn the_limit_is_kept_to_the_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let file = File::create(&path).unwrap();
        let limit = Purpose::Config.limit();
        file.set_len(limit).unwrap();
        let bytes = read(&path, Purpose::Config).unwrap();
        assert_eq!(bytes.len() as u64, limit);
        file.set_len(limit + 1).unwrap();
        let error = read(&path, Purpose::Config).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let problem = FileProblem::of(&error).unwrap();
        assert_eq!(problem.fix(), "write only settings into it");
    }
}
