//! A reload reads the files, decides, applies and records. It locks only the
//! filter, so the daemon answers requests from the old state meanwhile.

use std::{sync::Arc, time::Duration};

use super::{
    Core, LoadError,
    confirm::{record_while, rolled_back},
    load::{Loaded, Usable, load, load_last_good, reason},
    lock, now,
    state::{PoliciesInForce, Stage, State},
};
use crate::{
    clock,
    control::Reloaded,
    datapath::{Applied, Deadline, Filter},
    error_text::error_text,
    feeds::DiskAndFeeds,
    policy::Moment,
    snapshot::ReloadSnapshot,
    state_dir::NotConfirmed,
};

/// Reason to load the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Trigger {
    /// A file or feed changed. A generation is made only for another ruleset.
    File,
    /// The operator requested it. A generation is always made.
    Request,
    /// The operator requested it, and must confirm it within this time.
    Confirm(Duration),
}

/// Result of a reload.
#[derive(Debug)]
pub(in crate::daemon) enum ReloadOutcome {
    /// The filter was detached before, so there is nothing to reload.
    Detached,
    /// The ruleset in force is already that of the files.
    Unchanged,
    /// A generation was made, or the old one stays because of an error.
    Tried(Reloaded),
}

/// Source of the policies of a reload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The policy files as they are now.
    Files,
    /// The last good files, because the current files were not confirmed.
    LastGood,
}

/// Policies without errors, and what to do with them.
enum Decision {
    /// The kernel has their ruleset already.
    Keep(Usable),
    /// Make a generation of the policies.
    Apply(Usable),
}

impl Core {
    /// Reads the policies again. If they have errors, or the kernel refuses them,
    /// the old generation stays in force.
    pub(in crate::daemon) fn reload(&self, trigger: Trigger) -> ReloadOutcome {
        let mut filter = self.work_on_filter("a reload");
        let Some(filter) = filter.as_mut() else {
            return ReloadOutcome::Detached;
        };
        let moment = clock::now();
        let before = self.state();
        let source = Source::of(&before, trigger);
        let loaded = match self.read(source, &before, &moment) {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return ReloadOutcome::Unchanged,
            Err(error) => return self.record_failure(&error, String::new()),
        };
        let files = Arc::new(loaded.files);
        self.update(|state| state.files = files);
        let decided = loaded
            .result
            .map(|usable| decide(&before, trigger, source, usable));
        match decided {
            Err(error) => self.record_failure(&error, loaded.warnings),
            Ok(Decision::Keep(usable)) => {
                let stage = stage_after(before.stage, None, source, usable);
                let last_load = match source {
                    // Nothing came into force now.
                    Source::Files => before.last_load,
                    Source::LastGood => last_load(&stage),
                };
                self.record_policies(stage, last_load, &moment);
                ReloadOutcome::Unchanged
            }
            Ok(Decision::Apply(usable)) => {
                match self.apply_loaded(filter, trigger, &usable.policies) {
                    Err(error) => self.record_failure(&error, loaded.warnings),
                    Ok((applied, deadline)) => {
                        let stage = stage_after(before.stage, deadline, source, usable);
                        self.record_success(stage, source, applied, loaded.warnings, &moment)
                    }
                }
            }
        }
    }

    /// Reads and compiles the policies. `None` if there are no last good files.
    fn read(
        &self,
        source: Source,
        before: &State,
        moment: &Moment,
    ) -> Result<Option<Loaded>, LoadError> {
        let settings = &self.settings;
        let earlier = before.stage.policies();
        match source {
            Source::LastGood => load_last_good(settings, &before.runtime, moment, earlier)
                .map_err(LoadError::LastGood),
            Source::Files => {
                let files = DiskAndFeeds::new(&settings.state_dir);
                let runtime = &before.runtime;
                Ok(Some(load(settings, &files, runtime, moment, earlier)))
            }
        }
    }

    /// Makes a generation. Also returns its deadline if it must be confirmed.
    fn apply_loaded(
        &self,
        filter: &mut Filter,
        trigger: Trigger,
        policies: &PoliciesInForce,
    ) -> Result<(Applied, Option<Deadline>), LoadError> {
        let Trigger::Confirm(within) = trigger else {
            return Ok((self.apply(filter, &policies.ruleset)?, None));
        };
        // The next daemon too must have the files that come back.
        self.save_last_good().map_err(LoadError::NotSaved)?;
        let deadline = Deadline::after(within);
        let applied = record_while(&self.settings.state_dir, deadline, || {
            Ok(self.apply_until(filter, &policies.ruleset, Some(deadline))?)
        })?;
        Ok((applied, Some(deadline)))
    }

