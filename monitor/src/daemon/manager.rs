//! Reports the daemon's state to the service manager, by the protocol of `sd_notify(3)`.
//! Does nothing if no service manager started the daemon.

use std::sync::{Mutex, PoisonError};

use sd_notify::NotifyState;
use tokio::time::{self, Interval, MissedTickBehavior};
use tracing::warn;

use super::core::Core;

/// Reports that the daemon is ready: the filter is attached or waits for its interfaces, and
/// clients get answers.
pub(super) fn ready(core: &Core) {
    tell(&[NotifyState::Ready, NotifyState::Status(core.summary())]);
}

/// Calls `reload`, and reports its begin and its end, even if it fails or panics. Waits for
/// the end of another reload first, because the service manager could not tell the ends of
/// two reloads apart.
pub(super) fn reloading<T>(core: &Core, reload: impl FnOnce() -> T) -> T {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    match NotifyState::monotonic_usec_now() {
        Ok(since) => tell(&[NotifyState::Reloading, since]),
        Err(error) => warn!("read the clock for the service manager: {error}"),
    }
    let _ended = ReloadEnd(core);
    reload()
}

/// Reports the end of a reload when dropped, so also after a panic.
struct ReloadEnd<'a>(&'a Core);

impl Drop for ReloadEnd<'_> {
    fn drop(&mut self) {
        ready(self.0);
    }
}

/// Reports that the daemon ends.
pub(super) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("notify the service manager: {error}");
    }
}

/// The times at which to tell the service manager's watchdog that the daemon is alive: the
/// main loop runs, and no task hangs.
pub(super) struct Heartbeat(
    /// `None` if the service manager has no watchdog for the daemon.
    Option<Interval>,
);

impl Heartbeat {
    /// Creates the heartbeat. Its period is half of the time that the watchdog allows.
    /// Needs a running tokio.
    pub(super) fn new() -> Self {
        let period = sd_notify::watchdog_enabled()
            .map(|allowed| allowed / 2)
            .filter(|period| !period.is_zero());
        Self(period.map(|period| {
            let mut interval = time::interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        }))
    }

    /// Waits until the next beat is due. Never returns if there is no watchdog.
    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }
}

/// Tells the watchdog that the daemon is alive, unless a task hangs.
pub(super) fn beat(core: &Core) {
    if !core.hangs() {
        tell(&[NotifyState::Watchdog]);
    }
}
