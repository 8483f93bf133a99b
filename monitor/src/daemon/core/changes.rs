//! Applies changes by commands (`pause`, `block`, `allow` and their undo) on top of the
//! policy files.

use std::sync::Arc;

use jiff::SignedDuration;

use super::{Core, edges::LaterPolicies, state::PoliciesInForce};
use crate::{
    address::Derivation,
    clock,
    compile::{Ruleset, compile_after},
    control::{ChangeRequest, Changed, StandingChange},
    datapath::{self, Applied, Filter},
    guard::{Gateway, guard},
    policy::{
        ChangeEnd, DeviceNames, Diagnostic, Diagnostics, Effect, Moment, Policy, PolicyName,
        RuntimeChange, RuntimeOverlay, Texts, UnknownDevice, closest_policy,
    },
    state_dir::{StateDirError, write_runtime},
};

/// The reason why a change is refused. The policies in force stay as they are.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum ChangeError {
    /// There is no filter that could be changed.
    #[error("the filter is detached")]
    Detached,
    /// The daemon does not know the policies in force. A generation without them could
    /// remove them.
    #[error(
        "the daemon does not know the policies in force, because the files were not confirmed: first load them with `monitor reload`"
    )]
    Unknown,
    /// There is no policy of the given name to pause.
    #[error("there is no policy `{name}`{}", suggestion(near.as_ref()))]
    NoPolicy {
        /// The name as typed.
        name: PolicyName,
        /// A similar name of a policy.
        near: Option<PolicyName>,
    },
    /// The policy to pause was itself created by a command.
    #[error("`{0}` was created by a command: undo that command instead")]
    ByCommand(PolicyName),
    /// The policy to pause is disabled, so a pause would change nothing.
    #[error("`{0}` is disabled in its file: there is nothing to pause")]
    Disabled(PolicyName),
    /// The device is not known.
    #[error(transparent)]
    Device(#[from] UnknownDevice),
    /// No such change is in force.
    #[error(
        "`{0}` is not in force, so there is nothing to undo; `monitor status` lists the changes in force"
    )]
    NothingToUndo(String),
    /// Another canary is counted.
    #[error(
        "another `monitor doctor --canary` runs, or was killed: its policy ends by itself, at the time that `monitor status` shows"
    )]
    CanaryRuns,
    /// Every address that a canary could use is named by a policy.
    #[error(
        "policies cover the addresses that a canary may use (198.18.0.0/15, 2001:db8::/32), and its frames would be theirs: except these networks there"
    )]
    NoCanary,
    /// The maximum number of changes is in force.
    #[error(
        "{} changes are in force, which is the maximum: write policies instead, and undo some",
        RuntimeOverlay::MAX_CHANGES
    )]
    TooMany,
    /// The guard refuses the change.
    #[error("that would lock devices out: {0}")]
    LockOut(String),
    /// The ruleset with the change exceeds a limit.
    #[error("that exceeds a limit: {0}")]
    Limits(String),
    /// The change cannot be saved, so it would not survive a restart.
    #[error(transparent)]
    Keep(#[from] StateDirError),
    /// The kernel refuses the change.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
}

fn suggestion(near: Option<&PolicyName>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// The runtime overlay, the policies and the ruleset that a change would put in force.
struct Planned {
    overlay: RuntimeOverlay,
    policies: Vec<Policy>,
    ruleset: Ruleset,
}

impl Core {
    /// Makes or undoes a change on top of the policies in force. Reads no policy files, so
    /// they may have errors. After success the change is in force and on disk.
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
        let passed = LaterPolicies::new(&state, before, &moment);
        let change = resolve(request, &passed.policies, &before.devices, &moment)?;
        let overlay = overlay_with(&passed.runtime, &change, request.undo)?;
        let planned = plan(
            before,
            &passed.policies,
            overlay,
            &moment,
            &gateway.derivation,
        )?;
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
        self.update(|state| {
            state.runtime = planned.overlay.into();
            state.stage.set_policies(after.clone());
        });
        self.keep_edges(&after, &moment);
        self.hand_out(applied.loggers);
        self.names_changed.notify_one();
        Ok(Changed {
            change: StandingChange::new(&change, &moment),
            undone: request.undo,
            generation: self.generation(),
            notes: applied.notes,
        })
    }

    /// Writes the runtime overlay to disk, then puts the change in force. This order makes
    /// sure that a change in force survives a restart.
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
                // The change is not in force, so a restart must not apply it either.
                write_runtime(before)?;
                Err(error.into())
            }
        }
    }

    /// Returns the changes in force, in the order of their commands.
    pub(super) fn standing(&self) -> Vec<StandingChange> {
        let moment = clock::now();
        let runtime = self.state().runtime;
        let changes = runtime.changes.iter();
        changes
            .map(|change| StandingChange::new(change, &moment))
            .collect()
    }
}

/// Turns a request into a change: finds its devices and calculates its end. Fails if the
/// policy to pause or a device is not known.
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

/// Returns the runtime overlay with `change`, which replaces a change of the same kind. If
/// `undo` is true, returns the overlay without it.
fn overlay_with(
    runtime: &RuntimeOverlay,
    change: &RuntimeChange,
    undo: bool,
) -> Result<RuntimeOverlay, ChangeError> {
    let mut overlay = runtime.clone();
    let before = overlay.changes.len();
    overlay.changes.retain(|other| !other.is_same(change));
    if !undo && change.effect.is_canary() {
        let mut others = overlay.changes.iter();
        if others.any(|other| other.effect.is_canary()) {
            return Err(ChangeError::CanaryRuns);
        }
    }
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
    before: &PoliciesInForce,
    policies: &[Policy],
    overlay: RuntimeOverlay,
    moment: &Moment,
    derivation: &Derivation,
) -> Result<Planned, ChangeError> {
    let mut policies = policies.to_vec();
    // Ignores pauses without a policy: they were reported when the policies were loaded.
    let _ = overlay.put_on(&mut policies, moment);
    let ruleset = compile_after(&policies, derivation, Some(before.for_a_compilation()))
        .map_err(|errors| ChangeError::Limits(messages(&errors)))?;
    Ok(Planned {
        overlay,
        policies,
        ruleset,
    })
}

/// Returns an error if the guard refuses something in `after` that it does not refuse in
/// `before`.
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
