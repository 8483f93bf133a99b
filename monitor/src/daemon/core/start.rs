//! Start of the daemon, until its policies are in force.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    Core, Liveness, LoadError,
    confirm::{EarlierTrial, record_while, rolled_back},
    feeds,
    load::{FELL_BACK, Loaded, Usable, kept_changes, last_good, load, load_last_good},
    lock, now, request,
    reset::SavedCounters,
    state::{PoliciesInForce, Stage, State},
};
use crate::{
    clock,
    config::Settings,
    daemon::{endpoints::Endpoints, evidence_handle::EvidenceHandle},
    datapath::{self, Applied, Deadline, Filter, OtherVersions, Reader, Request},
    error_text::error_text,
    feeds::DiskAndFeeds,
    policy::{Moment, RuntimeOverlay},
    snapshot::ReloadSnapshot,
    state_dir::{NotConfirmed, UnsavedLastGood},
};

/// Options of a start, beside the settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartOptions {
    /// Time for the confirmation of the policies; `None` if they need none.
    pub confirm: Option<Duration>,
    /// Save the counters of another version, and replace its filter.
    pub reset_state: bool,
}

/// The policies to put in force, and where they come from.
struct Plan {
    policies: PoliciesInForce,
    origin: Origin,
    files: BTreeSet<PathBuf>,
    warnings: String,
    /// Why the guard refused the files.
    locked_out: Option<String>,
}

/// Where the policies of a start come from.
enum Origin {
    /// The policy files as they are now, permanently.
    Files { read: UnsavedLastGood },
    /// The policy files as they are now, on trial.
    FilesToConfirm {
        read: UnsavedLastGood,
        until: ConfirmUntil,
    },
    /// The last good files.
    LastGood {
        /// Reason why the current files are not used.
        error: String,
        /// Record of the current files, if they were not confirmed.
        not_confirmed: Option<NotConfirmed>,
    },
}

/// Time by which the operator can confirm.
#[derive(Clone, Copy)]
enum ConfirmUntil {
    /// This long after the policies are put in force.
    For(Duration),
    /// The deadline of an earlier daemon.
    Deadline(Deadline),
}

/// Inputs of a start.
struct Start<'a> {
    settings: &'a Settings,
    runtime: &'a RuntimeOverlay,
    moment: &'a Moment,
}

/// Result of the swap, and the policies that come back if the operator does not
/// confirm.
struct PutInForce {
    applied: Applied,
    trial: Option<(Deadline, Option<PoliciesInForce>)>,
}

impl Core {
    /// Reads the policies and puts them in force. Also returns messages for the
    /// operator. On an error, what was in force before stays in force.
    pub fn start(
        mut settings: Settings,
        options: StartOptions,
    ) -> Result<(Self, Vec<String>), LoadError> {
        let started = now();
        // Check the directory before anything is read from it.
        datapath::check_directory(&settings.pin_dir)?;
        datapath::require_ethernet(&settings.interfaces)?;
        let mut notes = Vec::new();
        let moment = clock::now();
        let runtime = standing_changes(&settings, &moment, &mut notes);
        let start = Start {
            settings: &settings,
            runtime: &runtime,
            moment: &moment,
        };
        let plan = start.plan(options.confirm)?;
        notes.splice(0..0, plan.origin.error().map(str::to_owned));
        let mut filter = Filter::open(&settings.pin_dir, options.other_versions())?;
        // Do everything that may fail before the swap.
        let reader = Reader::open(filter.pin_dir())?;
        let PutInForce { applied, trial } = start.put_in_force(&plan, &mut filter)?;
        notes.extend((!plan.warnings.is_empty()).then(|| plan.warnings.clone()));
        notes.extend(applied.notes);
        notes.extend(alternative_names(&settings)?);
        filter.pin_dir().clone_into(&mut settings.pin_dir);
        let locked_out = plan.locked_out.clone();
        let core = Self {
            reader,
            filter: Mutex::new(Some(filter)),
            state: Mutex::new(plan.into_state(runtime, trial)),
            saving: Mutex::default(),
            risks: Mutex::default(),
            locked_out: Mutex::new(locked_out),
            waiting: Mutex::default(),
            left_out: Mutex::default(),
            pace: Mutex::default(),
            loggers: Mutex::new(applied.loggers),
            reloaded: Notify::new(),
            feeds: feeds::Feeds::default(),
            endpoints: Endpoints::new(&settings),
            liveness: Liveness::default(),
            devices: Mutex::default(),
            names_changed: Notify::new(),
            evidence: EvidenceHandle::default(),
            ranges: super::ranges::Ranges::default(),
            captures: super::capture::Captures::default(),
            doctor: super::doctor::Doctor::default(),
            page: super::page::Page::default(),
            page_login: super::page_login::PageLogin::default(),
            settings,
            started,
        };
        notes.extend(core.look_around(&moment));
        notes.extend(lock(&core.left_out).values().cloned());
        Ok((core, notes))
    }

