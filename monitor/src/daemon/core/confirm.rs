//! Policies that wait to be confirmed: whatever comes into force meanwhile waits
//! as well and goes back with them. Only `confirm` ends the waiting.

use std::path::Path;

use super::{Core, LoadError, now};
use crate::{
    clock,
    config::Settings,
    control::Confirmed,
    datapath::{self, Deadline},
    error_text::error_text,
    snapshot::ReloadSnapshot,
    state_dir::NotConfirmed,
};

/// Why nothing is confirmed.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum ConfirmError {
    /// There is nothing to confirm.
    #[error("the filter is detached")]
    Detached,
    /// Nothing waits, or it has waited in vain.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
}

/// Result of a roll-back, for the log.
#[derive(Debug, Default)]
pub(in crate::daemon) struct RolledBack {
    /// What happened and what the operator can do; `None` where no deadline had
    /// passed.
    pub(in crate::daemon) told: Option<String>,
    /// What time changed of the policies that came back, a line each.
    pub(in crate::daemon) changes: Vec<String>,
}

/// What a start finds of a generation that was to be confirmed.
#[derive(Clone, Copy, Debug)]
pub(super) enum EarlierTrial {
    /// There was none, or it was confirmed.
    Over,
    /// The operator can still confirm it.
    Waiting(Deadline),
    /// It was not confirmed in time.
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

    /// The record of files that are not confirmed.
    pub(super) fn not_confirmed(self) -> Option<NotConfirmed> {
        match self {
            Self::Over => None,
            Self::Waiting(deadline) => Some(record(deadline)),
            Self::NotConfirmed(kept) => Some(kept),
        }
    }
}

/// The record of a generation with this deadline.
pub(super) fn record(deadline: Deadline) -> NotConfirmed {
    NotConfirmed {
        since: clock::now().at,
        within_seconds: deadline.within().as_secs(),
        deadline_nanoseconds: deadline.nanoseconds(),
    }
}

/// Runs `work`, which puts a ruleset in force until `deadline`. The record is
/// written before, so that a daemon that is killed meanwhile leaves it. After an
/// error the earlier record is written again.
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
        "{}; the policy files as they are now come into force by `monitor reload --confirm 60s` alone, or by `monitor reload`",
        kept.shown()
    )
}

impl Core {
    /// The time until which the generation in force can be confirmed.
    pub(in crate::daemon) fn deadline(&self) -> Option<Deadline> {
        self.state().stage.deadline()
    }

    /// Whether a changed policy file is not loaded by itself.
    pub(in crate::daemon) fn is_rolled_back(&self) -> bool {
        self.state().stage.rolled_back().is_some()
    }

    /// Keeps the generation in force for good.
    pub(in crate::daemon) fn confirm(&self) -> Result<Confirmed, ConfirmError> {
        let mut filter = self.work_on_filter("a confirmation");
        let filter = filter.as_mut().ok_or(ConfirmError::Detached)?;
        let (generation, mut notes) = filter.confirm(&self.settings.real_interfaces()?)?;
        let stage = self.state().stage.confirmed();
        let policies = stage.policies().cloned();
        self.update(|state| state.stage = stage);
        let saved = self.save_last_good();
        let removed = saved.and_then(|()| NotConfirmed::remove(&self.settings.state_dir));
        notes.extend(removed.err().map(|error| {
            format!(
                "it is in force, but after a restart of this machine what was confirmed before will be: {}",
                error_text(&error)
            )
        }));
        if let Some(policies) = policies {
            self.note_feeds(&policies.feeds);
        }
        Ok(Confirmed { generation, notes })
    }

    /// Makes permanent what the kernel does since the deadline.
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
        // Schedules, commands and interfaces may have changed since the policies
        // that come back were in force.
        let changes = self.pass_to(filter, &clock::now());
        self.note_feeds(policies.as_ref().map_or(&[], |policies| &policies.feeds));
        Ok(RolledBack {
            told: Some(told),
            changes: changes?,
        })
    }
}
