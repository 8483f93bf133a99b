//! Counts what policies that only count would have dropped. Counting reads the rows of a week, so
//! a thread of its own does it, and no page waits for a long one.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    super::{Core, lock},
    end, whole,
};
use crate::{
    clock,
    page_facts::{Hits, MOST_NAMES},
    policy::{Policy, PolicyName, Strength},
};

/// How long a page waits for a count. A count of a small store ends meanwhile.
const WAIT: Duration = Duration::from_millis(150);

/// The least time between two counts.
const REST: Duration = Duration::from_mins(1);

/// A count rests for this many times its length, so that all counts take less than a third of a
/// percent of a processor.
const REST_OF_LENGTH: u32 = 300;

/// The last count, and the thread that counts.
#[derive(Default)]
pub(in crate::daemon::core) struct HitCounter {
    core: OnceLock<Weak<Core>>,
    state: Mutex<State>,
    ended: Condvar,
    rounds: AtomicU64,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    is_counting: bool,
    /// How often something was erased. A count that began before may have it.
    erasures: u64,
}

/// A count that ended.
struct Known {
    asked: Asked,
    hits: Result<Arc<Hits>, String>,
    at: Instant,
    length: Duration,
}

/// The policies that decide what is counted. A count is of no use if others are in force.
#[derive(Clone, PartialEq, Eq)]
struct Asked {
    counting: BTreeSet<PolicyName>,
    exempting: BTreeSet<PolicyName>,
}

impl HitCounter {
    /// Names the daemon, which a thread needs. Until then, nothing is counted.
    pub(in crate::daemon::core) fn belongs_to(&self, core: &Arc<Core>) {
        // A second call names the same daemon.
        let _ = self.core.set(Arc::downgrade(core));
    }

    /// Drops the counts, because a device was erased.
    pub(in crate::daemon::core) fn erase(&self) {
        let mut state = lock(&self.state);
        state.known = None;
        state.erasures += 1;
    }

    pub(super) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }
}

impl Known {
    fn is_old(&self) -> bool {
        self.at.elapsed() >= REST.max(self.length.saturating_mul(REST_OF_LENGTH))
    }
}

impl Asked {
    fn new(policies: &[Policy]) -> Self {
        let named = |strength| {
            let own = policies.iter();
            let own = own.filter(|policy| policy.action().strength() == strength);
            own.map(|policy| policy.name().clone()).collect()
        };
        Self {
            counting: named(Strength::Observes),
            exempting: named(Strength::Exempts),
        }
    }
}

impl Core {
    /// The last count; an old one is counted again meanwhile. Waits a moment for the first one.
    pub(super) fn counted_hits(&self, since: Timestamp) -> Result<Option<Arc<Hits>>, String> {
        let core = self.state();
        let policies = core.stage.policies();
        let asked = Asked::new(policies.map_or(&[][..], |own| &own.policies));
        if asked.counting.is_empty() {
            let at = clock::now().at;
            let none = Hits {
                at,
                ..Hits::default()
            };
            return Ok(Some(Arc::new(none)));
        }
        let counter = &self.page.hits;
        let mut state = lock(&counter.state);
        let known = state.known.as_ref().filter(|known| known.asked == asked);
        let answer = known.map(|known| known.hits.clone());
        if known.is_none_or(Known::is_old) && !state.is_counting {
            counter.count(asked.clone(), since, state.erasures)?;
            state.is_counting = true;
        }
        if let Some(answer) = answer {
            return answer.map(Some);
        }
        let waited = counter
            .ended
            .wait_timeout_while(state, WAIT, |state| state.is_counting);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let known = state.known.as_ref().filter(|known| known.asked == asked);
        known.map(|known| known.hits.clone()).transpose()
    }

    fn read_hits(&self, asked: &Asked, since: Timestamp) -> Result<Hits, String> {
        let at = clock::now().at;
        let none = Hits {
            at,
            ..Hits::default()
        };
        self.evidence.drain();
        self.read_store(none, |view| {
            let query = whole(since, end());
            let hits = view.hits(&query, &asked.counting, &asked.exempting, MOST_NAMES)?;
            let macs = hits
                .values()
                .flat_map(|hit| hit.devices.iter().take(MOST_NAMES));
            let macs: BTreeSet<_> = macs.map(|(mac, _)| *mac).collect();
            let by_policy = hits.into_iter().map(|(name, hit)| (name.to_string(), hit));
            Ok(Hits {
                at,
                by_policy: by_policy.collect(),
                heads: self.heads(view, macs)?,
            })
        })
    }
}

impl HitCounter {
    /// Begins to count in a thread of its own.
    fn count(&self, asked: Asked, since: Timestamp, erasures: u64) -> Result<(), String> {
        let Some(core) = self.core.get().cloned() else {
            return Err("the daemon has not started yet".to_owned());
        };
        let thread = thread::Builder::new().name("page-hits".to_owned());
        let counting = move || {
            // Without the daemon, nobody asks.
            if let Some(core) = core.upgrade() {
                let start = Instant::now();
                let ended = Ended(&core.page.hits);
                let hits = core.read_hits(&asked, since).map(Arc::new);
                let mut state = lock(&ended.0.state);
                if state.erasures == erasures {
                    state.known = Some(Known {
                        asked,
                        hits,
                        at: Instant::now(),
                        length: start.elapsed(),
                    });
                }
                drop(state);
            }
        };
        let started = thread.spawn(counting).map(drop);
        started.map_err(|error| format!("start a thread: {error}"))
    }
}

/// Tells that the thread has ended, also after a panic.
struct Ended<'a>(&'a HitCounter);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).is_counting = false;
        self.0.rounds.fetch_add(1, Ordering::Relaxed);
        self.0.ended.notify_all();
    }
}
