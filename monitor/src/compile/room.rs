//! Checks that the tries of a ruleset fit into kernel memory.

use super::{Ruleset, TooLarge, Tries, trie::Room};
use crate::policy::{Diagnostic, Policy};

/// Compiles the tries of `ruleset` to check that they fit into kernel memory.
/// `policies` are those that `ruleset` was compiled from.
///
/// # Errors
///
/// A trie needs more kernel memory than it can have. The diagnostic names the
/// policy with the most prefixes of that address family.
pub fn check_room(ruleset: &Ruleset, policies: &[Policy]) -> Result<(), Box<Diagnostic>> {
    check(ruleset, policies, Room::default())
}

fn check(ruleset: &Ruleset, policies: &[Policy], room: Room) -> Result<(), Box<Diagnostic>> {
    match Tries::in_room(ruleset, room) {
        Ok(_) => Ok(()),
        Err(limit) => Err(Box::new(too_large(&limit, ruleset, policies))),
    }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        address::Derivation,
        compile::compile,
        policy::{Diagnostics, Disk, load},
    };

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
        let policies = load(&[file], &Disk).policies;
        // Without derived prefixes: with them, the IPv4 list would have the
        // most IPv6 prefixes.
        let ruleset = compile(&policies, &Derivation::none()).unwrap();
        let tries = Tries::new(&ruleset).unwrap();
        let room = |fewer| Room {
            nodes: tries.ipv4.nodes.len().max(tries.ipv6.nodes.len()),
            lines: tries.ipv6.lines.len() - fewer,
        };
        assert!(tries.ipv4.lines.len() < tries.ipv6.lines.len());

        assert_eq!(check(&ruleset, &policies, room(0)), Ok(()));
        let mut refused = Diagnostics::default();
        refused.push(*check(&ruleset, &policies, room(1)).unwrap_err());
        let shown = refused.render(false);
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
