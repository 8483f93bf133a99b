//! Reads a file of which another program writes new versions.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use crate::regular_file::{self, FileProblem, Purpose};

/// Bytes at the start of a long file in which its format is recognised.
const START: u64 = 64 << 10;

/// How often a file is read that changes while it is read.
const ATTEMPTS: usize = 3;

/// What changes if a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    /// Size in bytes.
    pub(super) size: u64,
    /// Time of the last change: seconds since 1970-01-01T00:00:00Z, and nanoseconds.
    pub(super) changed: (i64, i64),
}

impl Stamp {
    /// Returns the stamp of a file. Returns `None` if the file cannot be looked at.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// What a reading of a file found.
pub(super) enum Reading {
    /// The whole content, of one version of the file.
    Content(Vec<u8>, Stamp),
    /// The start and the end of a file that is larger than the limit, and the error that
    /// says so.
    Ends {
        start: Vec<u8>,
        end: Vec<u8>,
        stamp: Stamp,
        error: String,
    },
    /// There is no such file.
    Absent(String),
    /// The file changed while it was read.
    Changing,
    /// The file cannot be read now.
    Failed(String),
}

/// Reads a file. `is_long` is true if the ends of a long file are of use.
pub(super) fn read(path: &Path, is_long: bool) -> Reading {
    for _ in 0..ATTEMPTS {
        let before = Stamp::of(path);
        let bytes = regular_file::read(path, Purpose::Devices);
        let reading = match (bytes, before) {
            (Ok(bytes), Some(stamp)) => Reading::Content(bytes, stamp),
            (Err(error), Some(stamp)) if is_long && is_too_large(&error) => {
                match regular_file::read_ends(path, Purpose::Devices, START) {
                    Ok((start, end)) => Reading::Ends {
                        start,
                        end,
                        stamp,
                        error: error.to_string(),
                    },
                    Err(error) => Reading::Failed(error.to_string()),
                }
            }
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {
                return Reading::Absent(error.to_string());
            }
            (Err(error), _) => return Reading::Failed(error.to_string()),
            (Ok(_), None) => continue,
        };
        if Stamp::of(path) == before {
            return reading;
        }
    }
    Reading::Changing
}

fn is_too_large(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge && FileProblem::of(error).is_some()
}
