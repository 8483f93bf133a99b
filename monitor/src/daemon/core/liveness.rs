//! Records the daemon's tasks in progress and their times. If a task takes too long, the
//! daemon hangs, and `status` and `/healthz` report it.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::{Core, lock};
use crate::{datapath::Filter, snapshot::Working};

/// A task in progress.
#[derive(Clone, Copy)]
struct CurrentWork {
    /// The task as a noun phrase, such as `a reload`.
    what: &'static str,
    /// The time at which it began.
    at: Instant,
}

/// The tasks in progress.
#[derive(Default)]
pub(super) struct Liveness {
    /// The task of the thread that holds the lock of the filter.
    filter: Mutex<Option<CurrentWork>>,
    /// The task of the main loop, which handles signals, files and schedules.
    main_loop: Mutex<Option<CurrentWork>>,
}

impl Liveness {
    /// Returns the task that began first, if one is in progress.
    pub(super) fn working(&self) -> Option<Working> {
        let begun = [&self.filter, &self.main_loop].map(|work| *lock(work));
        let first = begun.into_iter().flatten().min_by_key(|begun| begun.at)?;
        Some(Working {
            what: first.what.to_owned(),
            seconds: first.at.elapsed().as_secs(),
        })
    }
}

/// The locked filter, while a task works on it.
pub(super) struct AtWork<'a> {
    filter: MutexGuard<'a, Option<Filter>>,
    liveness: &'a Liveness,
}

impl Core {
    /// Waits for the lock of the filter, and records the task `what` until the returned value
    /// is dropped.
    pub(super) fn work_on_filter(&self, what: &'static str) -> AtWork<'_> {
        let filter = lock(&self.filter);
        let at = Instant::now();
        *lock(&self.liveness.filter) = Some(CurrentWork { what, at });
        AtWork {
            filter,
            liveness: &self.liveness,
        }
    }

    /// Returns true if a task takes so long that the daemon counts as hanging.
    pub(in crate::daemon) fn hangs(&self) -> bool {
        self.liveness
            .working()
            .is_some_and(|working| working.hangs())
    }

    /// Records that the main loop begins the task `what`, or has ended its task if `what` is
    /// `None`.
    pub(in crate::daemon) fn main_loop_works(&self, what: Option<&'static str>) {
        let at = Instant::now();
        *lock(&self.liveness.main_loop) = what.map(|what| CurrentWork { what, at });
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        // Ends the task before the lock is released: fields are dropped after this function.
        *lock(&self.liveness.filter) = None;
    }
}

impl Deref for AtWork<'_> {
    type Target = Option<Filter>;

    fn deref(&self) -> &Self::Target {
        &self.filter
    }
}

impl DerefMut for AtWork<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.filter
    }
}
