//! The file with the next change of each policy. If no daemon runs, commands read
//! it to report the changes that were missed.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StateDirError, read, write};

/// Name of the file in the state directory.
const FILE: &str = "edges.json";

/// Changes that a running daemon makes by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edges {
    /// Pin directory of the filter.
    pub pin_dir: PathBuf,
    /// Next change of each policy, sorted by time, then policy.
    pub edges: Vec<Edge>,
}

/// The next time at which a policy changes what it does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Time of the change.
    pub at: Timestamp,
    /// Name of the policy.
    pub policy: String,
    /// What the policy does until then: an action, or the reason why it does
    /// nothing.
    pub until: String,
}

impl Edges {
    /// Reads what the daemon of the filter under `pin_dir` stored in `state_dir`.
    /// Empty if it stored nothing, or if the file belongs to another pin directory.
    pub fn read(state_dir: &Path, pin_dir: &Path) -> Result<Self, StateDirError> {
        let path = state_dir.join(FILE);
        let Some(text) = read(&path)? else {
            return Ok(Self::default());
        };
        let kept: Self = serde_json::from_str(&text).map_err(|source| StateDirError::Content {
            line: source.line(),
            path,
            source,
        })?;
        // Several filters can run on one machine.
        Ok(if kept.pin_dir == pin_dir {
            kept
        } else {
            Self::default()
        })
    }

    /// Stores the changes in `state_dir`. Writes nothing if they are stored already: most
    /// reloads change none, and the disk may take longer than the rest of a reload.
    pub fn write(&self, state_dir: &Path) -> Result<(), StateDirError> {
        if Self::read(state_dir, &self.pin_dir).is_ok_and(|stored| stored == *self) {
            return Ok(());
        }
        write(&state_dir.join(FILE), serde_json::to_string(self))
    }

    /// Changes whose time has come at `now`.
    pub fn missed(&self, now: Timestamp) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.at <= now)
    }
}
