//! Model → ruleset.

mod derive;
mod join;
mod ruleset;
mod scopes;
mod shadow;
mod sweep;
mod trie;

use std::path::PathBuf;

use monitor_common::{MAX_COVERING_POLICIES, MAX_MATCH_SETS, MAX_POLICIES};

pub use derive::DerivedPrefixes;
pub use ruleset::{MatchSetId, PolicyIndex, Prefix, Ruleset, RulesetPolicy};
pub use scopes::{ClassId, Classified, ScopeIndex, Scopes};
pub use shadow::shadowed_drops;
use trie::Room;
pub use trie::{TooLarge, Trie, Tries};

use self::sweep::{Limit, MatchSets, sweep};
use crate::{
    address::{Address, Derivation},
    guard::{Gateway, guard},
    policy::{
        Destinations, DeviceNames, Diagnostic, Diagnostics, Entry, Feed, Files, ListSummary,
        Loaded, Moment, Policy, RuntimeOverlay, load_for,
    },
    snapshot::Prefixes,
};

/// What became of policy files.
#[derive(Debug)]
pub struct Compiled {
    /// `None` where there are errors.
    pub ruleset: Option<Ruleset>,
    /// Sorted by name; what could be read of them where there are errors.
    pub policies: Vec<Policy>,
    /// Every policy file and list that was read, or tried.
    pub files: Vec<PathBuf>,
    /// The lists that were read, sorted by path.
    pub lists: Vec<ListSummary>,
    /// The lists that are fetched, sorted by URL.
    pub feeds: Vec<Feed>,
    /// Devices with names.
    pub devices: DeviceNames,
    /// All errors and warnings.
    pub diagnostics: Diagnostics,
}

impl Compiled {
    /// With an error where its tries would not have room in the kernel. Whoever
    /// makes a generation of it finds that out on the way.
    #[must_use]
    pub fn checked_for_room(self) -> Self {
        self.checked_for(Room::default())
    }

    fn checked_for(mut self, room: Room) -> Self {
        let ruleset = self.ruleset.as_ref();
        if let Some(ruleset) = ruleset
            && let Err(limit) = Tries::in_room(ruleset, room)
        {
            let error = too_large(&limit, ruleset, &self.policies);
            self.diagnostics.push(error);
            self.ruleset = None;
        }
        self
    }
}

/// Reads the policies under `paths`, changed as `runtime` says, and compiles
/// them as they are at `moment`, for `gateway`: what would cut it off is an error.
pub fn compile_files(
    paths: &[PathBuf],
    files: &dyn Files,
    runtime: &RuntimeOverlay,
    moment: &Moment,
    gateway: &Gateway,
) -> Compiled {
    let Loaded {
        mut policies,
        files,
        lists,
        feeds,
        devices,
        texts,
        mut diagnostics,
    } = load_for(paths, files, &gateway.networks);
    diagnostics.append(runtime.put_on(&mut policies, moment));
    let mut ruleset = None;
    if !diagnostics.has_errors() {
        diagnostics.append(guard(&policies, gateway, &texts));
        match compile(&policies, &gateway.derivation) {
            Ok(compiled) => {
                diagnostics.append(shadowed_drops(&policies, &compiled));
                ruleset = (!diagnostics.has_errors()).then_some(compiled);
            }
            Err(errors) => diagnostics.append(errors),
        }
    }
    Compiled {
        ruleset,
        policies,
        files,
        lists,
        feeds,
        devices,
        diagnostics,
    }
}

/// Compiles the active policies, and what `derivation` says of their IPv4
/// destinations. Names must be unique, as in what
/// [`crate::policy::load`] returns without errors.
///
/// # Errors
///
/// One of the kernel's limits is exceeded; the diagnostic names the policies.
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

fn too_large(limit: &TooLarge, ruleset: &Ruleset, policies: &[Policy]) -> Diagnostic {
    let of_ruleset = ruleset.policies.iter();
    let largest = of_ruleset.max_by_key(|policy| limit.prefixes_of(policy.prefixes));
    let largest = policies
        .iter()
        .find(|policy| largest.is_some_and(|largest| largest.name == *policy.name()))
        .expect("prefixes are of a policy");
    Diagnostic::error(
        largest.place().clone(),
        format!("{limit}; the policy with most is `{}`", largest.name()),
        TooLarge::FIX,
    )
}

fn one(diagnostic: Diagnostic) -> Diagnostics {
    let mut out = Diagnostics::default();
    out.push(diagnostic);
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::policy::Disk;

    #[test]
    fn beyond_the_room_of_a_trie_the_policy_with_most_of_that_family_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let policy = |name: &str, prefixes: Vec<String>| {
            let list = folder.path().join(format!("{name}.txt"));
            fs::write(list, prefixes.join("\n")).unwrap();
            format!("  - {{name: {name}, action: drop, destinations: [{{list: {name}.txt}}]}}\n")
        };
        let ipv4 = (0..2_000).map(|n| format!("8.{}.{}.0/24", n / 250, n % 250));
        let ipv6 = |site: &str, count| -> Vec<String> {
            (0..count)
                .map(|n| format!("2001:db8:{site}:{:x}::/64", n * 37))
                .collect()
        };
        let policies = [
            policy("ipv4", ipv4.collect()),
            policy("most", ipv6("7", 700)),
            policy("some", ipv6("8", 300)),
        ];
        let file = folder.path().join("p.yaml");
        fs::write(
            &file,
            format!("version: 1\npolicies:\n{}", policies.concat()),
        )
        .unwrap();
        let noon = "2026-11-20T12:00:00Z".parse().unwrap();
        // Else the IPv4 list would give most of the IPv6 prefixes.
        let gateway = Gateway {
            derivation: Derivation::none(),
            ..Gateway::default()
        };
        let compiled = || {
            compile_files(
                std::slice::from_ref(&file),
                &Disk,
                &RuntimeOverlay::default(),
                &Moment::given(noon),
                &gateway,
            )
        };
        let tries = Tries::new(&compiled().ruleset.unwrap()).unwrap();
        let room = |fewer| Room {
            nodes: tries.ipv4.nodes.len().max(tries.ipv6.nodes.len()),
            lines: tries.ipv6.lines.len() - fewer,
        };
        assert!(tries.ipv4.lines.len() < tries.ipv6.lines.len());

        let fits = compiled().checked_for(room(0));
        assert!(fits.ruleset.is_some(), "{}", fits.diagnostics.render(false));
        let refused = compiled().checked_for(room(1));
        assert_eq!(refused.ruleset, None);
        let shown = refused.diagnostics.render(false);
        for part in [
            "1000 IPv6 prefixes need more kernel memory than the trie has room for",
            "the policy with most is `most`",
            "p.yaml:4:",
            TooLarge::FIX,
        ] {
            assert!(shown.contains(part), "no {part:?} in {shown}");
        }
    }
}