    fn record_success(
        &self,
        stage: Stage,
        source: Source,
        applied: Applied,
        warnings: String,
        moment: &Moment,
    ) -> ReloadOutcome {
        let is_settled = matches!(stage, Stage::Settled { .. });
        self.hand_out(applied.loggers);
        let last_load = last_load(&stage);
        self.record_policies(stage, last_load, moment);
        let mut notes = Vec::new();
        notes.extend((!warnings.is_empty()).then_some(warnings));
        notes.extend(applied.notes);
        if source == Source::Files && is_settled {
            let removed = NotConfirmed::remove(&self.settings.state_dir);
            notes.extend(removed.err().map(|error| error_text(&error)));
        }
        self.names_changed.notify_one();
        let success = ReloadSnapshot {
            success: true,
            timestamp: now(),
            error: None,
        };
        ReloadOutcome::Tried(self.reloaded(success, notes))
    }

    /// Replaces the policies in the state, then writes to disk what depends on
    /// them.
    fn record_policies(&self, stage: Stage, last_load: ReloadSnapshot, moment: &Moment) {
        let policies = stage.policies().cloned();
        self.update(|state| {
            state.stage = stage;
            state.last_load = last_load;
        });
        lock(&self.risks).clear();
        *lock(&self.locked_out) = None;
        if let Some(policies) = policies {
            self.keep_edges(&policies, moment);
            self.note_feeds(&policies.feeds);
        }
    }

    fn record_failure(&self, error: &LoadError, warnings: String) -> ReloadOutcome {
        let last_load = ReloadSnapshot {
            success: false,
            timestamp: now(),
            error: Some(reason(error)),
        };
        let is_lock_out = matches!(error, LoadError::LockOut(_));
        *lock(&self.locked_out) = last_load.error.clone().filter(|_| is_lock_out);
        self.update(|state| state.last_load = last_load.clone());
        let notes = Some(warnings).filter(|warnings| !warnings.is_empty());
        ReloadOutcome::Tried(self.reloaded(last_load, notes.into_iter().collect()))
    }

    fn reloaded(&self, reload: ReloadSnapshot, notes: Vec<String>) -> Reloaded {
        let snapshot = self.snapshot().ok();
        Reloaded {
            generation: self.generation(),
            reload,
            unconfirmed: snapshot.and_then(|snapshot| snapshot.unconfirmed),
            notes,
        }
    }
}

impl Source {
    /// A changed file or feed alone does not load files that were not confirmed.
    fn of(state: &State, trigger: Trigger) -> Self {
        if state.stage.rolled_back().is_some() && trigger == Trigger::File {
            Self::LastGood
        } else {
            Self::Files
        }
    }
}

fn decide(before: &State, trigger: Trigger, source: Source, usable: Usable) -> Decision {
    let is_in_force = before.last_load.success || source == Source::LastGood;
    // Compares all prefixes, so it comes last.
    let is_same = || {
        before.stage.policies().is_some_and(|policies| {
            !policies.kernel_is_behind && policies.ruleset == usable.policies.ruleset
        })
    };
    if trigger == Trigger::File && is_in_force && is_same() {
        Decision::Keep(usable)
    } else {
        Decision::Apply(usable)
    }
}

/// The result of a load that succeeded now. Files that were not confirmed stay out of
/// force, so they count as not loaded.
fn last_load(stage: &Stage) -> ReloadSnapshot {
    let not_confirmed = stage.rolled_back().map(rolled_back);
    ReloadSnapshot {
        success: not_confirmed.is_none(),
        timestamp: now(),
        error: not_confirmed,
    }
}

fn stage_after(before: Stage, deadline: Option<Deadline>, source: Source, usable: Usable) -> Stage {
    let Usable { policies, read } = usable;
    match (source, deadline) {
        (Source::Files, None) => before.loaded(policies, read),
        (Source::Files, Some(deadline)) => before.loaded_until(deadline, policies, read),
        (Source::LastGood, _) => {
            let mut stage = before;
            stage.set_policies(policies);
            stage
        }
    }
}