    /// Sets up what belongs to the policies in force. Returns a message if it fails;
    /// the policies stay in force even then.
    fn look_around(&self, moment: &Moment) -> Option<String> {
        if let Some(policies) = self.state().stage.policies() {
            self.note_feeds(&policies.feeds);
            self.keep_edges(policies, moment);
        }
        let resolved = self.settings.resolved_interfaces();
        let waiting = resolved.map_err(LoadError::from).and_then(|resolved| {
            let filter = lock(&self.filter);
            let waiting = filter
                .as_ref()
                .map(|filter| super::interfaces::waiting(filter, &resolved, None));
            *lock(&self.left_out) = resolved.left_out;
            waiting.transpose()
        });
        match waiting {
            Ok(waiting) => {
                *lock(&self.waiting) = waiting.unwrap_or_default();
                None
            }
            Err(error) => Some(error_text(&error)),
        }
    }
}

impl StartOptions {
    const fn other_versions(self) -> OtherVersions {
        if self.reset_state {
            OtherVersions::TakeOver
        } else {
            OtherVersions::Refuse
        }
    }
}

/// Returns a line for each interface that is configured by an alternative name.
fn alternative_names(settings: &Settings) -> Result<Vec<String>, datapath::Error> {
    let mut notes = Vec::new();
    let real = settings.real_interfaces()?;
    let exact = settings.interfaces.iter();
    let exact = exact.filter(|name| !datapath::is_pattern(name) && !real.contains(name));
    for name in exact {
        let interface = datapath::name_of_alternative(name)?.unwrap_or_default();
        notes.push(format!(
            "{name} is an alternative name of {interface}: counters and metrics name {interface}"
        ));
    }
    Ok(notes)
}

/// Reads the changes by commands, and removes those that have ended.
fn standing_changes(
    settings: &Settings,
    moment: &Moment,
    notes: &mut Vec<String>,
) -> RuntimeOverlay {
    let mut runtime = kept_changes(settings, notes);
    let ended = runtime.remove_ended(moment);
    notes.extend(ended.iter().map(|change| format!("`{change}` has ended")));
    runtime
}

