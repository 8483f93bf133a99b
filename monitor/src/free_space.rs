//! Room that a file system has left.

use std::{io, path::Path};

use nix::sys::statvfs::statvfs;

/// The number of bytes that programs may still write to the file system of `directory`.
///
/// # Errors
///
/// The file system cannot be asked, for example because the directory does not exist.
pub(crate) fn free_bytes(directory: &Path) -> io::Result<u64> {
    let found = statvfs(directory)?;
    Ok(product(found.blocks_available(), found.fragment_size()))
}

/// Takes any unsigned numbers, because the types of the fields differ between processors.
fn product(one: impl Into<u64>, other: impl Into<u64>) -> u64 {
    one.into().saturating_mul(other.into())
}
