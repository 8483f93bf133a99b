//! Changes caused by time. Schedules open and close, policies expire, and the
//! kernel gets a generation with the policies as they are then.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{
    Core, LoadError,
    state::{PoliciesInForce, State},
};
use crate::{
    compile::{Ruleset, compile_after},
    datapath::Filter,
    policy::{Action, Diagnostics, Moment, Policy, PolicyName, Rest, RuntimeOverlay},
    state_dir::{Edge, Edges, write_runtime},
};

/// Delay until the next look at a clock that is not synchronised yet, and until the
/// next attempt after the kernel refused a generation.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// The policies in force and the changes by commands, as time alone makes them at a later
/// moment: schedules open or close, policies expire, and temporary changes end.
pub(super) struct LaterPolicies {
    pub(super) runtime: RuntimeOverlay,
    pub(super) policies: Vec<Policy>,
    /// Changes caused by time, one line each.
    pub(super) changes: Vec<String>,
    /// True if a change by a command has ended.
    ended: bool,
}

impl Core {
    /// Puts the policies in force as they are at `moment`. Does not read the files,
    /// because they may have errors now. Returns a line for each change.
    ///
    /// After an error the policies are as before, and the next attempt follows
    /// after [`LOOK_AGAIN`].
    pub(in crate::daemon) fn pass_edge(&self, moment: &Moment) -> Result<Vec<String>, LoadError> {
        let mut filter = self.work_on_filter("a change by a schedule");
        match filter.as_mut() {
            Some(filter) => self.pass_to(filter, moment),
            None => Ok(Vec::new()),
        }
    }

    /// Same as [`Self::pass_edge`], for a caller that holds the filter.
    pub(super) fn pass_to(
        &self,
        filter: &mut Filter,
        moment: &Moment,
    ) -> Result<Vec<String>, LoadError> {
        let state = self.state();
        let Some(before) = state.stage.policies() else {
            return Ok(Vec::new());
        };
        let passed = LaterPolicies::new(&state, before, moment);
        let ruleset = match self.bring_up(filter, before, &passed.policies) {
            Ok(ruleset) => ruleset,
            Err(error) => {
                let behind = PoliciesInForce {
                    kernel_is_behind: true,
                    ..before.clone()
                };
                self.update(|state| state.stage.set_policies(behind));
                return Err(error);
            }
        };
        let after = PoliciesInForce {
            policies: passed.policies.into(),
            as_of: moment.at,
            ruleset: Arc::new(ruleset),
            kernel_is_behind: false,
            ..before.clone()
        };
        // Before the writes to disk: `status` must agree with the kernel soon.
        let runtime = Arc::new(passed.runtime);
        self.update(|state| {
            state.runtime = Arc::clone(&runtime);
            state.stage.set_policies(after.clone());
        });
        if passed.ended
            && let Err(error) = write_runtime(&runtime)
        {
            // Only log the error: the next start removes ended changes too.
            tracing::warn!("cannot remove an ended change: {error}");
        }
        self.keep_edges(&after, moment);
        Ok(passed.changes)
    }

    /// Compiles `policies`, which are the policies of `before` at a later moment.
    /// Makes a generation, unless the kernel already has their ruleset. Returns the
    /// ruleset.
    fn bring_up(
        &self,
        filter: &mut Filter,
        before: &PoliciesInForce,
        policies: &[Policy],
    ) -> Result<Ruleset, LoadError> {
        let errors = |errors: Diagnostics| LoadError::Policies(errors.render_some());
        let earlier = Some(before.for_a_compilation());
        let ruleset =
            compile_after(policies, &self.settings.derivation, earlier).map_err(errors)?;
        let kernel_has_it = if before.kernel_is_behind {
            let hash = filter.ruleset_hash(&self.settings.real_interfaces()?)?;
            // After a roll-back, the generation in force is older than a capture, or copies the
            // packets of one that ended.
            let serves_capture = self.captures.request().is_some() || filter.captures()?;
            hash == Some(ruleset.content_hash()) && !serves_capture
        } else {
            *before.ruleset == ruleset
        };
        if !kernel_has_it {
            let applied = self.apply(filter, &ruleset)?;
            self.hand_out(applied.loggers);
        }
        Ok(ruleset)
    }

    /// Time of the next look at the clock. It may be in the past if an edge came
    /// while a generation was made.
    pub(in crate::daemon) fn next_look(&self, moment: &Moment) -> Option<Timestamp> {
        let state = self.state();
        let soon = moment.at + LOOK_AGAIN;
        let policies = state.stage.policies()?;
        if policies.kernel_is_behind {
            return Some(soon);
        }
        let each = policies.policies.iter();
        let waits =
            each.clone().any(Policy::waits_for_clock) || state.runtime.waits_for_clock(moment);
        each.filter_map(|policy| policy.next_edge(policies.as_of))
            .chain(waits.then_some(soon))
            .min()
    }

    /// Stores the next change of each policy. A command that finds the filter
    /// without a daemon tells the operator which changes were missed.
    pub(super) fn keep_edges(&self, policies: &PoliciesInForce, moment: &Moment) {
        let each = policies.policies.iter();
        let mut edges: Vec<Edge> = each.filter_map(|policy| edge(policy, moment.at)).collect();
        edges.sort();
        let edges = Edges {
            pin_dir: self.settings.pin_dir.clone(),
            edges,
        };
        if let Err(error) = edges.write(&self.settings.state_dir) {
            tracing::warn!("cannot store when schedules change: {error}");
        }
    }
}

impl LaterPolicies {
    /// Moves the commands and `policies` of `state` on to `moment`. Removes changes
    /// by commands that have ended, and determines what each policy does at that
    /// moment.
    pub(super) fn new(state: &State, policies: &PoliciesInForce, moment: &Moment) -> Self {
        let mut runtime = RuntimeOverlay::clone(&state.runtime);
        let ended = runtime.remove_ended(moment);
        let mut changes: Vec<String> = ended
            .iter()
            .map(|change| format!("`{change}` has ended"))
            .collect();
        let before: BTreeMap<PolicyName, _> = policies.policies.iter().map(doing).collect();
        let mut policies = policies.policies.to_vec();
        // Pauses of missing policies were reported when the policies were loaded.
        let _ = runtime.put_on(&mut policies, moment);
        for (name, now) in policies.iter().map(doing) {
            if before.get(&name).is_some_and(|before| *before != now) {
                let (rest, action) = now;
                let now = match rest {
                    Some(rest) => rest.reason().to_owned(),
                    None => format!("in force ({action})"),
                };
                changes.push(format!("{name}: {now}"));
            }
        }
        Self {
            runtime,
            policies,
            changes,
            ended: !ended.is_empty(),
        }
    }
}

/// What a policy does now: an action, or the reason why it does nothing.
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
