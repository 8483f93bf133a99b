//! The policies in force, and those that can apply to a device.

use super::super::Core;
use crate::{
    page_facts::{PolicyFacts, Rule},
    policy::{MacAddress, Packet, Policy, ScopeMatch, SourcePlace},
    report::StatedPolicy,
};

impl Core {
    pub(super) fn policies_in_force(&self) -> Vec<PolicyFacts> {
        let state = self.state();
        let policies = state.stage.policies();
        let policies = policies.map_or(&[][..], |policies| &policies.policies);
        let mut facts: Vec<_> = policies
            .iter()
            .map(|policy| PolicyFacts {
                stated: StatedPolicy::new(policy),
                action: policy.action(),
                source: source(policy),
                enabled: policy.enabled(),
                rest: rest(policy),
            })
            .collect();
        facts.sort_by(|a, b| a.stated.name.cmp(&b.stated.name));
        facts
    }

    /// The policies that can apply to packets of a device. Policies that name the device come first.
    pub(super) fn rules_of(&self, mac: MacAddress) -> Vec<Rule> {
        let state = self.state();
        let policies = state.stage.policies();
        let policies = policies.map_or(&[][..], |policies| &policies.policies);
        let packet = Packet {
            mac: Some(mac),
            ..Packet::default()
        };
        let enabled = policies.iter().filter(|policy| policy.enabled());
        let mut rules: Vec<_> = enabled
            .filter_map(|policy| {
                let condition = match policy.scope().met_by(&packet) {
                    ScopeMatch::Yes => None,
                    ScopeMatch::If(condition) => Some(condition),
                    ScopeMatch::No => return None,
                };
                Some(Rule {
                    policy: policy.name().to_string(),
                    action: policy.action(),
                    source: source(policy),
                    is_own: !policy.scope().devices.is_empty(),
                    condition,
                    rest: rest(policy),
                    expires: policy.expires(),
                })
            })
            .collect();
        rules.sort_by(|a, b| {
            let key = |rule: &Rule| (!rule.is_own, rule.action.strength());
            key(a).cmp(&key(b)).then_with(|| a.policy.cmp(&b.policy))
        });
        rules
    }
}

/// `file:line` of a policy, or the command that made it, in backquotes.
fn source(policy: &Policy) -> String {
    policy.command().map_or_else(
        || format!("`{}`", place(policy.place())),
        |command| format!("`monitor {command}`"),
    )
}

fn place(place: &SourcePlace) -> String {
    let file = crate::printable::path(place.file());
    match place.line() {
        Some(line) => format!("{file}:{line}"),
        None => file.to_string(),
    }
}

fn rest(policy: &Policy) -> Option<(String, Option<jiff::Timestamp>)> {
    let rest = policy.rest()?;
    Some((rest.reason().to_owned(), policy.rests_until()))
}
