//! Time by which a generation must be confirmed.

use std::time::Duration;

use monitor_common::GenerationRecord;

use crate::clock::boot_time;

/// Time by which a generation must be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Time since boot.
    at: Duration,
    within: Duration,
}

impl Deadline {
    /// Deadline that is `within` after now.
    #[must_use]
    pub fn after(within: Duration) -> Self {
        Self {
            at: boot_time() + within,
            within,
        }
    }

    /// Time between setting the deadline and the deadline.
    #[must_use]
    pub const fn within(self) -> Duration {
        self.within
    }

    /// Time until the deadline; zero if it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.at.saturating_sub(boot_time())
    }

    /// True if the deadline has passed. Then the generation before decides again.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.left().is_zero()
    }

    /// Deadline in the record of a generation; `None` if it has no deadline.
    pub(super) fn of(record: GenerationRecord) -> Option<Self> {
        (record.deadline != 0).then(|| Self {
            at: Duration::from_nanos(record.deadline),
            within: Duration::from_secs(record.within),
        })
    }

    /// Deadline in nanoseconds since boot, as the kernel program compares it.
    #[must_use]
    pub fn nanoseconds(self) -> u64 {
        u64::try_from(self.at.as_nanos()).unwrap_or(u64::MAX)
    }
}
