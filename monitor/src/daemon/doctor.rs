//! Looks once a minute for what the gateway does not see.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::error;

use super::{
    blocking::blocking,
    core::{Core, Freshness},
};

/// Time between two looks. One takes some milliseconds.
const LOOK: Duration = Duration::from_secs(60);

/// Looks until the task is aborted.
pub(super) async fn run(core: Arc<Core>) {
    loop {
        let look = |core: &Core| Ok::<_, Infallible>(core.diagnose(Freshness::New));
        if let Err(error) = blocking(&core, look).await {
            error!("look for what is not seen: {error}");
        }
        sleep(LOOK).await;
    }
}
