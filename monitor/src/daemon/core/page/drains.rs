//! Drains the tables for the pages. A page does not wait long, because the store may be busy: after
//! a power failure, the first drain reads the whole file.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::super::lock;
use crate::daemon::evidence_handle::{Draining, EvidenceHandle};

/// The pages ask the kernel for new flows at most this often.
const EVERY: Duration = Duration::from_secs(2);

/// How long a page waits for a drain. Most drains end meanwhile.
const WAIT: Duration = Duration::from_millis(100);

/// The drains that pages asked for.
#[derive(Default)]
pub(super) struct Drains(Mutex<State>);

#[derive(Default)]
struct State {
    /// Begin of the last drain.
    begin: Option<Instant>,
    running: Option<Draining>,
    /// Number of drains that ended after their pages had gone on.
    late: u64,
}

impl Drains {
    /// Drains the tables, unless a question of a page just did. Waits a moment for the end.
    pub(super) fn drain(&self, evidence: &EvidenceHandle) {
        let mut state = lock(&self.0);
        state.look();
        let is_due = state.begin.is_none_or(|begin| begin.elapsed() >= EVERY);
        if state.running.is_none() && is_due {
            state.running = evidence.begin_drain();
            state.begin = Some(Instant::now());
        }
        let waited = state.begin.map_or(WAIT, |begin| begin.elapsed());
        let left = WAIT.saturating_sub(waited);
        let running = state.running.as_ref();
        if running.is_some_and(|running| running.wait(left).is_some()) {
            state.running = None;
        }
    }

    /// True if the last drain took so long that its page did not wait for the end.
    pub(super) fn is_running(&self) -> bool {
        // Does not look: the drain may have ended after the page had read the store.
        lock(&self.0).running.is_some()
    }

    /// Number of drains that ended after their pages had gone on.
    pub(super) fn late(&self) -> u64 {
        let mut state = lock(&self.0);
        state.look();
        state.late
    }
}

impl State {
    /// Notes the end of a drain for which no page waits.
    fn look(&mut self) {
        let running = self.running.as_ref();
        if running.is_some_and(|running| running.wait(Duration::ZERO).is_some()) {
            self.running = None;
            self.late += 1;
        }
    }
}
