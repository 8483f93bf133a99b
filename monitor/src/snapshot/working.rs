//! The daemon's task in progress.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A task of the daemon that is in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Working {
    /// The task as a noun phrase, such as `a reload`.
    pub what: String,
    /// Time since it began, in whole seconds.
    pub seconds: u64,
}

impl Working {
    /// A task counts as hanging after this many seconds. For comparison: a reload of two
    /// whole routing tables takes two seconds on a small machine.
    pub const HANGS_AFTER: u64 = 10;

    /// Returns true if the task takes so long that it counts as hanging.
    #[must_use]
    pub const fn hangs(&self) -> bool {
        self.seconds >= Self::HANGS_AFTER
    }
}

/// Writes a sentence without the full stop.
impl fmt::Display for Working {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, seconds } = self;
        write!(f, "{what} has been under way for {seconds} s")
    }
}
