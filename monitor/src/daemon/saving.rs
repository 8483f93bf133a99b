//! Writes the last good files to the state directory: soon after they are in force, and
//! again periodically after an error.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Duration, Instant, sleep_until};
use tracing::warn;

use super::{blocking::blocking, core::Core};

/// Time between a failure and the next try.
const RETRY: Duration = Duration::from_secs(5);

/// The last failure to write, or nothing after a success. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Saving(Arc<Mutex<Option<Failure>>>);

#[derive(Clone)]
struct Failure {
    at: Instant,
    text: String,
}

impl Saving {
    /// Waits until it is time to write. Never returns if there is nothing to write.
    pub(super) async fn due(&self, core: &Core) {
        if !core.has_unsaved() {
            std::future::pending::<()>().await;
        }
        if let Some(failure) = self.failure() {
            sleep_until(failure.at + RETRY).await;
        }
    }

    /// Writes the files. Logs a failure, unless the last failure had the same text.
    pub(super) async fn save(&self, core: &Arc<Core>) {
        let before = self.failure();
        let text = blocking(core, Core::save_last_good).await.err();
        if let Some(text) = &text
            && before.is_none_or(|before| before.text != *text)
        {
            warn!("keep the policies for the next start: {text}");
        }
        let at = Instant::now();
        *self.lock() = text.map(|text| Failure { at, text });
    }

    fn failure(&self) -> Option<Failure> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
