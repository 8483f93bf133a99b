//! Reads files that other users must not read.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use crate::regular_file::{self, Purpose};

/// Permissions that other users must not have.
const OTHERS: u32 = 0o007;

/// Why a file with a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("read {}: {source}", crate::printable::path(path))]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// Other users can read it.
    #[error(
        "other users can read {}: take it over with `chown`, and use `chmod 0640`",
        crate::printable::path(path)
    )]
    Exposed {
        /// Path of the file.
        path: PathBuf,
    },
}

/// Reads a file that belongs to root or to the user of this process, and that other users cannot
/// read.
///
/// # Errors
///
/// Returns why it cannot be used, and the fix.
pub fn read(path: &Path) -> Result<Vec<u8>, SecretFileError> {
    let failed = |source| SecretFileError::Read {
        path: path.to_owned(),
        source,
    };
    let found = fs::metadata(path).map_err(failed)?;
    let is_own = found.uid() == 0 || found.uid() == geteuid().as_raw();
    if !is_own || found.mode() & OTHERS != 0 {
        return Err(SecretFileError::Exposed {
            path: path.to_owned(),
        });
    }
    regular_file::read(path, Purpose::Secret).map_err(failed)
}
