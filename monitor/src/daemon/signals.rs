//! Signals, from before the first change to the kernel until the end.

use std::{io, pin::pin};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// The signals could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("handle signals: {0}")]
pub struct SignalError(#[from] io::Error);

/// Signals that ask the daemon to end or to reload. A signal that arrives while no
/// task waits is kept until a task does.
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
    /// From here on these signals do not kill the process. Needs a running tokio.
    pub fn install() -> Result<Self, SignalError> {
        Ok(Self {
            stop: StopSignals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            hang_up: HangUp(signal(SignalKind::hangup())?),
        })
    }

    /// Waits for `work`, which cannot be cut short without leaving half of it.
    /// Returns also whether the daemon was asked to end meanwhile.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> (T, bool) {
        let mut work = pin!(work);
        let mut stop = false;
        loop {
            tokio::select! {
                biased;
                () = self.stop.next(), if !stop => {
                    info!("asked to stop; the load that has begun is ended first");
                    stop = true;
                }
                done = &mut work => return (done, stop),
            }
        }
    }

    /// The two kinds, to be waited for at different times.
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
