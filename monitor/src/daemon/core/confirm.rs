//! What is to be confirmed: everything that comes into force meanwhile waits as
//! well and goes back with it, and only `confirm` ends the waiting.

use std::{path::Path, time::Duration};

use super::{
    Core, Current, LoadError,
    load::{Loaded, Usable},
    lock, now, request,
};
use crate::{
    address::Derivation,
    clock,
    compile::{Ruleset, compile},
    config::Settings,
    control::Confirmed,
    datapath::{self, Applied, Deadline, Filter},
    error_text::error_text,
    policy::{DeviceNames, Diagnostics, Feed, Policy},
    snapshot::ReloadSnapshot,
    state_dir::NotConfirmed,
};

/// What waits to be confirmed.
pub(super) struct Trial {
    pub(super) deadline: Deadline,
    /// What comes back; `None`: nobody knows which policies those are, or
    /// there are none.
    pub(super) before: Option<Before>,
}

/// Policies that are in force for good.
#[derive(Clone)]
pub(super) struct Before {
    policies: Vec<Policy>,
    devices: DeviceNames,
    feeds: Vec<Feed>,
}

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

/// What a start finds of a generation that was to be confirmed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// There was none, or it was confirmed.
    Nothing,
    /// It still can be.
    Waiting(Deadline),
    /// It was not.
    InVain(NotConfirmed),
}

impl Found {
    /// Looks at what is kept and at what is pinned.
    pub(super) fn look(settings: &Settings) -> Result<Self, LoadError> {
        let kept = NotConfirmed::read(&settings.state_dir)?;
        let tried = datapath::tried(&settings.pin_dir)?;
        Ok(match (tried, kept) {
            (Some(tried), _) if !tried.confirmed && !tried.deadline.has_passed() => {
                Self::Waiting(tried.deadline)
            }
            (Some(tried), Some(kept))
                if tried.confirmed && tried.deadline.nanoseconds() == kept.deadline_nanoseconds =>
            {
                // The daemon ended before it could forget it.
                NotConfirmed::remove(&settings.state_dir)?;
                Self::Nothing
            }
            (_, Some(kept)) => Self::InVain(kept),
            (Some(tried), None) if !tried.confirmed => Self::InVain(not_confirmed(tried.deadline)),
            (_, None) => Self::Nothing,
        })
    }

    /// The files were put in force, and are not confirmed.
    pub(super) fn not_confirmed(self) -> Option<NotConfirmed> {
        match self {
            Self::Nothing => None,
            Self::Waiting(deadline) => Some(not_confirmed(deadline)),
            Self::InVain(kept) => Some(kept),
        }
    }
}

/// What to keep of a deadline.
pub(super) fn not_confirmed(deadline: Deadline) -> NotConfirmed {
    NotConfirmed {
        since: clock::now().at,
        within_seconds: deadline.within().as_secs(),
        deadline_nanoseconds: deadline.nanoseconds(),
    }
}

/// Does what puts a ruleset in force that waits, with that kept before the kernel
/// is told. Where it fails, what was kept before is kept again: it may be that
/// the files were not confirmed earlier.
pub(super) fn kept_while<T>(
    state_dir: &Path,
    deadline: Deadline,
    work: impl FnOnce() -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    let before = NotConfirmed::read(state_dir)?;
    not_confirmed(deadline).write(state_dir)?;
    let done = work();
    if done.is_err() {
        match before {
            Some(before) => before.write(state_dir)?,
            None => NotConfirmed::remove(state_dir)?,
        }
    }
    done
}

/// What became of files that were not confirmed, and what to do.
pub(super) fn rolled_back(kept: &NotConfirmed) -> String {
    format!(
        "{}; the policy files as they are now come into force by `monitor reload --confirm 60s` alone, or by `monitor reload`",
        kept.shown()
    )
}

impl Before {
    /// What was loaded, where it can be used.
    pub(super) fn loaded(loaded: Loaded) -> Option<Self> {
        let Usable {
            policies, devices, ..
        } = loaded.result.ok()?;
        Some(Self {
            policies,
            devices,
            feeds: loaded.feeds,
        })
    }
}

impl Core {
    /// Puts a ruleset in force until `within` from now, or until it is confirmed.
    /// Where something waits already, what was before that comes back.
    pub(super) fn try_out(
        &self,
        filter: &mut Filter,
        ruleset: &Ruleset,
        within: Duration,
    ) -> Result<Applied, LoadError> {
        // What comes back must be known to the next daemon as well.
        self.keep_last_good()?;
        let deadline = Deadline::after(within);
        let names = self.settings.real_interfaces()?;
        let request = request(&self.settings, &names, ruleset, Some(deadline));
        let applied = kept_while(&self.settings.state_dir, deadline, || {
            Ok(filter.apply(&request)?)
        })?;
        let mut current = lock(&self.current);
        let before = match current.trial.take() {
            Some(trial) => trial.before,
            None => current.before(),
        };
        current.trial = Some(Trial { deadline, before });
        Ok(applied)
    }

