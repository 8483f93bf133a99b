//! Errors of the evidence store.

use std::{io, path::PathBuf};

use rusqlite::ErrorCode;

use crate::printable;

/// The reason why an operation of the store failed. No text of an error holds an address,
/// a name or a MAC.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused an operation on a file.
    #[error("{operation} {}: {source}", printable::path(path))]
    Io {
        /// The operation, as a verb such as "create".
        operation: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// SQLite refused an operation.
    #[error("{operation} the evidence store: {source}")]
    Sqlite {
        /// The operation, as a phrase that "the evidence store" ends, such as "open".
        operation: &'static str,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// The file has a schema that this version of the program does not know.
    #[error(
        "{} has schema version {found}, and this program knows versions up to {known}: install the newer program, or move the file away",
        printable::path(path)
    )]
    Newer {
        /// Path of the file.
        path: PathBuf,
        /// Version in the file.
        found: i64,
        /// Newest version that this program knows.
        known: i64,
    },
    /// The file has an older schema, and a reader cannot change it.
    #[error(
        "{} has schema version {found}: the daemon migrates it to version {known} at its next start",
        printable::path(path)
    )]
    Older {
        /// Path of the file.
        path: PathBuf,
        /// Version in the file.
        found: i64,
        /// Version that this program reads.
        known: i64,
    },
    /// The file is a database of another program.
    #[error(
        "{} is a database of another program: move it away",
        printable::path(path)
    )]
    Foreign {
        /// Path of the file.
        path: PathBuf,
    },
    /// A reader keeps SQLite from emptying its log, and the log reached its limit.
    #[error(
        "write the evidence store: a reader holds the log, which has {bytes} bytes; the write succeeds when the reader ends"
    )]
    LogHeld {
        /// Size of the log in bytes.
        bytes: u64,
    },
    /// The system gave no random bytes.
    #[error("write the evidence store: the system gives no random bytes")]
    Random,
    /// A row holds a value that the store does not write.
    #[error("read the evidence store: a row of the table {table} is damaged")]
    Content {
        /// Name of the table.
        table: &'static str,
    },
}

/// What the daemon can do about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The disk or the store is full, or another process holds it. Repeat the operation
    /// later. The failed operation left no trace.
    Retry,
    /// The file is damaged. Open the store again: opening checks the file and sets a
    /// damaged one aside.
    Reopen,
    /// The operator has to act.
    Operator,
}

impl StoreError {
    /// Returns what the daemon can do about the error.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::LogHeld { .. } | Self::Io { .. } | Self::Random => Remedy::Retry,
            Self::Content { .. } => Remedy::Reopen,
            Self::Sqlite { .. } if self.is_damaged_row() => Remedy::Reopen,
            Self::Newer { .. } | Self::Older { .. } | Self::Foreign { .. } => Remedy::Operator,
            Self::Sqlite { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Remedy::Reopen,
                _ => Remedy::Retry,
            },
        }
    }

    /// True if a row holds a value that the store does not write.
    pub(super) fn is_damaged_row(&self) -> bool {
        match self {
            Self::Content { .. } => true,
            Self::Sqlite { source, .. } => matches!(
                source,
                rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::Utf8Error(..)
            ),
            _ => false,
        }
    }
}

/// Returns a function that adds the name of the operation to an error of SQLite.
pub(super) fn on(operation: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::Sqlite { operation, source }
}
