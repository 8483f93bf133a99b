//! Copies the messages that the kernel program writes with aya-log to the daemon's log.

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::oneshot,
};
use tracing::warn;

use crate::error_text::error_text;

/// Reads the log of one program in a task. Dropping this value reads the remaining
/// messages once and ends the task. The program must no longer run then.
pub(super) struct LogReader(
    #[expect(dead_code, reason = "dropping it ends the task")] oneshot::Sender<()>,
);

impl LogReader {
    pub(super) fn spawn(object: Ebpf) -> Self {
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            if let Err(error) = read(object, ended).await {
                let error = error_text(error.as_ref());
                warn!("cannot read the log of the kernel program: {error}");
            }
        });
        Self(end)
    }
}

async fn read(mut object: Ebpf, mut ended: oneshot::Receiver<()>) -> anyhow::Result<()> {
    let logger = EbpfLogger::init(&mut object)?;
    // SAFETY: the logger owns its descriptor, and flushing neither closes nor replaces it.
    let mut logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }?;
    loop {
        tokio::select! {
            ready = logger.readable_mut() => {
                let mut ready = ready?;
                ready.get_inner_mut().flush();
                ready.clear_ready();
            }
            _ = &mut ended => {
                logger.get_mut().flush();
                return Ok(());
            }
        }
    }
}