    /// Until when something waits to be confirmed.
    pub(in crate::daemon) fn deadline(&self) -> Option<Deadline> {
        let current = lock(&self.current);
        current.trial.as_ref().map(|trial| trial.deadline)
    }

    /// Whether the files are not to be loaded unasked.
    pub(in crate::daemon) fn is_rolled_back(&self) -> bool {
        lock(&self.current).not_confirmed.is_some()
    }

    /// Keeps what waits, for good.
    pub(in crate::daemon) fn confirm(&self) -> Result<Confirmed, ConfirmError> {
        let mut filter = self.work_on_filter("a confirmation");
        let filter = filter.as_mut().ok_or(ConfirmError::Detached)?;
        let (generation, mut notes) = filter.confirm(&self.settings.real_interfaces()?)?;
        lock(&self.current).trial = None;
        let kept = self.keep_last_good();
        let forgotten = kept.and_then(|()| NotConfirmed::remove(&self.settings.state_dir));
        notes.extend(forgotten.err().map(|error| {
            format!(
                "it is in force, but after a restart of this machine what was confirmed before will be: {}",
                error_text(&error)
            )
        }));
        let feeds = lock(&self.current).feeds.clone();
        self.note_feeds(&feeds);
        Ok(Confirmed { generation, notes })
    }

    /// Makes permanent what the kernel does since the deadline. Returns what to
    /// tell; `None` where there is nothing to do.
    pub(in crate::daemon) fn roll_back(&self) -> Result<Option<String>, LoadError> {
        let mut filter = self.work_on_filter("a roll-back");
        let Some(filter) = filter.as_mut() else {
            return Ok(None);
        };
        let passed = self.deadline().filter(|deadline| deadline.has_passed());
        let Some(deadline) = passed else {
            return Ok(None);
        };
        filter.roll_back()?;
        let moment = clock::now();
        let (told, ruleset) = {
            let mut current = lock(&self.current);
            let told = current.go_back(not_confirmed(deadline));
            let _ = current.pass_to(&moment);
            self.keep_edges(&current, &moment);
            (told, current.compiled(&self.settings.derivation)?)
        };
        self.put_back(filter, ruleset)?;
        let feeds = lock(&self.current).feeds.clone();
        self.note_feeds(&feeds);
        Ok(Some(told))
    }

    /// Time may have passed meanwhile, commands were given, or interfaces came:
    /// then what was confirmed last is another ruleset now.
    fn put_back(&self, filter: &mut Filter, ruleset: Option<Ruleset>) -> Result<(), LoadError> {
        let Some(ruleset) = ruleset else {
            return Ok(());
        };
        let hash = filter.ruleset_hash(&self.settings.real_interfaces()?)?;
        if hash != Some(ruleset.content_hash()) {
            let applied = self.apply(filter, &ruleset)?;
            *lock(&self.loggers) = applied.loggers;
        }
        let mut current = lock(&self.current);
        current.ruleset = Some(ruleset);
        current.behind = false;
        Ok(())
    }
}

impl Current {
    /// The files are in force, whatever became of earlier ones. Returns what to
    /// tell where the next start will not know it.
    pub(super) fn loaded_files(&mut self, state_dir: &Path) -> Option<String> {
        self.not_confirmed = None;
        if self.trial.is_some() {
            return None;
        }
        NotConfirmed::remove(state_dir)
            .err()
            .map(|error| error_text(&error))
    }

    /// What is in force now, for good; `None`: nobody knows.
    fn before(&self) -> Option<Before> {
        self.ruleset.as_ref()?;
        Some(Before {
            policies: self.policies.clone(),
            devices: self.devices.clone(),
            feeds: self.feeds.clone(),
        })
    }

    /// Knows again what it knew before, and nothing where nothing was known.
    /// Returns what to tell.
    fn go_back(&mut self, kept: NotConfirmed) -> String {
        let told = rolled_back(&kept);
        let before = self.trial.take().and_then(|trial| trial.before);
        // Until it is worked out what they say now.
        self.behind = before.is_some();
        if let Some(before) = before {
            self.policies = before.policies;
            self.devices = before.devices;
            self.feeds = before.feeds;
        } else {
            self.ruleset = None;
            self.policies = Vec::new();
            self.feeds = Vec::new();
        }
        self.risks.clear();
        self.to_keep = None;
        self.not_confirmed = Some(kept);
        self.reload = Some(ReloadSnapshot {
            success: false,
            timestamp: now(),
            error: Some(told.clone()),
        });
        told
    }

    /// The policies in force as they are now; `None`: nobody knows them.
    fn compiled(&self, derivation: &Derivation) -> Result<Option<Ruleset>, LoadError> {
        if self.ruleset.is_none() {
            return Ok(None);
        }
        let errors = |errors: Diagnostics| LoadError::Policies(errors.render_some());
        compile(&self.policies, derivation)
            .map(Some)
            .map_err(errors)
    }
}
