//! Handles signals, from before the first change to the kernel until the end.

use std::{io, pin::pin};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// The signal handlers could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("handle signals: {0}")]
pub struct SignalError(#[from] io::Error);

/// Signals that ask the daemon to end or to reload. If no task waits when a signal arrives,
/// the next task that waits gets it.
pub struct Signals {
    stop: StopSignals,
    hang_up: HangUp,
}

/// SIGTERM and SIGINT.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP.
pub(super) struct HangUp(Signal);

impl Signals {
    /// Installs handlers for SIGTERM, SIGINT and SIGHUP. From then on these signals do not
    /// kill the process. Needs a running tokio runtime.
    pub fn install() -> Result<Self, SignalError> {
        Ok(Self {
            stop: StopSignals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            hang_up: HangUp(signal(SignalKind::hangup())?),
        })
    }

    /// Waits for `work`, which must run to its end to leave a complete result. The second
    /// part of the returned pair is true if a signal asked the daemon to end meanwhile.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> (T, bool) {
        let mut work = pin!(work);
        let mut stop = false;
        loop {
            tokio::select! {
                biased;
                () = self.stop.next(), if !stop => {
                    info!("asked to stop; the daemon completes the load in progress first");
                    stop = true;
                }
                done = &mut work => return (done, stop),
            }
        }
    }

    /// Returns both kinds of signals, so that a caller can wait for each at different
    /// times.
    pub(super) fn split(&mut self) -> (&mut StopSignals, &mut HangUp) {
        (&mut self.stop, &mut self.hang_up)
    }
}

impl StopSignals {
    /// Waits until the daemon is asked to end.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl HangUp {
    /// Waits until the daemon is asked to reload.
    pub(super) async fn next(&mut self) {
        self.0.recv().await;
    }
}
