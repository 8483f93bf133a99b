//! The file with the key that signs the heads of the log.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    merkle::SigningKey,
    new_file, regular_file,
    store::{aside::io_error, error::StoreError},
};

/// Name of the file in the state directory.
pub const KEY_FILE: &str = "evidence.key";

/// Reads the key in the state directory; `None` if there is none.
///
/// # Errors
///
/// Returns an error if the file cannot be read, or if it holds no key.
pub fn known_key(state_dir: &Path) -> Result<Option<SigningKey>, StoreError> {
    let path = path_in(state_dir)?;
    match regular_file::read(&path, regular_file::Purpose::State) {
        Ok(bytes) => read(&path, &bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", &path)(error)),
    }
}

/// Reads the key in the state directory. Creates it, mode 0600, if there is none.
///
/// # Errors
///
/// Returns an error if the file cannot be read or created, or if it holds no key.
pub fn signing_key(state_dir: &Path) -> Result<SigningKey, StoreError> {
    if let Some(key) = known_key(state_dir)? {
        return Ok(key);
    }
    let path = path_in(state_dir)?;
    let made = SigningKey::generate().map_err(|_| StoreError::Random)?;
    match new_file::create(&path, &made) {
        Ok(()) => read(&path, &made),
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            known_key(state_dir)?.ok_or_else(|| io_error("read", &path)(error))
        }
        Err(error) => Err(io_error("create", &path)(error)),
    }
}

fn path_in(state_dir: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(state_dir.join(KEY_FILE)).map_err(io_error("open", state_dir))
}

fn read(path: &Path, bytes: &[u8]) -> Result<SigningKey, StoreError> {
    SigningKey::read(bytes).map_err(|error| {
        let invalid = io::Error::new(io::ErrorKind::InvalidData, error);
        io_error("read", path)(invalid)
    })
}
