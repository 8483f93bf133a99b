//! What the kernel program writes with aya-log → the daemon's log.

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::JoinHandle,
};
use tracing::warn;

use crate::error_text::error_text;

/// Reads until the task is aborted.
pub(super) fn spawn(object: Ebpf) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = read(object).await {
            let error = error_text(error.as_ref());
            warn!("cannot read the log of the kernel program: {error}");
        }
    })
}

async fn read(mut object: Ebpf) -> anyhow::Result<()> {
    let logger = EbpfLogger::init(&mut object)?;
    // SAFETY: the logger owns its descriptor, and flushing neither closes nor replaces it.
    let mut logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }?;
    loop {
        let mut ready = logger.readable_mut().await?;
        ready.get_inner_mut().flush();
        ready.clear_ready();
    }
}
