//! Record of policy files that were put in force on trial and are not confirmed.
//! The next start must not put them in force permanently.

use std::{
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StateDirError, read, write};
use crate::snapshot::Unconfirmed;

/// Name of the file in the state directory.
const FILE: &str = "not-confirmed.json";

/// When the policy files were put in force, and how long they can be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotConfirmed {
    /// Time at which they were put in force.
    pub since: Timestamp,
    /// Time for the confirmation, in seconds.
    pub within_seconds: u64,
    /// Deadline of the generation, in nanoseconds since boot.
    pub deadline_nanoseconds: u64,
}

impl NotConfirmed {
    /// Path of the record.
    #[must_use]
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join(FILE)
    }

    /// Reads the record in `state_dir`; `None` if there is none.
    pub fn read(state_dir: &Path) -> Result<Option<Self>, StateDirError> {
        let path = Self::path(state_dir);
        let Some(text) = read(&path)? else {
            return Ok(None);
        };
        let kept = serde_json::from_str(&text).map_err(|source| StateDirError::Content {
            line: source.line(),
            path,
            source,
        })?;
        Ok(Some(kept))
    }

    /// Stores the record in `state_dir`.
    pub fn write(&self, state_dir: &Path) -> Result<(), StateDirError> {
        write(&Self::path(state_dir), serde_json::to_string(self))
    }

    /// Removes the record, because the files are in force permanently. A missing
    /// record is no error.
    pub fn remove(state_dir: &Path) -> Result<(), StateDirError> {
        let path = Self::path(state_dir);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateDirError::Io {
                operation: "remove",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }

    /// The record as a snapshot shows it after the deadline.
    #[must_use]
    pub const fn shown(&self) -> Unconfirmed {
        Unconfirmed {
            generation: None,
            previous: None,
            within_seconds: self.within_seconds,
            seconds_left: 0,
            rolled_back: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let read = || NotConfirmed::read(directory.path());
        assert_eq!(read().unwrap(), None);
        NotConfirmed::remove(directory.path()).unwrap();
        let kept = NotConfirmed {
            since: Timestamp::UNIX_EPOCH,
            within_seconds: 60,
            deadline_nanoseconds: u64::MAX,
        };
        kept.write(directory.path()).unwrap();
        assert_eq!(read().unwrap(), Some(kept));
        NotConfirmed::remove(directory.path()).unwrap();
        assert_eq!(read().unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_is_not_nothing() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(NotConfirmed::path(directory.path()), "{}").unwrap();
        let error = NotConfirmed::read(directory.path())
            .unwrap_err()
            .to_string();
        assert!(error.contains("not-confirmed.json:1: "), "{error}");
    }
}
