//! Why a backup is not written or restored.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::printable;

/// Why a backup is not written or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The system refused something.
    #[error("{operation} {}: {source}", printable::path(path))]
    Io {
        /// What was done, such as `read`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Error from the system.
        source: io::Error,
    },
    /// A database cannot be copied.
    #[error("copy the database {}: {source}", printable::path(path))]
    Database {
        /// The file.
        path: PathBuf,
        /// Error from SQLite.
        source: rusqlite::Error,
    },
    /// The file is no backup, or a damaged one.
    #[error(
        "{} is not a whole backup: {why}; use another backup",
        printable::path(path)
    )]
    Damaged {
        /// The backup.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A later version wrote the backup.
    #[error(
        "{} has format {found}, and this version reads format {known}: install the version {program} or a later one",
        printable::path(path)
    )]
    Later {
        /// The backup.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format of this version.
        known: u32,
        /// The version that wrote it.
        program: String,
    },
}

/// For `map_err`: an error of the system, with the operation and the file.
pub(super) fn on(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::Io {
        operation,
        path,
        source,
    }
}
