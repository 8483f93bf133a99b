//! Overlays: what `*.local.yaml` files change of policies that others wrote.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    Acceptance, Action, PolicyName, Risk,
    diagnostic::{Diagnostic, Diagnostics, Place, near_miss},
    model::{Destinations, Entry, Hole, LongestMatch, Policy},
    source::SourceOverride,
};
use crate::address::{Address, Derivation, Destination, Interval, Network};

/// What an overlay changed of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    place: Place,
    /// The action of the policy's own file, where another one is set.
    previous_action: Option<Action>,
    enabled: Option<bool>,
    exceptions: usize,
    /// Where the action is set.
    action_place: Option<Place>,
    /// Risks that it accepts.
    accepted: Vec<Risk>,
    reason: Option<String>,
    ipv4: Destinations<Ipv4Addr>,
    ipv6: Destinations<Ipv6Addr>,
}

impl Override {
    /// Where it names the policy.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// `file:line` of that place.
    #[must_use]
    pub fn source(&self) -> String {
        let file = crate::printable::path(self.place.file());
        match self.place.line() {
            Some(line) => format!("{file}:{line}"),
            None => file.to_string(),
        }
    }

    /// Where it sets the action, where it does.
    #[must_use]
    pub fn action_place(&self) -> Option<&Place> {
        self.action_place.as_ref()
    }

    /// Why, in the operator's words.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What it changed of a policy whose action is now `action`, in words.
    #[must_use]
    pub fn changes(&self, action: Action) -> String {
        let mut parts = Vec::new();
        parts.extend(
            self.previous_action
                .map(|previous| format!("action {action}, was {previous}")),
        );
        parts.extend(self.enabled.map(|enabled| {
            let text = if enabled { "enabled" } else { "disabled" };
            text.to_owned()
        }));
        match self.exceptions {
            0 => {}
            1 => parts.push("1 exception".to_owned()),
            count => parts.push(format!("{count} exceptions")),
        }
        if !self.accepted.is_empty() {
            let names: Vec<&str> = self.accepted.iter().map(|risk| risk.name()).collect();
            parts.push(format!("accepts the risk {}", names.join(", ")));
        }
        if parts.is_empty() {
            return "nothing that was not so before".to_owned();
        }
        parts.join(", ")
    }

    /// What would cover `address`, had this override no exceptions.
    pub(super) fn left_out(
        &self,
        address: IpAddr,
        policy: &Policy,
        derivation: &Derivation,
    ) -> Option<LongestMatch> {
        policy.longest_of(&self.ipv4, &self.ipv6, address, derivation)
    }
}

/// The overrides of all overlays, by policy.
#[derive(Debug, Default)]
pub(super) struct Overlays {
    by_policy: BTreeMap<PolicyName, SourceOverride>,
}

impl Overlays {
    /// Adds what one overlay says; a policy has one override.
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

