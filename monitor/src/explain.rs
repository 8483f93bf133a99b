//! What the policies decide about an address, and why.

mod text;

use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::{
    address::{Derivation, DerivedFrom},
    clock::to_the_second,
    policy::{Action, LongestMatch, Packet, Policy, PolicyName, ScopeMatch},
};

/// The answer for one destination address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The destination.
    pub address: IpAddr,
    /// What happens to its packets.
    pub decision: Decision,
    /// The policy that decides.
    pub effective: Option<PolicyName>,
    /// Every policy that matches, in order of precedence.
    pub matches: Vec<Match>,
    /// Policies that would match, had no overlay disabled them or made an
    /// exception; sorted by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Policies that would match, and rest now; sorted by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resting: Vec<Resting>,
    /// Who has the address, as far as known.
    pub holder: Holder,
}

/// A policy that would match and rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resting {
    /// Its name.
    pub policy: PolicyName,
    /// Its longest prefix that covers the address.
    pub prefix: String,
    /// `file:line` where that prefix is written; `file` alone where that is a database.
    pub source: String,
    /// What the prefix is derived from, where it is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived: Option<DerivedFrom>,
    /// Why it does nothing.
    pub reason: &'static str,
    /// When that changes by itself (RFC 3339).
    pub until: Option<String>,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A policy matches, and its action is this.
    Action(Action),
    /// No policy matches: the packet passes.
    None,
    /// What is not known of the packet decides.
    Depends,
}

/// A policy that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Match {
    /// Its name.
    pub policy: PolicyName,
    /// What it asks for.
    pub action: Action,
    /// Its longest prefix that covers the address.
    pub prefix: String,
    /// `file:line` where that prefix is written; `file` alone where that is a database.
    pub source: String,
    /// What the prefix is derived from, where it is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived: Option<DerivedFrom>,
    /// Whether this policy decides.
    pub effective: bool,
    /// Where it matches only some packets, as far as they are known: which.
    #[serde(rename = "if")]
    pub condition: Option<String>,
    /// What an overlay changed of this policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Changed>,
    /// What commands changed of this policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_command: Vec<Changed>,
}

/// What an overlay changed, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// `file:line` of the override.
    pub source: String,
    /// In words.
    pub changes: String,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

/// A policy that an overlay keeps from matching.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub policy: PolicyName,
    /// The part of it that covers the address: a prefix, or an exception inside one.
    pub prefix: String,
    /// `file:line` of the destination.
    pub source: String,
    /// What the prefix is derived from, where it is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived: Option<DerivedFrom>,
    /// What keeps it from matching.
    pub changed: Changed,
}

/// Five facts that are often taken for one another; `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Who registered the range: a regional or national internet registry.
    pub registry: Option<String>,
    /// Who has it.
    pub holder: Option<String>,
    /// The autonomous system that announces it.
    pub origin_as: Option<String>,
    /// The country it is delegated to, which is not where it is used.
    pub country: Option<String>,
    /// Who wrote the list that names it.
    pub list_author: Option<String>,
}

/// What the enabled policies of `policies`, compiled with `derivation`, decide
/// about packets to `address` of which `packet` is known.
#[must_use]
pub fn explain(
    policies: &[Policy],
    derivation: &Derivation,
    address: IpAddr,
    packet: &Packet,
) -> Explanation {
    let longest = |policy: &Policy| policy.longest_match(address, derivation);
    let mut found: Vec<(u8, Match)> = policies
        .iter()
        .filter_map(|policy| matching(policy, longest(policy)?, packet))
        .collect();
    found.sort_by(|(a_length, a), (b_length, b)| {
        let longer_first = b_length.cmp(a_length);
        a.action
            .cmp(&b.action)
            .then(longer_first)
            .then_with(|| a.policy.cmp(&b.policy))
    });
    let mut matches: Vec<Match> = found.into_iter().map(|(_, found)| found).collect();
    let decision = Decision::of(&matches);
    let certain = |found: &&mut Match| found.condition.is_none();
    let winner = match decision {
        Decision::Depends | Decision::None => None,
        Decision::Action(_) => matches.iter_mut().find(certain),
    };
    let effective = winner.map(|winner| {
        winner.effective = true;
        winner.policy.clone()
    });
    Explanation {
        address,
        decision,
        effective,
        matches,
        left_out: policies
            .iter()
            .filter_map(|policy| left_out(policy, policy.left_out(address, derivation), longest))
            .collect(),
        resting: policies
            .iter()
            .filter_map(|policy| resting(policy, longest(policy)?, packet))
            .collect(),
        holder: Holder::default(),
    }
}

