//! The manifest: what a backup has, and where it belongs.

use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Format that this version writes, and the highest that it reads.
pub(super) const FORMAT: u32 = 1;

/// Name of the manifest in the archive.
pub(super) const NAME: &str = "manifest.json";

/// Contents of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of the backup.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// When it was written.
    pub made: Timestamp,
    /// The state directory, an absolute path.
    pub state_dir: PathBuf,
    /// Files and directories, sorted by path.
    pub entries: Vec<Entry>,
}

/// A part of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The config file, and the files that it names.
    Config,
    /// Policy files and lists.
    Policies,
    /// A file of the state directory.
    State,
    /// A directory of the state directory.
    Directory,
}

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Absolute path.
    pub path: PathBuf,
    /// Part of the backup.
    pub part: Part,
    /// Permissions.
    pub mode: u32,
    /// Name of the owner, or the number of a user without a name.
    pub owner: String,
    /// Name of the group, or the number of a group without a name.
    pub group: String,
    /// Size in bytes; 0 of a directory.
    pub size: u64,
    /// SHA-256 in hexadecimal digits; empty of a directory.
    pub sha256: String,
}

impl Manifest {
    /// The first thing in it that no backup has, if any.
    pub(super) fn fault(&self) -> Option<String> {
        let wrong = |path: &Path| {
            let plain =
                |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
            !path.is_absolute() || !path.components().all(plain) || path.file_name().is_none()
        };
        if wrong(&self.state_dir) {
            return Some("the state directory in it is not an absolute path".to_owned());
        }
        self.entries.iter().find_map(|entry| {
            let is_state = matches!(entry.part, Part::State | Part::Directory);
            let outside = is_state && !entry.path.starts_with(&self.state_dir);
            (wrong(&entry.path) || outside).then(|| {
                format!(
                    "its file {} has a path that no backup writes",
                    crate::printable::path(&entry.path)
                )
            })
        })
    }

    /// Name of an entry in the archive: its number in the manifest.
    pub(super) fn name(number: usize) -> String {
        format!("files/{number:06}")
    }
}
