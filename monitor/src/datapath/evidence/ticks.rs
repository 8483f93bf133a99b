//! Ticks of the kernel (jiffies) ↔ times.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_getres, clock_gettime};

/// The kernel counts ticks from five minutes before the wrap of 32 bits
/// (`INITIAL_JIFFIES`), so with `f` ticks per second it begins at 2^32 - 300 f.
const SECONDS_BEFORE_WRAP: u64 = 300;

/// The relation of ticks to the wall clock, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::datapath) struct Ticks {
    /// Length of a tick, nanoseconds.
    length: u64,
    /// Time of tick `first`.
    zero: Timestamp,
    /// Number of the tick at which the monotonic clock was 0.
    first: u64,
}

impl Ticks {
    /// The relation now. Steps of the wall clock and suspends before this moment are not
    /// known, so the caller asks anew before each conversion of recent ticks.
    pub(in crate::datapath) fn now() -> Self {
        let tick = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE);
        let tick: Duration = tick.expect("Linux has this clock").into();
        let uptime = clock_gettime(ClockId::CLOCK_MONOTONIC);
        let uptime: Duration = uptime.expect("Linux has this clock").into();
        let length = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX).max(1);
        let since_boot = SignedDuration::try_from(uptime).unwrap_or_default();
        Self {
            length,
            zero: Timestamp::now()
                .checked_sub(since_boot)
                .unwrap_or(Timestamp::UNIX_EPOCH),
            first: (1 << 32) - SECONDS_BEFORE_WRAP * (1_000_000_000 / length),
        }
    }

    /// Ticks of one microsecond from the Unix epoch, for a replay.
    pub(in crate::datapath) const MICROSECONDS: Self = Self {
        length: 1000,
        zero: Timestamp::UNIX_EPOCH,
        first: 0,
    };

    /// Number of ticks in a second.
    pub(in crate::datapath) fn per_second(self) -> u32 {
        u32::try_from(1_000_000_000 / self.length).unwrap_or(u32::MAX)
    }

    /// The time of a tick. Ticks that no time can have become the nearest possible time.
    pub(in crate::datapath) fn time(self, tick: u64) -> Timestamp {
        let after = i128::from(tick) - i128::from(self.first);
        let nanoseconds = self.zero.as_nanosecond() + after * i128::from(self.length);
        let end = Timestamp::MAX.as_nanosecond();
        let nanoseconds = nanoseconds.clamp(Timestamp::MIN.as_nanosecond(), end);
        Timestamp::from_nanosecond(nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
