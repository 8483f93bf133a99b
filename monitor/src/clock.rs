//! The machine's clock: the current time, its reliability, and waiting for a time.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use nix::{
    errno::Errno,
    sys::{
        time::TimeSpec,
        timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
    time::{ClockId, clock_gettime},
};
use tokio::io::unix::AsyncFd;

use crate::{
    policy::{Moment, SinceBoot},
    regular_file,
};

/// Returns the current time, with its reliability and the time since boot.
#[must_use]
pub fn now() -> Moment {
    Moment {
        at: Timestamp::now(),
        clock_synchronised: is_synchronised(),
        since_boot: since_boot(),
    }
}

/// Writes a time as RFC 3339, rounded to seconds.
#[must_use]
pub fn to_the_second(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}

/// Writes the begin of a period as RFC 3339: the whole second not after it.
#[must_use]
pub fn from_the_second(begin: Timestamp) -> String {
    whole_second(begin, RoundMode::Floor)
}

/// Writes the end of a period as RFC 3339: the whole second not before it.
#[must_use]
pub fn up_to_the_second(end: Timestamp) -> String {
    whole_second(end, RoundMode::Ceil)
}

fn whole_second(time: Timestamp, mode: RoundMode) -> String {
    let whole = TimestampRound::new().smallest(Unit::Second).mode(mode);
    time.round(whole).unwrap_or(time).to_string()
}

/// Returns the time since the machine started, including sleep (`CLOCK_BOOTTIME`). This
/// clock cannot be set.
///
/// # Panics
///
/// Panics on a kernel before 2.6.39, which does not have this clock.
#[must_use]
pub fn boot_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME);
    time.expect("Linux has this clock").into()
}

/// Returns the time of processors that the calling thread has used.
#[must_use]
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.map(Duration::from).unwrap_or_default()
}

/// Returns the ID of this boot and the time since it. Returns `None` if the kernel's
/// boot ID cannot be read.
fn since_boot() -> Option<SinceBoot> {
    let id = regular_file::read_kernel_text("/proc/sys/kernel/random/boot_id").ok()?;
    let boot = hex::decode(id.trim().replace('-', "")).ok()?;
    Some(SinceBoot {
        boot: boot.try_into().ok()?,
        milliseconds: boot_time().as_millis().try_into().ok()?,
    })
}

/// Returns true if a time service keeps the clock synchronised, as the kernel reports
/// by `adjtimex(2)`.
fn is_synchronised() -> bool {
    // SAFETY: all fields are integers, so zero is a valid value for each. `modes` is zero,
    // so the call changes no clock and only fills the fields.
    let state = unsafe {
        let mut answer: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut answer)
    };
    (0..libc::TIME_ERROR).contains(&state)
}

/// The latest time of a timer. A processor of 32 bits counts to the year 2038, and an alarm for a
/// later time wakes then.
const LATEST: Duration = Duration::from_secs(if cfg!(target_pointer_width = "32") {
    i32::MAX.cast_unsigned() as u64
} else {
    i64::MAX.cast_unsigned()
});

/// Waits for a time of the clock, not for a duration. So it wakes at the right time even
/// if the machine sleeps in between. If the clock is set, it wakes early.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    /// A duplicate of the timer's descriptor, on which the async runtime waits.
    fired: AsyncFd<OwnedFd>,
}

/// The reason why an [`Alarm`] woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woke {
    /// The clock reached the time.
    Time,
    /// The clock was set, so the caller must calculate the next time again.
    ClockSet,
}

impl Alarm {
    /// Creates an alarm. From now on it notices if the clock is set, even between two
    /// waits: the next wait reports it.
    ///
    /// Fails if the kernel creates no timer, or outside a tokio runtime.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(timerfd::ClockId::CLOCK_REALTIME, flags)?;
        let descriptor = timer.as_fd().try_clone_to_owned()?;
        // SAFETY: `fired` owns the descriptor, so the descriptor stays open and unchanged
        // as long as it is registered.
        let fired = unsafe { AsyncFd::register(descriptor)? };
        let alarm = Self { timer, fired };
        alarm.set(Timestamp::MAX)?;
        Ok(alarm)
    }

    /// Waits until the clock reaches `at` or is set. Returns at once if the clock was set
    /// since the last wait, because the caller may have calculated `at` before that.
    pub async fn wait_until(&self, at: Timestamp) -> io::Result<Woke> {
        if let Some(woke) = self.set(at)? {
            return Ok(woke);
        }
        loop {
            let mut ready = self.fired.readable().await?;
            let mut count = [0; size_of::<u64>()];
            match nix::unistd::read(self.fired.get_ref(), &mut count) {
                Ok(_) => return Ok(Woke::Time),
                Err(Errno::ECANCELED) => return Ok(Woke::ClockSet),
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sets the timer to `at`. Returns `None` if the timer is set, otherwise the reason
    /// to return at once.
    fn set(&self, at: Timestamp) -> io::Result<Option<Woke>> {
        // A time of zero would switch the timer off. Any other time in the past fires at
        // once.
        let since_1970 = Duration::try_from(at.as_duration()).unwrap_or_default();
        let since_1970 = since_1970.clamp(Duration::from_secs(1), LATEST);
        let flags =
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        let time = Expiration::OneShot(TimeSpec::from(since_1970));
        match self.timer.set(time, flags) {
            Ok(()) => Ok(None),
            Err(Errno::ECANCELED) => Ok(Some(Woke::ClockSet)),
            Err(error) => Err(error.into()),
        }
    }
}
