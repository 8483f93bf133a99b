//! Checks the devices periodically: which are known, and which were not seen for long.

use std::sync::Arc;

use tokio::time::timeout;
use tracing::{error, info};

use super::{blocking::blocking, core::Core};

/// Checks the devices until the task is aborted. Logs a repeated failure only once.
pub(super) async fn run(core: Arc<Core>) {
    let mut told = String::new();
    loop {
        let error = match blocking(&core, Core::look_at_devices).await {
            Ok(notes) => {
                for note in notes {
                    info!("{note}");
                }
                String::new()
            }
            Err(error) => error,
        };
        if !error.is_empty() && error != told {
            error!("check the devices: {error}");
        }
        told = error;
        // After the time or a change of names, the next check is due.
        let _ = timeout(core.device_look(), core.names_changed()).await;
    }
}
