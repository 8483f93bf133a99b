//! Which files belong into a backup.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::{
    error::{BackupError, on},
    manifest::Part,
};

/// Ends of names of files that SQLite makes beside an open database. A copy of the database has
/// what they hold.
const BESIDE_DATABASES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Begin of names of files that are not finished.
const UNFINISHED: &str = ".unfinished-";

/// The files of a gateway.
#[derive(Debug)]
pub struct Sources {
    /// The state directory.
    pub(super) state_dir: PathBuf,
    /// Each file or directory once, and its part.
    pub(super) files: BTreeMap<PathBuf, Part>,
}

/// Finds the files of a gateway: those of the config, those of the policies, and all in the state
/// directory.
///
/// # Errors
///
/// The state directory cannot be read.
pub fn sources(
    config: impl IntoIterator<Item = PathBuf>,
    policies: impl IntoIterator<Item = PathBuf>,
    state_dir: &Path,
) -> Result<Sources, BackupError> {
    let mut files = BTreeMap::new();
    let named = [
        (
            Part::Policies,
            policies.into_iter().collect::<BTreeSet<_>>(),
        ),
        (Part::Config, config.into_iter().collect()),
    ];
    for (part, paths) in named {
        for path in paths {
            files.insert(place(&path).map_err(on("find", &path))?, part);
        }
    }
    if state_dir.exists() {
        add_directory(state_dir, &mut files)?;
    }
    Ok(Sources {
        state_dir: state_dir.to_owned(),
        files,
    })
}

/// The path of a file without `..`, which the manifest does not have.
fn place(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let goes_up = path.components().any(|part| part == Component::ParentDir);
    match (goes_up, path.parent(), path.file_name()) {
        (true, Some(directory), Some(name)) => Ok(fs::canonicalize(directory)?.join(name)),
        _ => Ok(path),
    }
}

fn add_directory(directory: &Path, files: &mut BTreeMap<PathBuf, Part>) -> Result<(), BackupError> {
    files.insert(directory.to_owned(), Part::Directory);
    let read = on("read", directory);
    let found: Result<Vec<_>, _> = fs::read_dir(directory).and_then(Iterator::collect);
    for entry in found.map_err(read)? {
        let path = entry.path();
        let kind = entry.file_type().map_err(on("read", &path))?;
        if kind.is_dir() {
            add_directory(&path, files)?;
        } else if kind.is_file() && is_kept(&path) {
            files.insert(path, Part::State);
        }
    }
    Ok(())
}

fn is_kept(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with(UNFINISHED) && !BESIDE_DATABASES.iter().any(|end| name.ends_with(end))
}
