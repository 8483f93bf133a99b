//! When a content is read again after an attempt failed.

use super::Stamp;

/// A content that could not be read, for example because the disk is full.
#[derive(Clone, Debug)]
pub(super) struct Retry {
    pub(super) stamp: Stamp,
    /// Number of attempts that failed.
    pub(super) failures: u32,
    /// Number of loads to skip before the next attempt.
    pub(super) skip: u32,
}

/// Maximum number of loads that a content is skipped for, after attempts to read it failed.
/// The daemon loads every 30 s, so this is an hour.
pub(super) const MAX_SKIP: u32 = 119;

impl Retry {
    /// Returns the state after another attempt failed. The waiting time doubles each time.
    pub(super) fn after(before: Option<&Self>, stamp: Stamp) -> Self {
        let same = before.filter(|before| before.stamp == stamp);
        let failures = same.map_or(1, |before| before.failures.saturating_add(1));
        let loads = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        Self {
            stamp,
            failures,
            skip: (loads - 1).min(MAX_SKIP),
        }
    }
}
