//! What the recorder writes beside flows and marks.

use jiff::Timestamp;

use super::{EvidenceRecorder, RecordError};
use crate::{
    daemon::evidence::{instance::instance, lost::Lost},
    snapshot::InterfaceSnapshot,
    store::StoreError,
};

impl EvidenceRecorder {
    /// Writes which generation is in force, if that changed.
    ///
    /// # Errors
    ///
    /// Returns the error of the store.
    pub(in crate::daemon::evidence) fn store_ruleset(
        &mut self,
        generation: u64,
        hash: &str,
    ) -> Result<(), StoreError> {
        let ruleset = (generation, hash.to_owned());
        let (Some(store), Some(tables)) = (&mut self.store, &self.tables) else {
            return Ok(());
        };
        if self.ruleset.as_ref() == Some(&ruleset) {
            return Ok(());
        }
        let number = u32::try_from(generation).unwrap_or(u32::MAX);
        let instance = instance(tables);
        store.write_generation(instance, number, hash.as_bytes(), Timestamp::now())?;
        self.ruleset = Some(ruleset);
        Ok(())
    }

    /// Writes the texts of the policies in force, once for each ruleset. `read` returns `None` if
    /// the daemon does not know the policies of the kernel's ruleset.
    ///
    /// # Errors
    ///
    /// Returns the error of the store.
    pub(in crate::daemon::evidence) fn store_policies(
        &mut self,
        hash: &str,
        read: impl FnOnce() -> Option<String>,
    ) -> Result<(), StoreError> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        if self.stated.as_deref() == Some(hash) {
            return Ok(());
        }
        if let Some(policies) = read() {
            store.write_policies(hash, &policies, Timestamp::now())?;
            self.stated = Some(hash.to_owned());
        }
        Ok(())
    }

    /// Writes which program runs on which host.
    pub(super) fn store_setup(&mut self) -> Result<(), StoreError> {
        match &mut self.store {
            Some(store) => self.setup.store(store, &self.settings),
            None => Ok(()),
        }
    }

    /// Writes where the filter is attached.
    ///
    /// # Errors
    ///
    /// Returns the error of the store.
    pub(in crate::daemon::evidence) fn store_periods(
        &mut self,
        interfaces: &[InterfaceSnapshot],
    ) -> Result<(), StoreError> {
        if let (Some(store), Some(periods)) = (&mut self.store, &mut self.periods) {
            let now = Timestamp::now();
            store.write_attachments(&periods.look(interfaces, now), now)?;
        }
        Ok(())
    }

    /// Writes what was lost since the last drain.
    pub(super) fn store_losses(&mut self) -> Result<(), RecordError> {
        let (Some(store), Some(tables)) = (&mut self.store, &self.tables) else {
            return Ok(());
        };
        let mut lost = Lost::of(&tables.losses()?);
        lost.claims = self.learner.lost();
        lost.device_facts = self.devices.lost();
        for copies in self.copies.values() {
            lost.add_dns(&copies.losses()?);
        }
        let now = Timestamp::now();
        if lost.dns() > self.lost.dns() {
            // From now on, a missing answer means nothing about the time before.
            self.learner.missed_answers(now);
        }
        let losses = lost.since(&self.lost);
        if !losses.is_empty() {
            store.write_losses(&losses, now)?;
        }
        self.lost = lost;
        Ok(())
    }

    pub(super) fn store_names(&mut self) -> Result<(), RecordError> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        // While the store refuses claims, the learner keeps the next ones.
        if self.claims.is_empty() {
            for (end, claims) in self.learner.take_claims() {
                let claims = claims.into_iter().map(|claim| (end.clone(), claim));
                self.claims.extend(claims);
            }
        }
        store.write_claims(&self.claims, Timestamp::now())?;
        self.claims.clear();
        Ok(())
    }
}
