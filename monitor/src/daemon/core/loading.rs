//! Whether the files are being read: a file system of a server may not answer.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::now;
use crate::snapshot::ReloadSnapshot;

/// After this time `status` tells of a load that has not ended. A long list
/// takes less.
const PATIENCE: Duration = Duration::from_secs(10);

/// When the load that runs now began.
#[derive(Debug, Default)]
pub(super) struct Loading(Mutex<Option<Instant>>);

/// A load that runs; it has ended when this value goes.
pub(super) struct Running<'a>(&'a Loading);

impl Loading {
    /// A load begins.
    pub(super) fn begin(&self) -> Running<'_> {
        self.set(Some(Instant::now()));
        Running(self)
    }

    /// What to tell in place of the last reload; `None` where no load takes long.
    pub(super) fn overdue(&self) -> Option<ReloadSnapshot> {
        let began = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let took = began?.elapsed();
        (took >= PATIENCE).then(|| ReloadSnapshot {
            success: false,
            timestamp: now(),
            error: Some(format!(
                "a load that began {} s ago has not ended: a file system may not answer; look at where the policy files and lists are",
                took.as_secs()
            )),
        })
    }

    fn set(&self, began: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = began;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
