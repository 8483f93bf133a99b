//! Looks at the devices from time to time.

use std::sync::Arc;

use tokio::time::timeout;
use tracing::{error, info};

use super::{blocking::blocking, core::Core};

/// Looks until the task is aborted. A failure that repeats is told of once.
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
            error!("look at the devices: {error}");
        }
        told = error;
        // Either way there is something to look at.
        let _ = timeout(core.device_look(), core.names_changed()).await;
    }
}
