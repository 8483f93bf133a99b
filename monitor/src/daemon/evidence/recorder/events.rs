//! What the recorder stores when it is told: marks, captures, stamps, acts on the page, findings,
//! and lines about reports.

use jiff::Timestamp;

use super::EvidenceRecorder;
use crate::{
    evidence::{
        event::Happening, mark::Mark, noted::Noted, page_event::PageEvent, published::Published,
    },
    merkle::Proven,
    policy::MacAddress,
    store::{AskedProof, StoreError, signing_key},
};

/// Why a mark is not stored.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon::evidence) enum MarkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store has no room for the mark, or its text is too long")]
    Limit,
}

/// Why the event of a capture is not stored.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon::evidence) enum CaptureEventError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store has no room for the event")]
    Limit,
}

/// Why the event of a stamped head is not stored.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon::evidence) enum PublishedError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the stamp is of another log than that of this gateway, or the store has no room")]
    OtherLog,
}

impl EvidenceRecorder {
    /// Stores a mark. Returns its time. `is_drained`: the last drain did not fail.
    ///
    /// # Errors
    ///
    /// Returns the error of the store, or says that the mark exceeds a limit.
    pub(in crate::daemon::evidence) fn mark(
        &mut self,
        mark: &Mark,
        devices: &[MacAddress],
        at: Option<Timestamp>,
        is_drained: bool,
    ) -> Result<Timestamp, MarkError> {
        self.open_store()?;
        let store = self.store.as_mut().ok_or(MarkError::Limit)?;
        let now = Timestamp::now();
        let at = at.unwrap_or(now);
        store
            .write_marks(mark, devices, at, now, is_drained)?
            .ok_or(MarkError::Limit)?;
        Ok(at)
    }

    /// Stores the begin or the end of a capture.
    ///
    /// # Errors
    ///
    /// Returns the error of the store, or says that the event exceeds a limit.
    pub(in crate::daemon::evidence) fn capture(
        &mut self,
        what: &Happening,
    ) -> Result<(), CaptureEventError> {
        self.open_store()?;
        let store = self.store.as_mut().ok_or(CaptureEventError::Limit)?;
        let written = store.write_capture(what, Timestamp::now())?;
        written.map(drop).ok_or(CaptureEventError::Limit)
    }

    /// Stores the event of a head that an authority stamped.
    ///
    /// # Errors
    ///
    /// Returns the error of the store, or says that the head is of another log.
    pub(in crate::daemon::evidence) fn published(
        &mut self,
        published: &Published,
    ) -> Result<(), PublishedError> {
        self.open_store()?;
        let store = self.store.as_mut().ok_or(PublishedError::OtherLog)?;
        let written = store.write_published(published, Timestamp::now())?;
        written.map(drop).ok_or(PublishedError::OtherLog)
    }

    /// Stores what changed in the findings of the daemon's checks, now or with the next drain.
    ///
    /// # Errors
    ///
    /// Returns the error of the store. The next call tries again.
    pub(in crate::daemon::evidence) fn findings(
        &mut self,
        found: Vec<Noted>,
    ) -> Result<(), StoreError> {
        self.found = Some(found);
        self.store_findings()
    }

    /// Stores what an operator did over the page's login, if there is a store.
    pub(in crate::daemon::evidence) fn page_event(
        &mut self,
        event: &PageEvent,
        device: Option<MacAddress>,
    ) -> Result<(), StoreError> {
        if let Some(store) = &mut self.store {
            store.write_page_event(event, device, Timestamp::now())?;
        }
        Ok(())
    }

    /// Writes the last findings, if there is a store.
    pub(super) fn store_findings(&mut self) -> Result<(), StoreError> {
        if let (Some(store), Some(found)) = (&mut self.store, &self.found) {
            store.write_findings(&mut self.findings, found, Timestamp::now())?;
            self.found = None;
        }
        Ok(())
    }

    /// Appends a line about a report to the log, and proves that it is there.
    ///
    /// # Errors
    ///
    /// Returns the error of the store.
    pub(in crate::daemon::evidence) fn prove(
        &mut self,
        asked: &AskedProof,
    ) -> Result<Proven, StoreError> {
        self.open_store()?;
        let key = signing_key(&self.state_dir)?;
        let store = self
            .store
            .as_mut()
            .ok_or(StoreError::Content { table: "log" })?;
        store.log_all(Timestamp::now())?;
        store.prove(asked, &key, Timestamp::now())
    }
}
