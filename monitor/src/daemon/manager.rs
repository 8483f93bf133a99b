//! What the service manager is told, by the protocol of `sd_notify(3)`. Where none
//! started the daemon, nothing is said.

use std::sync::{Mutex, PoisonError};

use sd_notify::NotifyState;
use tokio::time::{self, Interval, MissedTickBehavior};
use tracing::warn;

use super::core::Core;

/// The filter is attached, or awaits its interfaces, and clients are answered.
pub(super) fn ready(core: &Core) {
    tell(&[NotifyState::Ready, NotifyState::Status(core.summary())]);
}

/// Does a reload, between its begin and its end, which is told however it goes.
/// Blocks while there is another: a second begin would hide the first one's end.
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

/// Tells that a reload has ended, also where it panicked.
struct ReloadEnd<'a>(&'a Core);

impl Drop for ReloadEnd<'_> {
    fn drop(&mut self) {
        ready(self.0);
    }
}

/// The daemon ends.
pub(super) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("tell the service manager: {error}");
    }
}

/// Tells a watchdog that the daemon is alive: the main loop turns, and no work
/// takes longer than any work should.
pub(super) struct Heartbeat(
    /// `None`: no watchdog asks.
    Option<Interval>,
);

impl Heartbeat {
    /// Beats twice in the time that the watchdog allows. Needs a running tokio.
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

    /// Waits until the next beat is due.
    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }
}

/// Tells the watchdog, unless work hangs.
pub(super) fn beat(core: &Core) {
    if !core.hangs() {
        tell(&[NotifyState::Watchdog]);
    }
}
