//! The state directory: what outlives the daemon and the machine's restarts.
//! Each file is replaced whole or not at all.

mod edges;
mod last_good;
mod not_confirmed;
mod runtime;
mod saved;
mod unfinished;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

pub use edges::{Edge, Edges};
pub use last_good::{LastGood, Recorder};
pub use not_confirmed::NotConfirmed;
pub use runtime::{
    RUNTIME_FILE, parse_runtime, read_runtime, runtime_text, set_runtime_aside, write_runtime,
};
pub use saved::{save, saved_path};
pub use unfinished::{new_file, remove_unfinished};

use crate::regular_file::{self, Purpose};

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
    let directory = path.parent().unwrap_or(Path::new(""));
    let replace = || {
        let content = content?;
        let mut file = new_file(directory)?;
        file.write_all(content.as_ref())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        regular_file::open_folder(directory)?.sync_all()
    };
    replace().map_err(|source| StateDirError::Io {
        operation: "write",
        path: path.to_owned(),
        source,
    })
}
