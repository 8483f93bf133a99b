//! Model → ruleset.

mod derive;
mod join;
mod room;
mod ruleset;
mod scopes;
mod shadow;
mod sweep;
mod trie;

use monitor_common::{MAX_COVERING_POLICIES, MAX_MATCH_SETS, MAX_POLICIES};

pub use room::check_room;
pub use ruleset::{DerivedPrefixes, MatchSetId, PolicyIndex, Prefix, Ruleset, RulesetPolicy};
pub use scopes::{ClassId, Classified, ScopeIndex, Scopes};
pub use shadow::{shadowed_drops, stopped_handshakes};
pub use trie::{TooLarge, Trie, Tries};

use self::sweep::{Limit, MatchSets, sweep};
use crate::{
    address::{Address, Derivation},
    policy::{Destinations, Diagnostic, Diagnostics, Entry, Policy},
    snapshot::Prefixes,
};

/// Compiles the active policies, and the IPv6 prefixes that `derivation`
/// derives from their IPv4 destinations. Names must be unique, as in the result
/// of [`crate::policy::load`] without errors.
///
/// # Errors
///
/// The ruleset exceeds a limit of the kernel. The diagnostic names the
/// policies.
pub fn compile(policies: &[Policy], derivation: &Derivation) -> Result<Ruleset, Diagnostics> {
    let mut enabled: Vec<&Policy> = policies
        .iter()
        .filter(|policy| policy.is_active())
        .collect();
    enabled.sort_by_key(|policy| policy.name());
    if enabled.len() > MAX_POLICIES as usize {
        return Err(too_many_policies(&enabled));
    }
    let mut sets = MatchSets::new();
    let refuse = |limit| diagnostics(limit, &enabled);
    let ipv4 = sweep(&enabled, |index| enabled[index].ipv4(), &mut sets).map_err(refuse)?;
    let ipv6 = derive::ipv6(&enabled, &ipv4, derivation, &mut sets).map_err(refuse)?;
    let scopes = Scopes::new(enabled.iter().map(|policy| policy.scope()));
    let summaries = enabled.iter().map(|policy| RulesetPolicy {
        name: policy.name().clone(),
        action: policy.action(),
        evidence: policy.evidence(),
        allows_handshake: policy.allows_handshake(),
        scope: scopes.index_of(policy.scope()),
        prefixes: Prefixes {
            v4: distinct(policy.ipv4()),
            v6: distinct(policy.ipv6()) + derive::of_policy(policy, derivation.embeddings()),
        },
    });
    Ok(Ruleset {
        policies: summaries.collect(),
        ipv4,
        ipv6: ipv6.prefixes,
        derived: ipv6.derived,
        match_sets: sets.into_sets(),
        scopes,
    })
}

fn distinct<A: Address>(destinations: &Destinations<A>) -> usize {
    let mut networks: Vec<_> = destinations.entries().iter().map(Entry::network).collect();
    networks.sort_unstable();
    networks.dedup();
    networks.len()
}

fn too_many_policies(enabled: &[&Policy]) -> Diagnostics {
    let first_beyond = enabled[MAX_POLICIES as usize];
    one(Diagnostic::error(
        first_beyond.place().clone(),
        format!(
            "{} policies are enabled, the kernel holds {MAX_POLICIES}",
            enabled.len()
        ),
        "put destinations that share an action into one policy",
    ))
}

fn diagnostics(limit: Limit, enabled: &[&Policy]) -> Diagnostics {
    let (policies, message, help) = match limit {
        Limit::Covering { prefix, policies } => {
            let message = format!(
                "{} policies cover {prefix}, the kernel walks {MAX_COVERING_POLICIES}",
                policies.len()
            );
            (
                policies,
                message,
                "put destinations that share an action into one policy",
            )
        }
        Limit::Derived { prefixes, policies } => {
            let most = derive::MAX_DERIVED;
            let message = format!(
                "{prefixes} IPv6 prefixes would be derived from IPv4 destinations, {most} is the most; the policy with most is"
            );
            (
                policies,
                message,
                "write `derive: none` in it, or leave NAT64 prefixes of 40 to 64 bits out of the config file: they take 256 for each long IPv4 prefix",
            )
        }
        Limit::MatchSets { policies } => {
            let message =
                format!("the policies overlap in more than {MAX_MATCH_SETS} different ways");
            (
                policies,
                message,
                "put destinations that share an action into one policy, or disable one of them",
            )
        }
    };
    let mut members = policies.iter().map(|index| enabled[usize::from(*index)]);
    let names: Vec<String> = members
        .clone()
        .map(|policy| format!("`{}`", policy.name()))
        .collect();
    let separator = if message.ends_with(" is") { "" } else { ":" };
    let message = format!("{message}{separator} {}", names.join(", "));
    let place = members.next_back().unwrap_or(enabled[0]).place().clone();
    one(Diagnostic::error(place, message, help))
}

fn one(diagnostic: Diagnostic) -> Diagnostics {
    let mut out = Diagnostics::default();
    out.push(diagnostic);
    out
}
