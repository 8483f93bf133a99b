//! Looks at the devices from time to time.

use std::sync::Arc;

use tokio::{task::spawn_blocking, time::timeout};
use tracing::{error, info};

use super::core::Core;
use crate::error_text::error_text;

/// Looks until the task is aborted. A failure that repeats is told of once.
pub(super) async fn run(core: Arc<Core>) {
    let mut told = String::new();
    loop {
        let looking = Arc::clone(&core);
        let error = match spawn_blocking(move || looking.look_at_devices()).await {
            Ok(Ok(notes)) => {
                for note in notes {
                    info!("{note}");
                }
                String::new()
            }
            Ok(Err(error)) => error_text(&error),
            Err(panic) => format!("it ended unexpectedly: {panic}"),
        };
        if !error.is_empty() && error != told {
            error!("look at the devices: {error}");
        }
        told = error;
        // Either way there is something to look at.
        let _ = timeout(core.device_look(), core.names_changed()).await;
    }
}
