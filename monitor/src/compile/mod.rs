//! Model → ruleset.

mod changes;
mod derive;
mod join;
mod prefixes;
mod room;
mod ruleset;
mod scopes;
mod shadow;
mod sweep;
mod trie;

use monitor_common::{MAX_COVERING_POLICIES, MAX_MATCH_SETS, MAX_POLICIES};

pub use prefixes::SortedPrefixes;
pub use room::check_room;
pub use ruleset::{
    DerivedPrefixes, HashedOnce, MatchSetId, PolicyIndex, Prefix, Ruleset, RulesetPolicy,
};
pub use scopes::{ClassId, Classified, ScopeIndex, Scopes};
pub use shadow::{shadowed_drops, stopped_handshakes};
pub use trie::{TooLarge, Trie, Tries};

use self::{
    changes::Changes,
    derive::Written,
    sweep::{Limit, MatchSets, sweep},
};
use crate::{
    address::Derivation,
    policy::{Diagnostic, Diagnostics, Policy},
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
    compile_after(policies, derivation, None)
}

/// An earlier compilation: policies, and the ruleset that [`compile`] made of them.
#[derive(Clone, Copy, Debug)]
pub struct Earlier<'a> {
    /// The policies, as they were then.
    pub policies: &'a [Policy],
    /// Their ruleset, with the same derivation as that of the next compilation.
    pub ruleset: &'a Ruleset,
}

/// Gives the same result as [`compile`]. Compiles only what changed since `earlier`.
///
/// # Errors
///
/// The ruleset exceeds a limit of the kernel. The diagnostic names the
/// policies.
pub fn compile_after(
    policies: &[Policy],
    derivation: &Derivation,
    earlier: Option<Earlier<'_>>,
) -> Result<Ruleset, Diagnostics> {
    let enabled = active(policies);
    if enabled.len() > MAX_POLICIES as usize {
        return Err(too_many_policies(&enabled));
    }
    let changes = earlier.and_then(|earlier| Changes::since(earlier, &enabled));
    if changes.is_some()
        && let Ok(ruleset) = ruleset(&enabled, derivation, changes.as_ref())
    {
        return Ok(ruleset);
    }
    // Without changes, a limit names the same policies however the limit was reached.
    ruleset(&enabled, derivation, None).map_err(|limit| diagnostics(limit, &enabled))
}

/// The active policies, sorted by name.
fn active(policies: &[Policy]) -> Vec<&Policy> {
    let mut active: Vec<&Policy> = policies
        .iter()
        .filter(|policy| policy.is_active())
        .collect();
    active.sort_by_key(|policy| policy.name());
    active
}

fn ruleset(
    enabled: &[&Policy],
    derivation: &Derivation,
    changes: Option<&Changes<'_>>,
) -> Result<Ruleset, Limit> {
    let mut sets = MatchSets::new();
    let ipv4 = if let Some(changes) = changes {
        changes.ipv4(enabled, &mut sets)?
    } else {
        let prefixes = sweep(enabled, |index| enabled[index].ipv4(), &mut sets)?;
        prefixes.into_iter().collect()
    };
    let lengths: Vec<_> = enabled
        .iter()
        .map(|policy| policy.ipv4().lengths())
        .collect();
    let written = Written {
        policies: enabled,
        ipv4: &ipv4,
        lengths: &lengths,
    };
    let ipv6 = derive::ipv6(written, derivation, changes, &mut sets)?;
    let scopes = Scopes::new(enabled.iter().map(|policy| policy.scope()));
    let prefixes = |index: usize, policy: &Policy| {
        let known = changes.and_then(|changes| changes.prefixes(index));
        known.unwrap_or_else(|| Prefixes {
            v4: lengths[index].iter().sum(),
            v6: policy.ipv6().lengths().iter().sum::<usize>()
                + written.derived(index, derivation.embeddings()),
        })
    };
    let summaries = enabled
        .iter()
        .enumerate()
        .map(|(index, policy)| RulesetPolicy {
            name: policy.name().clone(),
            action: policy.action(),
            evidence: policy.evidence(),
            allows_handshake: policy.allows_handshake(),
            scope: scopes.index_of(policy.scope()),
            prefixes: prefixes(index, policy),
        });
    Ok(Ruleset {
        policies: summaries.collect(),
        ipv4,
        ipv6: ipv6.prefixes,
        derived: ipv6.derived,
        match_sets: sets.into_sets(),
        scopes,
        hash: HashedOnce::default(),
    })
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
