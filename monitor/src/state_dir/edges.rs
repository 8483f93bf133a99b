//! When time changes what is in force next: for whoever finds a filter
//! without a daemon, whose time stands still.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StateDirError, read, write};

/// Name of the file in the state directory.
const FILE: &str = "edges.json";

/// What a daemon would have done by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edges {
    /// Where the filter is pinned.
    pub pin_dir: PathBuf,
    /// Sorted by time, then policy.
    pub edges: Vec<Edge>,
}

/// The next time at which a policy does something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// When.
    pub at: Timestamp,
    /// Its name.
    pub policy: String,
    /// What it does until then: an action, or why it does nothing.
    pub until: String,
}

impl Edges {
    /// What the daemon of the filter under `pin_dir` kept in `state_dir`.
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
        // Several gateways can live on one machine.
        Ok(if kept.pin_dir == pin_dir {
            kept
        } else {
            Self::default()
        })
    }

    /// Keeps them in `state_dir`.
    pub fn write(&self, state_dir: &Path) -> Result<(), StateDirError> {
        write(&state_dir.join(FILE), serde_json::to_string(self))
    }

    /// Those that `now` has passed.
    pub fn missed(&self, now: Timestamp) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.at <= now)
    }
}
