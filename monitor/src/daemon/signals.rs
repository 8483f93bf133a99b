//! Signals, from before the first change to the kernel until the end.

use std::{io, pin::pin};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// The signals could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("handle signals: {0}")]
pub struct SignalError(#[from] io::Error);

/// What asks the daemon to end or to reload. One that arrives while nobody
/// waits is kept until somebody does.
pub struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on no signal of these kills the process. Needs a running tokio.
    pub fn install() -> Result<Self, SignalError> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
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
                () = self.stop(), if !stop => {
                    info!("asked to stop; the load that has begun is ended first");
                    stop = true;
                }
                done = &mut work => return (done, stop),
            }
        }
    }

    /// Waits until the daemon is asked to end.
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the next: to end, or to reload.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}
