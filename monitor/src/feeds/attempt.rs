//! What becomes of a feed after an attempt to fetch it. Pure: time comes in as
//! an argument, in seconds since 1970-01-01T00:00:00Z.

use super::{Answer, Attempt, Candidate, Entry, Fetched, Good, Outcome, judge};
use crate::{
    lists::{Reserved, Sha256},
    policy::Feed,
    quoted::message,
};

/// A feed, what is known of it, and what judges an update.
pub struct Attempted<'a> {
    /// What the policies ask for.
    pub feed: &'a Feed,
    /// What was known before.
    pub entry: Entry,
    /// The content in force, where it can be used.
    pub before: Option<&'a [u8]>,
    /// What is cut out of every list.
    pub reserved: &'a Reserved,
    /// When the attempt ended.
    pub now: u64,
}

impl Attempted<'_> {
    /// What is known after `answer`, and a content that is to be stored.
    /// `objection` says what the policies have against a content.
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
        let judged = judge(&fetched.content, self.before, self.feed, self.reserved);
        let Err(refusal) = judged else {
            if let Some(reason) = objection(&fetched.content) {
                return (self.ended(Outcome::Refused, Some(reason)), None);
            }
            self.entry.good = Some(new);
            return (self.found_current(), Some(fetched.content));
        };
        let reason = format!("{refusal}; {}", refusal.help());
        if !refusal.is_acceptable() {
            return (self.ended(Outcome::Refused, Some(reason)), None);
        }
        self.entry.candidate = Some(Candidate {
            content: new,
            reason: refusal.to_string(),
        });
        let mut entry = self.ended(Outcome::Refused, Some(reason));
        // It waits for somebody to look at it, not for the server.
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
    /// The same after an attempt that ended so at `now`.
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
