//! What the service manager is told, by the protocol of `sd_notify(3)`. Where none
//! started the daemon, nothing is said.

use std::sync::{Arc, Mutex, PoisonError};

use sd_notify::NotifyState;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{self, Interval, MissedTickBehavior},
};
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
    let _ended = Ended(core);
    reload()
}

/// Tells that a reload has ended, also where it panicked.
struct Ended<'a>(&'a Core);

impl Drop for Ended<'_> {
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

/// Tells a watchdog that the daemon is alive: that its main loop turns, and that
/// the filter can be had for work. Whoever holds it for good stops the beat.
pub(super) struct Heartbeat {
    /// `None`: no watchdog asks.
    interval: Option<Interval>,
    /// The last one, until it is told.
    beat: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Beats twice in the time that the watchdog allows. Needs a running tokio.
    pub(super) fn new() -> Self {
        let interval = sd_notify::watchdog_enabled()
            .map(|allowed| allowed / 2)
            .filter(|period| !period.is_zero())
            .map(|period| {
                let mut interval = time::interval(period);
                interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
                interval
            });
        Self {
            interval,
            beat: None,
        }
    }

    /// Waits until the next is due.
    pub(super) async fn due(&mut self) {
        match &mut self.interval {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Tells it as soon as the core is free; does not wait for that, because a
    /// reload may take its time and signals must be heard meanwhile.
    pub(super) fn beat(&mut self, core: &Arc<Core>) {
        if self.beat.as_ref().is_some_and(|beat| !beat.is_finished()) {
            return;
        }
        let core = Arc::clone(core);
        self.beat = Some(spawn_blocking(move || {
            core.wait_until_free();
            tell(&[NotifyState::Watchdog]);
        }));
    }
}
