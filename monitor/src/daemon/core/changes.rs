//! What commands change, on top of the files.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Core, Current, lock};
use crate::{
    address::Derivation,
    clock,
    compile::{Ruleset, compile},
    control::{ChangeRequest, Changed, StandingChange},
    datapath,
    guard::guard,
    policy::{
        Action, Diagnostic, Diagnostics, Effect, End, Moment, Policy, PolicyName, Rest,
        RuntimeChange, RuntimeOverlay, Texts, UnknownDevice, closest_policy,
    },
    state_dir::{Edge, Edges, StateDirError, write_runtime},
};

/// Why a change is not made; what was in force stays.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum ChangeError {
    /// There is nothing to change.
    #[error("the filter is detached")]
    Detached,
    /// A generation made from nothing would take away what may be in force.
    #[error(
        "which policies are in force is not known, because the files were not confirmed: load them with `monitor reload` first"
    )]
    Unknown,
    /// To pause.
    #[error("there is no policy `{name}`{}", suggestion(near.as_ref()))]
    NoPolicy {
        /// As it was typed.
        name: PolicyName,
        /// A name like it.
        near: Option<PolicyName>,
    },
    /// It is another command's.
    #[error("`{0}` was made by a command: undo that one")]
    ByCommand(PolicyName),
    /// A pause would change nothing.
    #[error("`{0}` is disabled in its file: there is nothing to pause")]
    Disabled(PolicyName),
    /// For whom?
    #[error(transparent)]
    Device(#[from] UnknownDevice),
    /// No change like it stands.
    #[error("`{0}` does not stand, so there is nothing to undo; `monitor status` lists what does")]
    NothingToUndo(String),
    /// More than is kept.
    #[error(
        "{} changes stand, which is the most: write policies instead, and undo some",
        RuntimeOverlay::MAX_CHANGES
    )]
    TooMany,
    /// The guard refuses it.
    #[error("that would lock devices out: {0}")]
    LockOut(String),
    /// The kernel's limits.
    #[error("that does not fit: {0}")]
    Limits(String),
    /// It would not survive a restart.
    #[error(transparent)]
    Keep(#[from] StateDirError),
    /// The kernel does not take it.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
}

