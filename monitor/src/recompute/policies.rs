//! The policies of a report → the rulesets that were in force.

use std::{
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    address::Derivation,
    compile::{Ruleset, compile},
    policy::{Files, PolicyName, load},
    regular_file::Purpose,
    report::{Report, StatedPolicy},
};

/// A ruleset in force from a time on.
pub(super) struct InForce {
    /// Begin, to the second. The daemon notes it a few seconds late.
    pub(super) since: Timestamp,
    /// Hash of its content, as the report states it.
    pub(super) hash: String,
    pub(super) found: Found,
}

/// Where a ruleset comes from.
pub(super) enum Found {
    /// The policies in the report have the hash.
    InReport(Ruleset),
    /// The policies that the caller gave have the hash.
    Given(Ruleset),
    /// The policies that the caller gave have another hash.
    Other(String),
    /// The policies that the caller gave cannot be used.
    Unusable(String),
    /// The policies in the report do not have the hash, and the caller gave none.
    Missing,
}

impl Found {
    pub(super) const fn ruleset(&self) -> Option<&Ruleset> {
        match self {
            Self::InReport(ruleset) | Self::Given(ruleset) => Some(ruleset),
            Self::Other(_) | Self::Unusable(_) | Self::Missing => None,
        }
    }
}

/// Compiles the policies that the caller gave, as they are at a time.
pub type Compile<'a> = &'a dyn Fn(Timestamp) -> Result<Ruleset, String>;

/// The rulesets of the period, sorted by begin. Generations with the same ruleset are one.
pub(super) fn in_force(
    report: &Report,
    derivation: &Derivation,
    given: Option<Compile<'_>>,
) -> Vec<InForce> {
    let mut rulesets: Vec<InForce> = Vec::new();
    for ruleset in &report.ruleset {
        let same = rulesets
            .last()
            .is_some_and(|last| last.hash == ruleset.hash);
        let Ok(since) = ruleset.since.parse() else {
            continue;
        };
        if !same {
            let texts = report.policy_texts.get(&ruleset.hash);
            rulesets.push(InForce {
                since,
                found: find(texts, &ruleset.hash, derivation, given, since),
                hash: ruleset.hash.clone(),
            });
        }
    }
    rulesets
}

fn find(
    texts: Option<&Vec<StatedPolicy>>,
    hash: &str,
    derivation: &Derivation,
    given: Option<Compile<'_>>,
    since: Timestamp,
) -> Found {
    if let Some(ruleset) = texts.and_then(|texts| from_texts(texts, hash, derivation)) {
        return Found::InReport(ruleset);
    }
    match given.map(|compile| compile(since)) {
        None => Found::Missing,
        Some(Err(why)) => Found::Unusable(why),
        Some(Ok(ruleset)) if hash_of(&ruleset) == hash => Found::Given(ruleset),
        Some(Ok(ruleset)) => Found::Other(hash_of(&ruleset)),
    }
}

fn hash_of(ruleset: &Ruleset) -> String {
    format!("{:016x}", ruleset.content_hash())
}

/// Compiles the policies as the report states them. `None` if they do not have this hash: the
/// report lists only some of their networks, or lacks a setting of the gateway.
fn from_texts(texts: &[StatedPolicy], hash: &str, derivation: &Derivation) -> Option<Ruleset> {
    let mut active: Vec<_> = texts.iter().filter(|policy| policy.active).collect();
    active.sort_by(|a, b| a.name.cmp(&b.name));
    if active.iter().any(|policy| policy.more_destinations > 0) {
        return None;
    }
    // Reports of earlier versions do not state whether a policy derives IPv6 prefixes.
    [false, true]
        .into_iter()
        .filter_map(|none_derives| compiled(&active, none_derives, derivation))
        .find(|ruleset| hash_of(ruleset) == hash)
}

fn compiled(
    policies: &[&StatedPolicy],
    none_derives: bool,
    derivation: &Derivation,
) -> Option<Ruleset> {
    // Names of policies that a command made are refused in files. Other names in the same order
    // give the same match sets.
    let names = policies.iter().map(|policy| policy.name.parse());
    let names: Vec<PolicyName> = names.collect::<Result<_, _>>().ok()?;
    let entries = policies.iter().enumerate();
    let entries = entries.map(|(number, policy)| entry(policy, number, none_derives));
    let file = json!({"version": 1, "policies": entries.collect::<Vec<_>>()});
    let file = OneFile(serde_yaml::to_string(&file).ok()?);
    let loaded = load(&[PathBuf::from("report.yaml")], &file);
    if loaded.diagnostics.has_errors() {
        return None;
    }
    let mut ruleset = compile(&loaded.policies, derivation).ok()?;
    for (policy, name) in ruleset.policies.iter_mut().zip(names) {
        policy.name = name;
    }
    Some(ruleset)
}