    /// Refuses overrides of policies that are not among `names`.
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
    /// Changes `policy`; `None` where that leaves nothing of it.
    pub(super) fn apply(&self, mut policy: Policy, out: &mut Diagnostics) -> Option<Policy> {
        let (ipv4, ipv6) = self.exceptions(&policy, out);
        let (kept4, left_out4) = policy.ipv4.leave_out(&ipv4);
        let (kept6, left_out6) = policy.ipv6.leave_out(&ipv6);
        let nothing_left = kept4.entries.is_empty() && kept6.entries.is_empty();
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

    /// The action that it sets.
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

impl<A: Address> Destinations<A> {
    fn touches(&self, interval: Interval<A>) -> bool {
        let networks = self.entries.iter().map(|entry| entry.network.interval());
        let mut apart = networks
            .map(|other| other.last() < interval.first() || interval.last() < other.first());
        apart.any(|apart| !apart)
    }

    /// What is left without `except`, and what was taken away.
    fn leave_out(&self, except: &[Network<A>]) -> (Self, Self) {
        let (mut kept, mut removed) = (Self::default(), Self::default());
        let mut holes = self.holes.as_slice();
        for (index, entry) in self.entries.iter().enumerate() {
            let own = holes.partition_point(|hole| hole.entry <= index);
            let own: Vec<Network<A>> = holes
                .split_off(..own)
                .unwrap_or_default()
                .iter()
                .map(|hole| hole.network)
                .collect();
            let inside: Vec<Network<A>> = except
                .iter()
                .copied()
                .filter(|network| entry.network.contains_network(*network))
                .collect();
            let all: BTreeSet<Network<A>> = own.iter().chain(&inside).copied().collect();
            let around = except
                .iter()
                .any(|network| network.contains_network(entry.network));
            if around || (!inside.is_empty() && entry.is_covered_by(&all)) {
                removed.push(*entry, own);
                continue;
            }
            for network in inside {
                let part = Entry { network, ..*entry };
                removed.push(part, own.clone());
            }
            kept.push(*entry, all);
        }
        (kept, removed)
    }

    /// Adds `entry` without those of `holes` that lie inside it.
    fn push(&mut self, entry: Entry<A>, holes: impl IntoIterator<Item = Network<A>>) {
        let index = self.entries.len();
        let inside = holes
            .into_iter()
            .filter(|network| entry.network.contains_network(*network));
        self.holes.extend(inside.map(|network| Hole {
            entry: index,
            network,
        }));
        self.entries.push(entry);
    }
}

impl<A: Address> Entry<A> {
    fn is_covered_by(&self, networks: &BTreeSet<Network<A>>) -> bool {
        let parts: Vec<Interval<A>> = networks.iter().map(|part| part.interval()).collect();
        self.network.interval().is_covered_by(&parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network<Ipv4Addr> {
        let (address, length) = text.split_once('/').unwrap();
        Network::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    fn destinations(entries: &[(&str, &[&str])]) -> Destinations<Ipv4Addr> {
        let mut destinations = Destinations::default();
        for (text, holes) in entries {
            let entry = Entry {
                network: network(text),
                part_of_range: false,
                line: 1,
                file: 0,
            };
            destinations.push(entry, holes.iter().map(|hole| network(hole)));
        }
        destinations
    }

    #[test]
    fn every_address_is_kept_or_removed_as_a_slow_model_says() {
        let before = destinations(&[
            ("10.0.0.0/24", &["10.0.0.16/28"]),
            ("10.0.0.0/26", &[]),
            ("10.0.1.0/25", &["10.0.1.0/26", "10.0.1.96/27"]),
            ("10.0.1.64/27", &["10.0.1.64/32"]),
        ]);
        for except in [
            &[][..],
            &["10.0.0.0/25"],
            &["10.0.0.0/8"],
            &["10.0.0.0/25", "10.0.0.128/25"],
            &["10.0.0.18/31", "10.0.1.65/32"],
            &["10.0.0.0/27", "10.0.1.64/27"],
        ] {
            let except: Vec<_> = except.iter().map(|text| network(text)).collect();
            let (kept, removed) = before.leave_out(&except);
            for number in 0..512 {
                let address = Ipv4Addr::from_bits(0x0a00_0000 + number);
                let held = before.longest_match(address).is_some();
                let excepted = except.iter().any(|network| network.contains(address));
                let found = (
                    kept.longest_match(address).is_some(),
                    removed.longest_match(address).is_some(),
                );
                let expected = (held && !excepted, held && excepted);
                assert_eq!(found, expected, "{address} {except:?}");
            }
        }
    }

    #[test]
    fn an_entry_that_is_left_out_whole_is_gone() {
        let before = destinations(&[("10.0.0.0/24", &["10.0.0.0/26"]), ("10.0.1.0/24", &[])]);
        let (kept, _) = before.leave_out(&[network("10.0.0.64/26"), network("10.0.0.128/25")]);
        assert_eq!(kept, destinations(&[("10.0.1.0/24", &[])]));
        let (kept, removed) = before.leave_out(&[]);
        assert_eq!((kept, removed), (before, Destinations::default()));
    }
}
