//! Files for the operator to read. The daemon writes them, but never reads them.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{StateDirError, write};

/// Name of the directory in the state directory.
const DIRECTORY: &str = "saved";

/// Path of the file with this name.
#[must_use]
pub fn saved_path(state_dir: &Path, name: &str) -> PathBuf {
    state_dir.join(DIRECTORY).join(format!("{name}.json"))
}

/// Writes `content` as JSON. Replaces an existing file.
pub fn save(path: &Path, content: &impl Serialize) -> Result<(), StateDirError> {
    let directory = path.parent().unwrap_or(Path::new(""));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| StateDirError::Io {
            operation: "make",
            path: directory.to_owned(),
            source,
        })?;
    write(path, serde_json::to_vec_pretty(content))
}