impl Start<'_> {
    /// Determines the policies to put in force: those of the files, or the last
    /// good ones if the files have errors or were not confirmed.
    fn plan(&self, confirm: Option<Duration>) -> Result<Plan, LoadError> {
        let earlier = EarlierTrial::look(self.settings)?;
        let until = match (confirm, earlier) {
            (Some(within), _) => Some(ConfirmUntil::For(within)),
            (None, EarlierTrial::Waiting(deadline)) => Some(ConfirmUntil::Deadline(deadline)),
            (None, EarlierTrial::NotConfirmed(kept)) => return self.plan_without_files(kept),
            (None, EarlierTrial::Over) => None,
        };
        let files = DiskAndFeeds::new(&self.settings.state_dir);
        let loaded = load(self.settings, &files, self.runtime, self.moment, None);
        let mut locked_out = None;
        let (usable, origin) = match loaded.result {
            Ok(Usable { policies, read }) => (policies, Origin::files(read, until)),
            Err(LoadError::LockOut(errors)) => {
                locked_out = Some(errors.clone());
                self.instead_of(&errors, earlier)?
            }
            Err(LoadError::Policies(errors)) => self.instead_of(&errors, earlier)?,
            Err(error) => return Err(error),
        };
        Ok(Plan {
            policies: usable,
            origin,
            files: loaded.files,
            warnings: loaded.warnings,
            locked_out,
        })
    }

    /// Returns the last good policies, because the files have these errors.
    fn instead_of(
        &self,
        errors: &str,
        earlier: EarlierTrial,
    ) -> Result<(PoliciesInForce, Origin), LoadError> {
        let last = last_good(errors, self.settings, self.runtime, self.moment)?;
        let origin = Origin::LastGood {
            error: format!("{FELL_BACK}\n{errors}"),
            not_confirmed: earlier.not_confirmed(),
        };
        Ok((last.policies, origin))
    }

    /// Plans a start with the policies before the files that were not confirmed.
    fn plan_without_files(&self, kept: NotConfirmed) -> Result<Plan, LoadError> {
        let loaded = load_last_good(self.settings, self.runtime, self.moment, None)?;
        let Loaded {
            result,
            files,
            warnings,
        } = loaded.ok_or_else(|| LoadError::NeverConfirmed {
            path: NotConfirmed::path(&self.settings.state_dir),
        })?;
        Ok(Plan {
            policies: result?.policies,
            origin: Origin::LastGood {
                error: rolled_back(&kept),
                not_confirmed: Some(kept),
            },
            files,
            warnings,
            locked_out: None,
        })
    }

    fn put_in_force(&self, plan: &Plan, filter: &mut Filter) -> Result<PutInForce, LoadError> {
        let deadline = plan.origin.confirm_until().map(ConfirmUntil::deadline);
        let interfaces = self.settings.filtered()?;
        let request = request(self.settings, &interfaces, &plan.policies.ruleset, deadline);
        let Some(deadline) = deadline else {
            return Ok(PutInForce {
                applied: self.replace(filter, &request)?,
                trial: None,
            });
        };
        let before = load_last_good(self.settings, self.runtime, self.moment, None)?;
        let applied = record_while(&self.settings.state_dir, deadline, || {
            self.replace(filter, &request)
        })?;
        // Without an earlier generation, packets pass after the deadline, even if
        // there are last good files.
        let before = before
            .filter(|_| applied.has_previous)
            .and_then(|loaded| loaded.result.ok())
            .map(|usable| usable.policies);
        Ok(PutInForce {
            applied,
            trial: Some((deadline, before)),
        })
    }

    /// Replaces the filter. First saves the counters of another version, so that an
    /// interrupted start loses no count.
    fn replace(&self, filter: &mut Filter, request: &Request<'_>) -> Result<Applied, LoadError> {
        let saved = SavedCounters::new(filter, self.settings, self.moment)?;
        let mut applied = filter.apply(request)?;
        applied.notes.extend(saved.finish(filter));
        Ok(applied)
    }
}

impl Plan {
    fn into_state(
        self,
        runtime: RuntimeOverlay,
        trial: Option<(Deadline, Option<PoliciesInForce>)>,
    ) -> State {
        let error = self.origin.error().map(str::to_owned);
        let policies = self.policies;
        let stage = match (self.origin, trial) {
            (Origin::Files { read } | Origin::FilesToConfirm { read, .. }, trial) => {
                let unsaved = Some(Arc::new(read));
                match trial {
                    None => Stage::Settled { policies, unsaved },
                    Some((deadline, before)) => Stage::Unconfirmed {
                        policies,
                        deadline,
                        before,
                        unsaved,
                    },
                }
            }
            (Origin::LastGood { not_confirmed, .. }, _) => match not_confirmed {
                Some(kept) => Stage::RolledBack {
                    policies: Some(policies),
                    kept,
                },
                None => Stage::Settled {
                    policies,
                    unsaved: None,
                },
            },
        };
        State {
            stage,
            runtime: Arc::new(runtime),
            last_load: ReloadSnapshot {
                success: error.is_none(),
                timestamp: now(),
                error,
            },
            files: Arc::new(self.files),
        }
    }
}

impl Origin {
    fn files(read: UnsavedLastGood, until: Option<ConfirmUntil>) -> Self {
        match until {
            None => Self::Files { read },
            Some(until) => Self::FilesToConfirm { read, until },
        }
    }

    /// Reason why the policies are not those of the current files.
    fn error(&self) -> Option<&str> {
        match self {
            Self::Files { .. } | Self::FilesToConfirm { .. } => None,
            Self::LastGood { error, .. } => Some(error),
        }
    }

    fn confirm_until(&self) -> Option<ConfirmUntil> {
        match self {
            Self::FilesToConfirm { until, .. } => Some(*until),
            Self::Files { .. } | Self::LastGood { .. } => None,
        }
    }
}

impl ConfirmUntil {
    fn deadline(self) -> Deadline {
        match self {
            Self::For(within) => Deadline::after(within),
            Self::Deadline(deadline) => deadline,
        }
    }
}
