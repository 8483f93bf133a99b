//! Files beside the database: a damaged database that was set aside, and the copy of a
//! database before its migration.
//!
//! ```text
//! evidence.db.damaged-20261129T101500Z     and its log, …Z-wal
//! evidence.db.version-1-20261129T101500Z
//! ```
//!
//! At most one file of each kind exists. It goes when its content is older than the
//! retention, and when a device is forgotten, because it may hold rows of the device.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use rusqlite::Connection;

use super::{
    error::{StoreError, on},
    schema::FILE,
};
use crate::{free_space, new_file};

const DAMAGED: &str = "damaged-";
const VERSION: &str = "version-";
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// Moves the database and its log to a new name, in place of a database that was set
/// aside before. Returns the new name of the database.
pub(super) fn set_aside(path: &Path, now: Timestamp) -> Result<String, StoreError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    remove(directory, |kind, _| kind == Kind::Damaged)?;
    let name = format!("{FILE}.{DAMAGED}{}", now.strftime(TIME));
    let new = directory.join(&name);
    let log = beside(path, "-wal");
    if log.exists() {
        rename(&log, &beside(&new, "-wal"))?;
    }
    let shared = beside(path, "-shm");
    if shared.exists() {
        fs::remove_file(&shared).map_err(io_error("remove", &shared))?;
    }
    rename(path, &new)?;
    Ok(name)
}

/// Copies the database beside itself, in place of an earlier copy. Returns the name of
/// the copy, or `None` if the disk has no room for the copy and a migration.
pub(super) fn copy(
    connection: &Connection,
    path: &Path,
    version: i64,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    remove(directory, |kind, _| kind == Kind::Version)?;
    let size = fs::metadata(path).map_err(io_error("read", path))?.len();
    if free_bytes(directory)? < size.saturating_mul(3) {
        return Ok(None);
    }
    let name = format!("{FILE}.{VERSION}{version}-{}", now.strftime(TIME));
    let new = directory.join(&name);
    // SQLite writes into an empty file, and keeps its mode.
    new_file::replace(&new, &[]).map_err(io_error("create", &new))?;
    let Some(text) = new.to_str() else {
        return Ok(None);
    };
    connection
        .execute("VACUUM INTO ?1", [text])
        .map_err(on("copy"))?;
    Ok(Some(name))
}

/// Removes the files beside the database that are older than `keep`. Returns their
/// number.
pub(super) fn remove_older(
    path: &Path,
    now: Timestamp,
    keep: Duration,
) -> Result<usize, StoreError> {
    let oldest = now.checked_sub(keep).unwrap_or(Timestamp::MIN);
    let directory = path.parent().unwrap_or(Path::new("/"));
    remove(directory, |_, time| time < oldest)
}

/// Removes all files beside the database. Returns their number.
pub(super) fn remove_all(path: &Path) -> Result<usize, StoreError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    remove(directory, |_, _| true)
}

/// Returns the path with an ending added, as SQLite names its log.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Damaged,
    Version,
}

fn remove(directory: &Path, goes: impl Fn(Kind, Timestamp) -> bool) -> Result<usize, StoreError> {
    let mut removed = 0;
    for entry in fs::read_dir(directory).map_err(io_error("list", directory))? {
        let entry = entry.map_err(io_error("list", directory))?;
        let name = entry.file_name();
        let Some((kind, time)) = name.to_str().and_then(parse) else {
            continue;
        };
        if goes(kind, time) {
            let path = entry.path();
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn parse(name: &str) -> Option<(Kind, Timestamp)> {
    let rest = name.strip_prefix(FILE)?.strip_prefix('.')?;
    let rest = ["-wal", "-journal"]
        .iter()
        .find_map(|ending| rest.strip_suffix(ending))
        .unwrap_or(rest);
    let (kind, time) = match rest.strip_prefix(DAMAGED) {
        Some(time) => (Kind::Damaged, time),
        None => (
            Kind::Version,
            rest.strip_prefix(VERSION)?.split_once('-')?.1,
        ),
    };
    let time = DateTime::strptime(TIME, time).ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?;
    Some((kind, time.timestamp()))
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(io_error("rename", from))
}

/// Returns the number of bytes that the file system of a folder has left.
pub(super) fn free_bytes(directory: &Path) -> Result<u64, StoreError> {
    free_space::free_bytes(directory).map_err(io_error("measure", directory))
}

/// Returns a function that adds the operation and the path to an error of the system.
pub(super) fn io_error(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io {
        operation,
        path,
        source,
    }
}