fn resting(policy: &Policy, found: LongestMatch, packet: &Packet) -> Option<Resting> {
    let rest = policy.rest()?;
    if policy.scope().met_by(packet) == ScopeMatch::No {
        return None;
    }
    Some(Resting {
        policy: policy.name().clone(),
        prefix: found.prefix,
        source: found.source,
        derived: found.derived,
        reason: rest.reason(),
        until: policy.rests_until().map(to_the_second),
    })
}

fn matching(policy: &Policy, found: LongestMatch, packet: &Packet) -> Option<(u8, Match)> {
    if !policy.is_active() {
        return None;
    }
    let condition = match policy.scope().met_by(packet) {
        ScopeMatch::Yes => None,
        ScopeMatch::No => return None,
        ScopeMatch::If(condition) => Some(condition),
    };
    let entry = Match {
        policy: policy.name().clone(),
        action: policy.action(),
        prefix: found.prefix,
        source: found.source,
        derived: found.derived,
        effective: false,
        condition,
        changed: Changed::of(policy),
        by_command: by_command(policy),
    };
    Some((found.length, entry))
}

/// The command that made a policy, and those that paused it.
fn by_command(policy: &Policy) -> Vec<Changed> {
    let made = policy.command().map(|command| Changed {
        source: crate::printable::path(policy.place().file()).to_string(),
        changes: match policy.expires() {
            Some(end) => format!("{command} until {}", to_the_second(end)),
            None => format!("{command} until it is undone"),
        },
        reason: policy.description().map(str::to_owned),
    });
    let pauses = policy.pauses().iter().map(|pause| Changed {
        source: pause.source.clone(),
        changes: match &pause.device {
            Some(device) => {
                format!("paused for {device} until {}", to_the_second(pause.until))
            }
            None => format!("paused until {}", to_the_second(pause.until)),
        },
        reason: pause.reason.clone(),
    });
    made.into_iter().chain(pauses).collect()
}

fn left_out(
    policy: &Policy,
    excepted: Option<LongestMatch>,
    longest: impl Fn(&Policy) -> Option<LongestMatch>,
) -> Option<LeftOut> {
    let changed = Changed::of(policy)?;
    let disabled = || longest(policy).filter(|_| !policy.enabled());
    let found = excepted.or_else(disabled)?;
    Some(LeftOut {
        policy: policy.name().clone(),
        prefix: found.prefix,
        source: found.source,
        derived: found.derived,
        changed,
    })
}

impl Changed {
    fn of(policy: &Policy) -> Option<Self> {
        let change = policy.changed()?;
        Some(Self {
            source: change.source(),
            changes: change.changes(policy.action()),
            reason: change.reason().map(str::to_owned),
        })
    }
}

impl Decision {
    /// Of `matches` in order of precedence: the first that is certain decides,
    /// unless one before it may and has another action.
    fn of(matches: &[Match]) -> Self {
        let certain = matches.iter().find(|found| found.condition.is_none());
        let decision = certain.map_or(Self::None, |found| Self::Action(found.action));
        let before = matches.iter().take_while(|found| found.condition.is_some());
        let mut others = before.map(|found| Self::Action(found.action));
        if others.any(|other| other != decision) {
            return Self::Depends;
        }
        decision
    }

    /// The action's name, `none` or `depends`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Action(action) => action.name(),
            Self::None => "none",
            Self::Depends => "depends",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Action(action) => action.outcome(),
            Self::None => "no policy matches; its packets pass and no policy counts them",
            Self::Depends => "on what is not known of the packet, see below",
        }
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
