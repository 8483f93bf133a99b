//! Backups of a gateway: the config file, the policies and lists, and the state directory, in one
//! file.
//!
//! A backup is a tar archive, compressed with gzip. Its last entry is a [`Manifest`] with the
//! place, owner, mode and SHA-256 of each file. [`restore`] changes nothing before all hashes are
//! right.

mod collect;
mod error;
mod manifest;
mod restore;
mod write;

pub use collect::{Sources, sources};
pub use error::BackupError;
pub use manifest::{Entry, Manifest, Part};
pub use restore::{Change, Plan, Restored, plan};
pub use write::write;
