//! The state directory: files that outlive the daemon and restarts of the machine.
//! Each file is replaced completely or not at all.

mod edges;
mod last_good;
mod not_confirmed;
mod runtime;
mod saved;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use edges::{Edge, Edges};
pub use last_good::{
    ArchiveWriter, ArchivedFiles, LastGood, Recorder, UnsavedLastGood, archived_files,
};
pub use not_confirmed::NotConfirmed;
pub use runtime::{
    RUNTIME_FILE, parse_runtime, read_runtime, runtime_text, set_runtime_aside, write_runtime,
};
pub use saved::{save, saved_path};

use crate::{
    new_file,
    regular_file::{self, Purpose},
};

/// A file of the state directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// The system refused to read or write the file.
    #[error("{operation} {}: {source}", crate::printable::path(path))]
    Io {
        /// `read`, `write`, `make` or `remove`.
        operation: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Error from the system.
        source: io::Error,
    },
    /// The last good files cannot be read.
    #[error(
        "read {}: {source}; remove the file: the daemon writes it again when policies come into force permanently",
        crate::printable::path(path)
    )]
    LastGood {
        /// Path of the archive.
        path: PathBuf,
        /// Reason.
        source: io::Error,
    },
    /// The file has content that this version does not write.
    #[error("{}:{line}: {source}", crate::printable::path(path))]
    Content {
        /// Path of the file.
        path: PathBuf,
        /// Line number, starting at 1.
        line: usize,
        /// Error from the parser.
        source: serde_json::Error,
    },
}

/// Text of a file; `None` if the file does not exist.
fn read(path: &Path) -> Result<Option<String>, StateDirError> {
    match regular_file::read_text(path, Purpose::State) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateDirError::Io {
            operation: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Replaces a file by one with this `content`. Only its owner may read it.
fn write<T, E>(path: &Path, content: Result<T, E>) -> Result<(), StateDirError>
where
    T: AsRef<[u8]>,
    io::Error: From<E>,
{
    let replace = || new_file::replace(path, content?.as_ref());
    replace().map_err(|source| StateDirError::Io {
        operation: "write",
        path: path.to_owned(),
        source,
    })
}
