//! Runs calls of the core for tasks. The calls block, and tasks must not block.

use std::{error::Error, sync::Arc};

use tokio::task::spawn_blocking;

use super::core::Core;
use crate::error_text::error_text;

/// Runs `work` on a thread that may block. The error is a text with all causes. A
/// panic of `work` becomes an error too.
pub(super) async fn blocking<T, E>(
    core: &Arc<Core>,
    work: impl FnOnce(&Core) -> Result<T, E> + Send + 'static,
) -> Result<T, String>
where
    T: Send + 'static,
    E: Error + Send + 'static,
{
    let core = Arc::clone(core);
    match spawn_blocking(move || work(&core)).await {
        Ok(result) => result.map_err(|error| error_text(&error)),
        Err(panic) => Err(format!("it ended unexpectedly: {panic}")),
    }
}
