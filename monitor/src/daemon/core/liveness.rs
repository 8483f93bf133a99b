//! Which work is under way, and for how long. Work that does not end is a daemon
//! that hangs, and `status` and `/healthz` say so.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::{Core, lock};
use crate::{datapath::Filter, snapshot::Working};

/// Work that has begun.
#[derive(Clone, Copy)]
struct CurrentWork {
    /// A noun phrase: `a reload`.
    what: &'static str,
    at: Instant,
}

/// What the daemon does now.
#[derive(Default)]
pub(super) struct Liveness {
    /// By the thread that holds the filter.
    filter: Mutex<Option<CurrentWork>>,
    /// By the main loop, which hears signals, files and schedules.
    main_loop: Mutex<Option<CurrentWork>>,
}

impl Liveness {
    /// The work that has been under way for longest, if there is any.
    pub(super) fn working(&self) -> Option<Working> {
        let begun = [&self.filter, &self.main_loop].map(|work| *lock(work));
        let first = begun.into_iter().flatten().min_by_key(|begun| begun.at)?;
        Some(Working {
            what: first.what.to_owned(),
            seconds: first.at.elapsed().as_secs(),
        })
    }
}

/// The filter, for as long as work on it goes on.
pub(super) struct AtWork<'a> {
    filter: MutexGuard<'a, Option<Filter>>,
    liveness: &'a Liveness,
}

impl Core {
    /// Waits for the filter, and says what it is taken for.
    pub(super) fn work_on_filter(&self, what: &'static str) -> AtWork<'_> {
        let filter = lock(&self.filter);
        let at = Instant::now();
        *lock(&self.liveness.filter) = Some(CurrentWork { what, at });
        AtWork {
            filter,
            liveness: &self.liveness,
        }
    }

    /// Whether work takes longer than any work should.
    pub(in crate::daemon) fn hangs(&self) -> bool {
        self.liveness
            .working()
            .is_some_and(|working| working.hangs())
    }

    /// The main loop begins to work on what it heard, or has ended that.
    pub(in crate::daemon) fn main_loop_works(&self, what: Option<&'static str>) {
        let at = Instant::now();
        *lock(&self.liveness.main_loop) = what.map(|what| CurrentWork { what, at });
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        // Before the lock, which the fields give back after this.
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
