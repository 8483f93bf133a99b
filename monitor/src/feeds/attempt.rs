//! Decides the new state of a feed after an attempt to fetch it. Reads no clock and
//! no file: the time is an argument, in seconds since 1970-01-01T00:00:00Z.

use super::{Answer, Attempt, Candidate, Entry, Fetched, Good, Outcome, Refusal};
use crate::{lists::Sha256, quoted::message};

/// Judges an update (the first argument) against the content in force, if there is one.
pub type Judge<'a> = dyn Fn(&[u8], Option<&[u8]>) -> Result<(), Objection> + 'a;

/// Why an update is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The reason.
    pub reason: String,
    /// What the operator can do.
    pub help: String,
    /// True if an operator may accept the update in spite of the reason.
    pub is_acceptable: bool,
    /// True if the update could not be judged, so that another attempt may succeed.
    pub is_failure: bool,
}

impl From<Refusal> for Objection {
    fn from(refusal: Refusal) -> Self {
        Self {
            reason: refusal.to_string(),
            help: refusal.help(),
            is_acceptable: refusal.is_acceptable(),
            is_failure: false,
        }
    }
}

/// The state of a feed before an attempt, and the inputs for judging an update.
pub struct Attempted<'a> {
    /// The stored entry of the feed before the attempt.
    pub entry: Entry,
    /// The content in force, or `None` if there is none or it cannot be read.
    pub before: Option<&'a [u8]>,
    /// Judges an update against the content in force.
    pub judge: &'a Judge<'a>,
    /// When the attempt ended.
    pub now: u64,
}

impl Attempted<'_> {
    /// Returns the feed's entry after `answer`, and a new content if it must be
    /// stored. `objection` compiles the policies with new content, and returns the
    /// reason if they cannot use it.
    pub fn settle(
        self,
        answer: Result<Answer, String>,
        objection: impl FnOnce(&[u8]) -> Option<String>,
    ) -> (Entry, Option<Vec<u8>>) {
        match answer {
            Err(reason) => (self.ended(Outcome::Failed, Some(reason)), None),
            Ok(Answer::NotModified) => (self.found_current(), None),
            Ok(Answer::Content(fetched)) => self.judged(fetched, objection),
        }
    }

    fn judged(
        mut self,
        fetched: Fetched,
        objection: impl FnOnce(&[u8]) -> Option<String>,
    ) -> (Entry, Option<Vec<u8>>) {
        let new = self.good(&fetched);
        if self.before == Some(fetched.content.as_slice()) {
            let before = self.entry.good.as_ref();
            let fetched_at = before.map_or(new.fetched_at, |good| good.fetched_at);
            self.entry.good = Some(Good { fetched_at, ..new });
            return (self.found_current(), None);
        }
        let judged = (self.judge)(&fetched.content, self.before);
        let Err(refused) = judged else {
            if let Some(reason) = objection(&fetched.content) {
                return (self.ended(Outcome::Refused, Some(reason)), None);
            }
            self.entry.good = Some(new);
            return (self.found_current(), Some(fetched.content));
        };
        let reason = format!("{}; {}", refused.reason, refused.help);
        if refused.is_failure {
            return (self.ended(Outcome::Failed, Some(reason)), None);
        }
        if !refused.is_acceptable {
            return (self.ended(Outcome::Refused, Some(reason)), None);
        }
        self.entry.candidate = Some(Candidate {
            content: new,
            reason: refused.reason,
        });
        let mut entry = self.ended(Outcome::Refused, Some(reason));
        // The update waits for the operator, and fetching it again soon does not
        // help. So this does not count as a failure, which would make the next
        // attempt earlier.
        entry.failures = 0;
        (entry, Some(fetched.content))
    }

    fn good(&self, fetched: &Fetched) -> Good {
        Good {
            sha256: Sha256::of(&fetched.content).to_string(),
            size: fetched.content.len() as u64,
            fetched_at: self.now,
            checked_at: self.now,
            etag: fetched.etag.clone(),
            last_modified: fetched.last_modified.clone(),
        }
    }

    fn found_current(mut self) -> Entry {
        if let Some(good) = &mut self.entry.good {
            good.checked_at = self.now;
        }
        self.entry.candidate = None;
        let mut entry = self.ended(Outcome::Current, None);
        entry.failures = 0;
        entry
    }

    fn ended(self, outcome: Outcome, reason: Option<String>) -> Entry {
        self.entry.after(outcome, reason, self.now)
    }
}

impl Entry {
    /// Returns the entry after an attempt that ended at `now` with `outcome`. Counts
    /// the attempt as a failure; a caller that knows better resets the number.
    #[must_use]
    pub(crate) fn after(mut self, outcome: Outcome, reason: Option<String>, now: u64) -> Self {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(Attempt {
            at: now,
            outcome,
            reason: reason.map(message),
        });
        self
    }
}