fn suggestion(near: Option<&PolicyName>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// What is in force after a change, before it is.
struct Planned {
    overlay: RuntimeOverlay,
    policies: Vec<Policy>,
    ruleset: Ruleset,
}

impl Core {
    /// Makes or undoes a change, from the policies in force: the files are not
    /// read, and may be broken. It is in force, and kept, when this returns.
    pub(in crate::daemon) fn change(
        &self,
        request: &ChangeRequest,
    ) -> Result<Changed, ChangeError> {
        let mut filter = self.work_on_filter("a command");
        let filter = filter.as_mut().ok_or(ChangeError::Detached)?;
        let gateway = self.settings.gateway()?;
        let moment = clock::now();
        let (change, before, planned) = {
            let current = lock(&self.current);
            if current.ruleset.is_none() {
                return Err(ChangeError::Unknown);
            }
            let change = current.change(request, &moment)?;
            let overlay = current.overlay_with(&change, request.undo)?;
            let planned = plan(&current.policies, overlay, &moment, &gateway.derivation)?;
            refuse_lock_out(&current.policies, &planned.policies, &gateway)?;
            (change, current.runtime.clone(), planned)
        };
        let Planned {
            overlay,
            policies,
            ruleset,
        } = planned;
        write_runtime(&overlay)?;
        let applied = match self.apply(filter, &ruleset) {
            Ok(applied) => applied,
            Err(error) => {
                // It is not in force, so it must not come back.
                write_runtime(&before)?;
                return Err(error.into());
            }
        };
        let mut current = lock(&self.current);
        current.runtime = overlay;
        current.policies = policies;
        current.as_of = moment.at;
        current.ruleset = Some(ruleset);
        current.behind = false;
        *lock(&self.loggers) = applied.loggers;
        self.keep_edges(&current, &moment);
        drop(current);
        self.names_changed.notify_one();
        Ok(Changed {
            change: StandingChange::new(&change, &moment),
            undone: request.undo,
            generation: self.generation(),
            notes: applied.notes,
        })
    }

    /// Changes that stand, in the order in which they were asked for.
    pub(super) fn standing(&self) -> Vec<StandingChange> {
        let moment = clock::now();
        let current = lock(&self.current);
        let changes = current.runtime.changes.iter();
        changes
            .map(|change| StandingChange::new(change, &moment))
            .collect()
    }

    /// Keeps, for whoever finds this filter without a daemon, when time would
    /// have changed what is in force.
    pub(super) fn keep_edges(&self, current: &Current, moment: &Moment) {
        let mut edges: Vec<Edge> = current
            .policies
            .iter()
            .filter_map(|policy| edge(policy, moment.at))
            .collect();
        edges.sort();
        let edges = Edges {
            pin_dir: self.settings.pin_dir.clone(),
            edges,
        };
        if let Err(error) = edges.write(&self.settings.state_dir) {
            tracing::warn!("keep when schedules change: {error}");
        }
    }
}

/// Whether a policy does something now, and what.
fn doing(policy: &Policy) -> (PolicyName, (Option<Rest>, Action)) {
    (policy.name().clone(), (policy.rest(), policy.action()))
}

fn edge(policy: &Policy, after: Timestamp) -> Option<Edge> {
    let at = policy.next_edge(after)?;
    let until = policy
        .rest()
        .map_or(policy.action().name(), |rest| rest.reason());
    Some(Edge {
        at,
        policy: policy.name().to_string(),
        until: until.to_owned(),
    })
}

impl Current {
    /// The change that `request` means.
    fn change(
        &self,
        request: &ChangeRequest,
        moment: &Moment,
    ) -> Result<RuntimeChange, ChangeError> {
        if let Effect::Pause(name) = &request.effect
            && !request.undo
        {
            self.can_be_paused(name)?;
        }
        let devices = request.device.as_ref();
        let devices = devices.map(|text| self.devices.named(text)).transpose()?;
        let length = request
            .seconds
            .map(|seconds| SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)));
        Ok(RuntimeChange {
            effect: request.effect.clone(),
            devices: devices.unwrap_or_default(),
            device: request.device.clone(),
            since: moment.at,
            ends: length.map(|length| End::after(moment, length)),
            reason: request.reason.clone(),
        })
    }

    /// Goes on to `moment`: changes that have ended are gone, and each policy
    /// does what it then does. Returns what that changes, in words.
    pub(super) fn pass_to(&mut self, moment: &Moment) -> Vec<String> {
        let ended = self.runtime.remove_ended(moment);
        let mut changes: Vec<String> = ended
            .iter()
            .map(|change| format!("`{change}` has ended"))
            .collect();
        if !ended.is_empty()
            && let Err(error) = write_runtime(&self.runtime)
        {
            // The next start finds that it has ended.
            tracing::warn!("forget a change that has ended: {error}");
        }
        let before: BTreeMap<PolicyName, _> = self.policies.iter().map(doing).collect();
        let _ = self.runtime.put_on(&mut self.policies, moment);
        self.as_of = moment.at;
        for (name, now) in self.policies.iter().map(doing) {
            if before.get(&name).is_some_and(|before| *before != now) {
                let (rest, action) = now;
                let now = match rest {
                    Some(rest) => rest.reason().to_owned(),
                    None => format!("in force ({action})"),
                };
                changes.push(format!("{name}: {now}"));
            }
        }
        changes
    }

    fn can_be_paused(&self, name: &PolicyName) -> Result<(), ChangeError> {
        let named = self.policies.iter().find(|policy| policy.name() == name);
        match named {
            Some(policy) if policy.command().is_some() => Err(ChangeError::ByCommand(name.clone())),
            Some(policy) if !policy.enabled() => Err(ChangeError::Disabled(name.clone())),
            Some(_) => Ok(()),
            None => Err(ChangeError::NoPolicy {
                name: name.clone(),
                near: closest_policy(name, &self.policies),
            }),
        }
    }

    /// The overlay with `change` in the place of one like it, or without.
    fn overlay_with(
        &self,
        change: &RuntimeChange,
        undo: bool,
    ) -> Result<RuntimeOverlay, ChangeError> {
        let mut overlay = self.runtime.clone();
        let before = overlay.changes.len();
        overlay.changes.retain(|other| !other.is_same(change));
        if undo && overlay.changes.len() == before {
            return Err(ChangeError::NothingToUndo(change.to_string()));
        }
        if !undo {
            overlay.changes.push(change.clone());
        }
        if overlay.changes.len() > RuntimeOverlay::MAX_CHANGES {
            return Err(ChangeError::TooMany);
        }
        Ok(overlay)
    }
}

fn plan(
    policies: &[Policy],
    overlay: RuntimeOverlay,
    moment: &Moment,
    derivation: &Derivation,
) -> Result<Planned, ChangeError> {
    let mut policies = policies.to_vec();
    // Pauses without a policy were told of when the policies were loaded.
    let _ = overlay.put_on(&mut policies, moment);
    let ruleset =
        compile(&policies, derivation).map_err(|errors| ChangeError::Limits(messages(&errors)))?;
    Ok(Planned {
        overlay,
        policies,
        ruleset,
    })
}

/// Refuses what the guard says of `after` and not of `before`.
fn refuse_lock_out(
    before: &[Policy],
    after: &[Policy],
    gateway: &crate::guard::Gateway,
) -> Result<(), ChangeError> {
    let judge = |policies| guard(policies, gateway, &Texts::default());
    let known = judge(before);
    let known: Vec<&str> = known.errors().map(Diagnostic::message).collect();
    let found = judge(after);
    let new = found
        .errors()
        .find(|error| !known.contains(&error.message()));
    match new {
        Some(risk) => Err(ChangeError::LockOut(format!(
            "{}; {}",
            risk.message(),
            risk.help()
        ))),
        None => Ok(()),
    }
}

fn messages(errors: &Diagnostics) -> String {
    let messages: Vec<&str> = errors.errors().map(Diagnostic::message).collect();
    messages.join("; ")
}
