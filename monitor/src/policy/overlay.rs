//! Overlays: changes in `*.local.yaml` files to policies of other files.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{
    Acceptance, Action, PolicyName,
    changed::Override,
    diagnostic::{Diagnostic, Diagnostics, near_miss},
    model::Policy,
    source::SourceOverride,
};
use crate::address::{Destination, Network};

/// The overrides of all overlays, by policy.
#[derive(Debug, Default)]
pub(super) struct Overlays {
    by_policy: BTreeMap<PolicyName, SourceOverride>,
}

impl Overlays {
    /// Adds the overrides of one overlay. A second override of a policy is an
    /// error.
    pub(super) fn add(&mut self, overrides: Vec<SourceOverride>, out: &mut Diagnostics) {
        for new in overrides {
            if let Some(first) = self.by_policy.get(&new.policy) {
                let message = format!("there is a second override of `{}`", new.policy);
                let help = "write one override with both changes, and remove the other";
                out.push(
                    Diagnostic::error(new.place, message, help)
                        .with_related(first.place.clone(), "the first one is here"),
                );
            } else {
                self.by_policy.insert(new.policy.clone(), new);
            }
        }
    }

    /// The override of a policy.
    pub(super) fn of(&self, name: Option<&PolicyName>) -> Option<&SourceOverride> {
        self.by_policy.get(name?)
    }

    /// Reports overrides of policies that are not in `names`.
    pub(super) fn refuse_unknown(&self, names: &BTreeSet<PolicyName>, out: &mut Diagnostics) {
        let candidates: Vec<&str> = names.iter().map(PolicyName::as_str).collect();
        for (name, unknown) in &self.by_policy {
            if names.contains(name) {
                continue;
            }
            let help = match near_miss(name.as_str(), &candidates) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write the name of a policy in the files that are read".to_owned(),
            };
            let message = format!("there is no policy `{name}` to override");
            out.push(Diagnostic::error(unknown.place.clone(), message, help));
        }
    }
}

impl SourceOverride {
    /// Applies the override to `policy`. Returns `None` and reports an error if
    /// the exceptions leave no destination.
    pub(super) fn apply(&self, mut policy: Policy, out: &mut Diagnostics) -> Option<Policy> {
        let (ipv4, ipv6) = self.exceptions(&policy, out);
        let (kept4, left_out4) = policy.ipv4.leave_out(&ipv4);
        let (kept6, left_out6) = policy.ipv6.leave_out(&ipv6);
        let nothing_left = kept4.is_empty() && kept6.is_empty();
        if let Some((_, last)) = self.except.last()
            && nothing_left
        {
            let message = format!("the exceptions leave nothing of `{}`", policy.name);
            let help = "write `enabled: false` to disable the policy, or remove an exception";
            out.push(Diagnostic::error(last.clone(), message, help));
            return None;
        }
        let action = self.action();
        let risks = self.accepted.iter().flat_map(Acceptance::risks);
        (policy.ipv4, policy.ipv6) = (kept4, kept6);
        policy.changed = Some(Override {
            place: self.place.clone(),
            previous_action: action
                .filter(|new| *new != policy.action)
                .map(|_| policy.action),
            enabled: self.enabled.filter(|new| *new != policy.enabled),
            exceptions: self.except.len(),
            action_place: self.action.as_ref().map(|(_, place)| place.clone()),
            accepted: risks.map(|(risk, _)| risk).collect(),
            reason: self.reason.clone(),
            ipv4: left_out4,
            ipv6: left_out6,
        });
        policy.action = action.unwrap_or(policy.action);
        policy.enabled = self.enabled.unwrap_or(policy.enabled);
        policy.accepted.extend(self.accepted.clone());
        Some(policy)
    }

    /// The action that the override sets, if any.
    pub(super) fn action(&self) -> Option<Action> {
        self.action.as_ref().map(|(action, _)| *action)
    }

    fn exceptions(
        &self,
        policy: &Policy,
        out: &mut Diagnostics,
    ) -> (Vec<Network<Ipv4Addr>>, Vec<Network<Ipv6Addr>>) {
        let (mut ipv4, mut ipv6) = (BTreeSet::new(), BTreeSet::new());
        for (destination, place) in &self.except {
            let touches = match destination {
                Destination::Ipv4(interval) => {
                    ipv4.extend(interval.networks());
                    policy.ipv4.touches(*interval)
                }
                Destination::Ipv6(interval) => {
                    ipv6.extend(interval.networks());
                    policy.ipv6.touches(*interval)
                }
            };
            if !touches {
                let message = format!("`{}` holds nothing of this exception", policy.name);
                let help = "remove the exception, unless a list may hold it later";
                out.push(Diagnostic::warning(place.clone(), message, help));
            }
        }
        (ipv4.into_iter().collect(), ipv6.into_iter().collect())
    }
}
