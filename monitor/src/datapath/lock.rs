//! Lock of a pin directory. Only the process that holds it may change the pins.

use std::{io, os::fd::OwnedFd, path::Path};

use super::{
    Error,
    pins::{Pins, failed},
};
use crate::{
    file_lock::{self, FileLock, FileLockError},
    regular_file,
};

/// Lock of the pin directory. Dropping the value releases it.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "dropping this releases the lock")] FileLock);

impl Lock {
    /// Locks the pin directory. Returns an error if it does not exist or another
    /// process holds the lock.
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

/// Describes the process that holds the filter pinned at `pin_dir`. `None` if no
/// process holds it, or if this user may not see the process.
#[must_use]
pub fn holder(pin_dir: &Path) -> Option<String> {
    let pins = Pins::new(pin_dir);
    file_lock::holder(&open_directory(pins.root()).ok()?)
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(regular_file::open_folder(path)?.into())
}
