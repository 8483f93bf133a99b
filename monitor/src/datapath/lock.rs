//! The right to change what is pinned: at most one process has it.

use std::{io, os::fd::OwnedFd, path::Path};

use super::{
    Error,
    pins::{Pins, failed},
};
use crate::{
    file_lock::{self, FileLock, FileLockError},
    regular_file,
};

/// The lock of the pin directory; given back with this value.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "dropping it gives the lock back")] FileLock);

impl Lock {
    /// Locks the pin directory, which must exist.
    pub(super) fn acquire(pins: &Pins) -> Result<Self, Error> {
        let path = pins.root();
        let lock = FileLock::acquire(path, || open_directory(path));
        lock.map(Self).map_err(|error| match error {
            FileLockError::Held { holder } => Error::Locked {
                path: path.to_owned(),
                holder,
            },
            FileLockError::Open(source) if source.kind() == io::ErrorKind::NotFound => {
                Error::NotAttached {
                    path: path.to_owned(),
                }
            }
            FileLockError::Open(source) => failed("open", path)(source),
            FileLockError::Lock(source) => failed("lock", path)(source),
        })
    }
}

/// The process that holds the filter pinned at `pin_dir`, in words; `None` where
/// no process does, or where this user may not know.
#[must_use]
pub fn holder(pin_dir: &Path) -> Option<String> {
    let pins = Pins::new(pin_dir);
    file_lock::holder(&open_directory(pins.root()).ok()?)
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(regular_file::open_folder(path)?.into())
}
