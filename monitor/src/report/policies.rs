//! Policies in the form in which the store keeps them for a report.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    address::{Address, Network},
    clock::to_the_second,
    policy::{Destinations, Policy, SourcePlace},
};

/// The most networks of a policy that are stored. Lists may have millions.
pub const MOST_NETWORKS: usize = 200;

/// A policy as it was in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedPolicy {
    /// Name.
    pub name: String,
    /// The action in effect: outside its schedule a policy may only count.
    pub action: String,
    /// `file:line` of the policy; the command for a policy that a command made.
    pub source: String,
    /// The author's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When the author saw the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
    /// What the author states about the holder: the author's word only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Links to further information.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Networks that it covers, in the order of the file, at most [`MOST_NETWORKS`].
    pub destinations: Vec<String>,
    /// Number of further networks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_destinations: u64,
    /// Networks that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Only packets of these devices; empty for every device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Not packets of these devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_devices: Vec<String>,
    /// Only on these interfaces; empty for every interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// Only these services; empty for every service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// End of the policy (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// `none` if its IPv4 destinations cover no IPv6 addresses that carry them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derive: Option<String>,
    /// What it records: `counters`, `flows` or `names`.
    pub evidence: String,
    /// True if TCP segments without data pass, so that the device names its destination.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_handshake: bool,
    /// True if the policy is in force.
    pub active: bool,
}

impl StatedPolicy {
    /// The policy as it is now.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let scope = policy.scope();
        let (mut destinations, mut except) = (Vec::new(), Vec::new());
        let more4 = networks(policy.ipv4(), &mut destinations, &mut except);
        let more6 = networks(policy.ipv6(), &mut destinations, &mut except);
        Self {
            name: policy.name().to_string(),
            action: policy.action().name().to_owned(),
            source: policy.command().map_or_else(
                || place(policy.place()),
                |command| format!("command: {command}"),
            ),
            description: policy.description().map(str::to_owned),
            observed: policy.observed().map(ToString::to_string),
            about: policy.about().map(|about| {
                let as_of = about.as_of().map(|as_of| format!(", as of {as_of}"));
                let source = about.source().map(|source| format!(", source: {source}"));
                [Some(about.holder().to_owned()), as_of, source]
                    .into_iter()
                    .flatten()
                    .collect()
            }),
            references: policy.references().to_vec(),
            destinations,
            more_destinations: more4 + more6,
            except,
            devices: texts(&scope.devices),
            except_devices: texts(&scope.except_devices),
            interfaces: scope.interfaces.clone(),
            services: texts(&scope.services),
            expires: policy.expires().map(|end: Timestamp| to_the_second(end)),
            derive: (!policy.derives()).then(|| "none".to_owned()),
            evidence: policy.evidence().word().to_owned(),
            allow_handshake: policy.allows_handshake(),
            active: policy.is_active(),
        }
    }

    /// The policy in the form of a policy file, with the action in effect.
    #[must_use]
    pub fn text(&self) -> String {
        serde_yaml::to_string(self).unwrap_or_default()
    }
}

/// The policies as JSON, sorted by name.
#[must_use]
pub fn to_json(policies: &[Policy]) -> String {
    let mut stated: Vec<_> = policies.iter().map(StatedPolicy::new).collect();
    stated.sort_by(|a, b| a.name.cmp(&b.name));
    serde_json::to_string(&stated).unwrap_or_default()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn texts(items: &[impl ToString]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// Adds the networks and the exceptions of a family. Returns the number of networks without
/// room.
fn networks<A: Address>(
    of: &Destinations<A>,
    networks: &mut Vec<String>,
    except: &mut Vec<String>,
) -> u64
where
    Network<A>: std::fmt::Display,
{
    let entries = of.networks().map(|network| network.to_string());
    let room = MOST_NETWORKS.saturating_sub(networks.len());
    networks.extend(entries.take(room));
    let holes = of.holes().iter().map(|hole| hole.network.to_string());
    except.extend(holes.take(MOST_NETWORKS.saturating_sub(except.len())));
    of.len().saturating_sub(room) as u64
}

/// The place without the directories, which may name the operator.
fn place(place: &SourcePlace) -> String {
    let file = place.file().file_name().unwrap_or_default();
    let file = crate::printable::value(&file.to_string_lossy()).into_owned();
    match place.line() {
        Some(line) => format!("{file}:{line}"),
        None => file,
    }
}
