//! The state directory: what outlives the daemon and the machine's restarts.
//! Each file is replaced whole or not at all.

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
pub use last_good::{ArchiveWriter, ArchivedFiles, LastGood, Recorder, Unkept, archived_files};
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
    /// The system does not let it be read or written.
    #[error("{operation} {}: {source}", crate::printable::path(path))]
    Io {
        /// `read`, `write`, `make` or `remove`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// What was in force for good last cannot be read.
    #[error(
        "read {}: {source}; remove the file: the daemon writes it anew with the next policies in force for good",
        crate::printable::path(path)
    )]
    LastGood {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// It says something that this version does not write.
    #[error("{}:{line}: {source}", crate::printable::path(path))]
    Content {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The parser's answer.
        source: serde_json::Error,
    },
}

/// Text of a file; `None` where there is none.
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

/// Puts `content` in the place of what a file holds, for the owner's eyes only.
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
