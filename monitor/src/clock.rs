//! The machine's clock: what time it is, how sure that is, and waiting for a time.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use jiff::{Timestamp, Unit};
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

/// What the clock says.
#[must_use]
pub fn now() -> Moment {
    Moment {
        at: Timestamp::now(),
        clock_synchronised: is_synchronised(),
        since_boot: since_boot(),
    }
}

/// RFC 3339; nobody reads fractions of a second.
#[must_use]
pub fn to_the_second(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}

/// Since the machine started, the time that it slept included; nobody sets it.
///
/// # Panics
///
/// On a kernel before 2.6.39, which has no such clock.
#[must_use]
pub fn boot_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME);
    time.expect("Linux has this clock").into()
}

/// `None` where the kernel does not tell.
fn since_boot() -> Option<SinceBoot> {
    let id = regular_file::read_kernel_text("/proc/sys/kernel/random/boot_id").ok()?;
    let boot = hex::decode(id.trim().replace('-', "")).ok()?;
    Some(SinceBoot {
        boot: boot.try_into().ok()?,
        milliseconds: boot_time().as_millis().try_into().ok()?,
    })
}

/// Whether something keeps the clock right, as the kernel was told (`adjtimex(2)`).
fn is_synchronised() -> bool {
    // SAFETY: all fields are integers, for which zero is a value; with no mode
    // set the call only fills them.
    let state = unsafe {
        let mut answer: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut answer)
    };
    (0..libc::TIME_ERROR).contains(&state)
}

/// Waits for times of day rather than for durations: it wakes at the time also
/// where the machine slept meanwhile, and early where the clock is set.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    /// The same descriptor, as the runtime waits for it.
    fired: AsyncFd<OwnedFd>,
}

/// Why an [`Alarm`] woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woke {
    /// The time has come.
    Time,
    /// The clock was set: what comes when has to be worked out anew.
    ClockSet,
}

impl Alarm {
    /// From here on it is noted that the clock is set, whether or not anybody
    /// waits: the next wait tells.
    ///
    /// Errors: the kernel gives no timer, or this is not inside a tokio runtime.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(timerfd::ClockId::CLOCK_REALTIME, flags)?;
        let descriptor = timer.as_fd().try_clone_to_owned()?;
        // SAFETY: the descriptor is owned, so it stays open and the same for as
        // long as it is registered.
        let fired = unsafe { AsyncFd::register(descriptor)? };
        let alarm = Self { timer, fired };
        alarm.set(Timestamp::MAX)?;
        Ok(alarm)
    }

    /// Waits until the clock says `at` or is set. Tells at once where it was set
    /// since the last wait: what comes at `at` may be worked out from an old time.
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

    /// `None` where it is set; else why not to wait for it.
    fn set(&self, at: Timestamp) -> io::Result<Option<Woke>> {
        // A timer at zero is none: the past is reached at once at any time.
        let (seconds, nanoseconds) = (at.as_second().max(1), at.subsec_nanosecond().max(0));
        let flags =
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        let time = Expiration::OneShot(TimeSpec::new(seconds, nanoseconds.into()));
        match self.timer.set(time, flags) {
            Ok(()) => Ok(None),
            Err(Errno::ECANCELED) => Ok(Some(Woke::ClockSet)),
            Err(error) => Err(error.into()),
        }
    }
}
