//! Until when a generation is to be confirmed.

use std::time::Duration;

use monitor_common::GenerationRecord;

use crate::clock::boot_time;

/// Until when a generation is to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Since boot.
    at: Duration,
    within: Duration,
}

impl Deadline {
    /// That long from now.
    #[must_use]
    pub fn after(within: Duration) -> Self {
        Self {
            at: boot_time() + within,
            within,
        }
    }

    /// How long it was when it was set.
    #[must_use]
    pub const fn within(self) -> Duration {
        self.within
    }

    /// How long it is still; zero where it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.at.saturating_sub(boot_time())
    }

    /// Whether the generation before decides again.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.left().is_zero()
    }

    /// Of a generation that has one.
    pub(super) fn of(record: GenerationRecord) -> Option<Self> {
        (record.deadline != 0).then(|| Self {
            at: Duration::from_nanos(record.deadline),
            within: Duration::from_secs(record.within),
        })
    }

    /// As the kernel compares it, since boot.
    #[must_use]
    pub fn nanoseconds(self) -> u64 {
        u64::try_from(self.at.as_nanos()).unwrap_or(u64::MAX)
    }
}
