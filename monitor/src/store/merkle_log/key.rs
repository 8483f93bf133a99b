//! The file with the key that signs the heads of the log.

use std::{io, path::Path};

use crate::{
    merkle::SigningKey,
    new_file, regular_file,
    store::{aside::io_error, error::StoreError},
};

/// Name of the file in the state directory.
pub const KEY_FILE: &str = "evidence.key";

/// Reads the key in the state directory. Creates it, mode 0600, if there is none.
///
/// # Errors
///
/// Returns an error if the file cannot be read or created, or if it holds no key.
pub fn signing_key(state_dir: &Path) -> Result<SigningKey, StoreError> {
    let path =
        std::path::absolute(state_dir.join(KEY_FILE)).map_err(io_error("open", state_dir))?;
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let bytes = match regular_file::read(&path, regular_file::Purpose::State) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = SigningKey::generate().map_err(|_| StoreError::Random)?;
            new_file::create(&path, &made).map_err(io_error("create", &path))?;
            made
        }
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    SigningKey::read(&bytes).map_err(|error| io_error("read", &path)(invalid(error)))
}