/// A policy as an entry of a policy file.
fn entry(policy: &StatedPolicy, number: usize, none_derives: bool) -> Value {
    let destinations = policy.destinations.iter().map(|network| {
        let holes = policy.except.iter().filter(|hole| holds(network, hole));
        let holes: Vec<_> = holes.collect();
        if holes.is_empty() {
            json!(network)
        } else {
            json!({"cidr": network, "except": holes})
        }
    });
    let mut entry = json!({
        "name": format!("p{number:05}"),
        "action": policy.action,
        "destinations": destinations.collect::<Vec<_>>(),
        "evidence": policy.evidence,
    });
    let lists = [
        ("devices", &policy.devices),
        ("except_devices", &policy.except_devices),
        ("interfaces", &policy.interfaces),
        ("services", &policy.services),
    ];
    for (key, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
        entry[key] = json!(values);
    }
    if policy.allow_handshake {
        entry["allow_handshake"] = json!(true);
    }
    if none_derives || policy.derive.is_some() {
        entry["derive"] = json!("none");
    }
    entry
}

/// True if a network contains another one and is not equal to it.
fn holds(network: &str, hole: &str) -> bool {
    use ipnetwork::IpNetwork;
    let parse = |text: &str| text.parse::<IpNetwork>().ok();
    match (parse(network), parse(hole)) {
        (Some(network), Some(hole)) => {
            network.prefix() < hole.prefix() && network.contains(hole.ip())
        }
        _ => false,
    }
}

/// A policy file in memory. There is no other file.
struct OneFile(String);

impl Files for OneFile {
    fn read(&self, _: &Path, _: Purpose) -> io::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }

    fn is_directory(&self, _: &Path) -> bool {
        false
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICIES: &str = r#"version: 1
devices: {tv: "64:cc:2e:00:00:07"}
policies:
  - name: zebra
    action: drop
    allow_handshake: true
    destinations: [198.51.100.10-198.51.100.20, "2001:db8:7::/48"]
    devices: [tv, "02:00:00:00:00:00/24", 192.168.7.9]
    evidence: flows
  - name: apple
    action: count
    destinations:
      - {cidr: 42.62.0.0/16, except: [42.62.48.0/24, 42.62.49.7]}
      - 42.62.48.0/25
      - {cidr: "2001:db8::/32", except: ["2001:db8:1::/48"]}
    services: [https, udp/8000-9000, icmp]
    except_devices: [tv]
    interfaces: [wlan0]
  - name: middle
    action: allow
    derive: none
    destinations: [203.0.113.7]
  - name: asleep
    action: drop
    enabled: false
    destinations: [192.0.2.0/24]
"#;

    fn stated(yaml: &str) -> (Vec<StatedPolicy>, String) {
        let loaded = load(&[PathBuf::from("p.yaml")], &OneFile(yaml.to_owned()));
        let ruleset = compile(&loaded.policies, &Derivation::default()).unwrap();
        let texts = loaded.policies.iter().map(StatedPolicy::new).collect();
        (texts, hash_of(&ruleset))
    }

    #[test]
    fn the_texts_of_a_report_compile_to_the_same_ruleset() {
        let (texts, hash) = stated(POLICIES);
        assert_eq!(texts.len(), 4);
        let ruleset = from_texts(&texts, &hash, &Derivation::default()).unwrap();
        let names: Vec<_> = ruleset
            .policies
            .iter()
            .map(|policy| policy.name.as_str())
            .collect();
        assert_eq!(names, ["apple", "middle", "zebra"]);
    }

    #[test]
    fn every_change_of_a_text_gives_another_hash() {
        let (texts, hash) = stated(POLICIES);
        let changes: [fn(&mut StatedPolicy); 8] = [
            |policy| policy.action = "count".to_owned(),
            |policy| policy.name = "zebras".to_owned(),
            |policy| policy.destinations.truncate(1),
            |policy| policy.devices.truncate(1),
            |policy| policy.evidence = "names".to_owned(),
            |policy| policy.allow_handshake = false,
            |policy| policy.derive = Some("none".to_owned()),
            |policy| policy.more_destinations = 1,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut other = texts.clone();
            let zebra = other.iter_mut().find(|policy| policy.name == "zebra");
            change(zebra.unwrap());
            let found = from_texts(&other, &hash, &Derivation::default());
            assert!(found.is_none(), "change {number}");
        }
        assert!(from_texts(&texts, &hash, &Derivation::none()).is_none());
    }

    /// Files cannot hold such names.
    #[test]
    fn policies_that_commands_made_compile_too() {
        let (mut texts, _) = stated(POLICIES);
        texts.retain(|policy| policy.active);
        texts[0].name = "runtime.0a1b".to_owned();
        let policies: Vec<&StatedPolicy> = {
            texts.sort_by(|a, b| a.name.cmp(&b.name));
            texts.iter().collect()
        };
        let ruleset = compiled(&policies, false, &Derivation::default()).unwrap();
        let hash = hash_of(&ruleset);
        assert!(from_texts(&texts, &hash, &Derivation::default()).is_some());
    }

    #[test]
    fn policies_that_the_caller_gives_must_have_the_hash() {
        let given = |_| Ok(Ruleset::default());
        let find = |hash: &str, given| {
            let at = Timestamp::UNIX_EPOCH;
            find(None, hash, &Derivation::default(), given, at)
        };
        let own = hash_of(&Ruleset::default());
        assert!(matches!(find(&own, Some(&given)), Found::Given(_)));
        assert!(matches!(find("00", Some(&given)), Found::Other(hash) if hash == own));
        assert!(matches!(find("00", None), Found::Missing));
        let unusable: Compile<'_> = &|_| Err("why".to_owned());
        assert!(matches!(find("00", Some(unusable)), Found::Unusable(_)));
    }
}
