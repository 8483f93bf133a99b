//! What commands change, on top of the files.

use std::sync::Arc;

use jiff::SignedDuration;

use super::{Core, edges::Passed, state::PoliciesInForce};
use crate::{
    address::Derivation,
    clock,
    compile::{Ruleset, compile},
    control::{ChangeRequest, Changed, StandingChange},
    datapath::{self, Applied, Filter},
    guard::{Gateway, guard},
    policy::{
        ChangeEnd, DeviceNames, Diagnostic, Diagnostics, Effect, Moment, Policy, PolicyName,
        RuntimeChange, RuntimeOverlay, Texts, UnknownDevice, closest_policy,
    },
    state_dir::{StateDirError, write_runtime},
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
    /// Makes or undoes a change, on top of the policies in force. The files are
    /// not read, and may be broken. The change is in force, and on disk, when this
    /// returns.
    pub(in crate::daemon) fn change(
        &self,
        request: &ChangeRequest,
    ) -> Result<Changed, ChangeError> {
        let mut filter = self.work_on_filter("a command");
        let filter = filter.as_mut().ok_or(ChangeError::Detached)?;
        let gateway = self.settings.gateway()?;
        let moment = clock::now();
        let state = self.state();
        let before = state.stage.policies().ok_or(ChangeError::Unknown)?;
        let passed = Passed::new(&state, before, &moment);
        let change = resolve(request, &passed.policies, &before.devices, &moment)?;
        let overlay = overlay_with(&passed.runtime, &change, request.undo)?;
        let planned = plan(&passed.policies, overlay, &moment, &gateway.derivation)?;
        refuse_lock_out(&passed.policies, &planned.policies, &gateway)?;
        let applied = self.keep_and_apply(filter, &state.runtime, &planned)?;
        for change in &passed.changes {
            tracing::info!("{change}");
        }
        let after = PoliciesInForce {
            policies: planned.policies.into(),
            as_of: moment.at,
            ruleset: Arc::new(planned.ruleset),
            kernel_is_behind: false,
            ..before.clone()
        };
        self.keep_edges(&after, &moment);
        self.update(|state| {
            state.runtime = planned.overlay.into();
            state.stage.set_policies(after);
        });
        self.hand_out(applied.loggers);
        self.names_changed.notify_one();
        Ok(Changed {
            change: StandingChange::new(&change, &moment),
            undone: request.undo,
            generation: self.generation(),
            notes: applied.notes,
        })
    }

    /// Writes the overlay to disk first: a change in force must survive a restart.
    fn keep_and_apply(
        &self,
        filter: &mut Filter,
        before: &RuntimeOverlay,
        planned: &Planned,
    ) -> Result<Applied, ChangeError> {
        write_runtime(&planned.overlay)?;
        match self.apply(filter, &planned.ruleset) {
            Ok(applied) => Ok(applied),
            Err(error) => {
                // The change is not in force, so a restart must not bring it.
                write_runtime(before)?;
                Err(error.into())
            }
        }
    }

    /// Changes that stand, in the order in which they were asked for.
    pub(super) fn standing(&self) -> Vec<StandingChange> {
        let moment = clock::now();
        let runtime = self.state().runtime;
        let changes = runtime.changes.iter();
        changes
            .map(|change| StandingChange::new(change, &moment))
            .collect()
    }
}

/// The change that `request` means.
fn resolve(
    request: &ChangeRequest,
    policies: &[Policy],
    names: &DeviceNames,
    moment: &Moment,
) -> Result<RuntimeChange, ChangeError> {
    if let Effect::Pause(name) = &request.effect
        && !request.undo
    {
        can_be_paused(name, policies)?;
    }
    let devices = request.device.as_ref();
    let devices = devices.map(|text| names.named(text)).transpose()?;
    let length = request
        .seconds
        .map(|seconds| SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)));
    Ok(RuntimeChange {
        effect: request.effect.clone(),
        devices: devices.unwrap_or_default(),
        device: request.device.clone(),
        since: moment.at,
        ends: length.map(|length| ChangeEnd::after(moment, length)),
        reason: request.reason.clone(),
    })
}

fn can_be_paused(name: &PolicyName, policies: &[Policy]) -> Result<(), ChangeError> {
    let named = policies.iter().find(|policy| policy.name() == name);
    match named {
        Some(policy) if policy.command().is_some() => Err(ChangeError::ByCommand(name.clone())),
        Some(policy) if !policy.enabled() => Err(ChangeError::Disabled(name.clone())),
        Some(_) => Ok(()),
        None => Err(ChangeError::NoPolicy {
            name: name.clone(),
            near: closest_policy(name, policies),
        }),
    }
}

/// The overlay with `change` in the place of one like it, or without it.
fn overlay_with(
    runtime: &RuntimeOverlay,
    change: &RuntimeChange,
    undo: bool,
) -> Result<RuntimeOverlay, ChangeError> {
    let mut overlay = runtime.clone();
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
    gateway: &Gateway,
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
