//! Policies that wait for a confirmation. Generations that come into force
//! meanwhile wait too, and are rolled back together with them. Until the deadline,
//! only `confirm` ends the wait.

use std::path::Path;

use super::{Core, LoadError, now};
use crate::{
    clock,
    config::Settings,
    control::Confirmed,
    datapath::{self, Deadline},
    error_text::error_text,
    policy::EvidenceLevel,
    snapshot::ReloadSnapshot,
    state_dir::NotConfirmed,
};

/// Reasons why nothing is confirmed.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum ConfirmError {
    /// There is nothing to confirm.
    #[error("the filter is detached")]
    Detached,
    /// Nothing waits for a confirmation, or the deadline has passed.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
}

/// Result of a roll-back, for the log.
#[derive(Debug, Default)]
pub(in crate::daemon) struct RolledBack {
    /// What happened and what the operator can do; `None` if no deadline had
    /// passed.
    pub(in crate::daemon) told: Option<String>,
    /// Changes in the restored policies since they were last in force, one line
    /// each.
    pub(in crate::daemon) changes: Vec<String>,
    /// Why the kernel does not have these changes yet. The daemon tries again.
    pub(in crate::daemon) behind: Option<String>,
}

/// State of an earlier trial that a start finds.
#[derive(Clone, Copy, Debug)]
pub(super) enum EarlierTrial {
    /// There was no trial, or it was confirmed.
    Over,
    /// The operator can still confirm it.
    Waiting(Deadline),
    /// The trial was not confirmed in time.
    NotConfirmed(NotConfirmed),
}

impl EarlierTrial {
    /// Compares the record in the state directory with the pinned generation.
    pub(super) fn look(settings: &Settings) -> Result<Self, LoadError> {
        let kept = NotConfirmed::read(&settings.state_dir)?;
        let tried = datapath::unconfirmed_generation(&settings.pin_dir)?;
        Ok(match (tried, kept) {
            (Some(tried), _) if !tried.confirmed && !tried.deadline.has_passed() => {
                Self::Waiting(tried.deadline)
            }
            (Some(tried), Some(kept))
                if tried.confirmed && tried.deadline.nanoseconds() == kept.deadline_nanoseconds =>
            {
                // The daemon ended before it could remove the record.
                NotConfirmed::remove(&settings.state_dir)?;
                Self::Over
            }
            (_, Some(kept)) => Self::NotConfirmed(kept),
            (Some(tried), None) if !tried.confirmed => Self::NotConfirmed(record(tried.deadline)),
            (_, None) => Self::Over,
        })
    }

    /// Record of the policy files that are not confirmed; `None` if there are none.
    pub(super) fn not_confirmed(self) -> Option<NotConfirmed> {
        match self {
            Self::Over => None,
            Self::Waiting(deadline) => Some(record(deadline)),
            Self::NotConfirmed(kept) => Some(kept),
        }
    }
}

/// Makes the record of a generation with this deadline.
pub(super) fn record(deadline: Deadline) -> NotConfirmed {
    NotConfirmed {
        since: clock::now().at,
        within_seconds: deadline.within().as_secs(),
        deadline_nanoseconds: deadline.nanoseconds(),
    }
}

/// Runs `work`, which puts a ruleset in force until `deadline`. Writes the record
/// before, so that it exists even if the daemon is killed meanwhile. After an
/// error, writes the earlier record again.
pub(super) fn record_while<T>(
    state_dir: &Path,
    deadline: Deadline,
    work: impl FnOnce() -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    let before = NotConfirmed::read(state_dir)?;
    record(deadline).write(state_dir)?;
    let done = work();
    if done.is_err() {
        match before {
            Some(before) => before.write(state_dir)?,
            None => NotConfirmed::remove(state_dir)?,
        }
    }
    done
}

/// Message about files that were not confirmed, with what the operator can do.
pub(super) fn rolled_back(kept: &NotConfirmed) -> String {
    format!(
        "{}; to put the policy files in force as they are now, run `monitor reload --confirm 60s`, or `monitor reload`",
        kept.shown()
    )
}

impl Core {
    /// Time by which the generation in force can be confirmed; `None` if it needs
    /// no confirmation.
    pub(in crate::daemon) fn deadline(&self) -> Option<Deadline> {
        self.state().stage.deadline()
    }

    /// True if the policy files were not confirmed in time. Then a changed file
    /// alone does not load them.
    pub(in crate::daemon) fn is_rolled_back(&self) -> bool {
        self.state().stage.rolled_back().is_some()
    }

    /// Makes the generation in force permanent.
    pub(in crate::daemon) fn confirm(&self) -> Result<Confirmed, ConfirmError> {
        let mut filter = self.work_on_filter("a confirmation");
        let filter = filter.as_mut().ok_or(ConfirmError::Detached)?;
        let (generation, mut notes) = filter.confirm(
            &self.settings.filtered()?,
            self.settings.evidence >= EvidenceLevel::Flows,
        )?;
        let stage = self.state().stage.confirmed();
        let policies = stage.policies().cloned();
        self.update(|state| state.stage = stage);
        let saved = self.save_last_good();
        let removed = saved.and_then(|()| NotConfirmed::remove(&self.settings.state_dir));
        notes.extend(removed.err().map(|error| {
            format!(
                "the generation is in force, but after a restart of this machine the policies confirmed before it come back: {}",
                error_text(&error)
            )
        }));
        if let Some(policies) = policies {
            self.note_feeds(&policies.feeds);
        }
        Ok(Confirmed { generation, notes })
    }

    /// Makes the kernel's roll-back permanent, if the deadline has passed.
    pub(in crate::daemon) fn roll_back(&self) -> Result<RolledBack, LoadError> {
        let mut filter = self.work_on_filter("a roll-back");
        let passed = self.deadline().filter(|deadline| deadline.has_passed());
        let (Some(filter), Some(deadline)) = (filter.as_mut(), passed) else {
            return Ok(RolledBack::default());
        };
        filter.roll_back()?;
        let kept = record(deadline);
        let told = rolled_back(&kept);
        let stage = self.state().stage.not_confirmed(kept);
        let policies = stage.policies().cloned();
        self.update(|state| {
            state.stage = stage;
            state.last_load = ReloadSnapshot {
                success: false,
                timestamp: now(),
                error: Some(told.clone()),
            };
        });
        super::lock(&self.risks).clear();
        // Schedules, commands and interfaces may have changed since the restored
        // policies were last in force.
        let changes = self.pass_to(filter, &clock::now());
        self.note_feeds(policies.as_ref().map_or(&[], |policies| &policies.feeds));
        let (changes, behind) = match changes {
            Ok(changes) => (changes, None),
            Err(error) => (Vec::new(), Some(error_text(&error))),
        };
        Ok(RolledBack {
            told: Some(told),
            changes,
            behind,
        })
    }
}
