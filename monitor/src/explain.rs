//! Explains what the policies decide about a destination address, and why.

mod text;

use std::{collections::BTreeSet, net::IpAddr};

use serde::{Serialize, Serializer};

use crate::{
    address::{Derivation, DerivedFrom},
    clock::to_the_second,
    data::{Statement, Statements, rdap},
    policy::{Action, Direction, LongestMatch, Packet, Policy, PolicyName, ScopeMatch, Strength},
};

/// The answer for one destination address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The destination.
    pub address: IpAddr,
    /// Direction of the packets.
    pub direction: Direction,
    /// The decision about its packets.
    pub decision: Decision,
    /// The policy that decides, if one does.
    pub effective: Option<PolicyName>,
    /// Every policy that matches, in order of precedence.
    pub matches: Vec<Match>,
    /// Policies that would match if an overlay had not disabled them or excepted the
    /// address. Sorted by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Policies that would match, but are off now because of a schedule, an end or a
    /// pause. Sorted by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resting: Vec<Resting>,
    /// What is stated about the range of the address.
    pub holder: Statements,
    /// The answer of an RDAP server, if one was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rdap: Option<rdap::Answer>,
}

/// A policy that would match, but is off now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resting {
    /// Its name.
    pub policy: PolicyName,
    /// Its longest prefix that covers the address.
    pub prefix: String,
    /// Position of that prefix as `file:line`, or only `file` if that is a database.
    pub source: String,
    /// The origin of the prefix, if it is derived from an IPv4 destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived: Option<DerivedFrom>,
    /// The reason why it is off.
    pub reason: &'static str,
    /// Time at which it turns on by itself (RFC 3339), if it does.
    pub until: Option<String>,
}

/// The decision about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A policy with this action decides.
    Action(Action),
    /// No policy matches, so the packet passes.
    None,
    /// The decision depends on properties of the packet that the caller did not give.
    Depends,
}

/// A policy that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Match {
    /// Its name.
    pub policy: PolicyName,
    /// Its action.
    pub action: Action,
    /// Its longest prefix that covers the address.
    pub prefix: String,
    /// Position of that prefix as `file:line`, or only `file` if that is a database.
    pub source: String,
    /// The origin of the prefix, if it is derived from an IPv4 destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived: Option<DerivedFrom>,
    /// True if this policy decides.
    pub effective: bool,
    /// True if TCP segments without data pass although the policy drops.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_handshake: bool,
    /// The condition under which it matches, as far as the packet is not known. `None` if
    /// it matches for certain.
    #[serde(rename = "if")]
    pub condition: Option<String>,
    /// The change of this policy by an overlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Changed>,
    /// The changes of this policy by commands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_command: Vec<Changed>,
}

/// A change of a policy by an overlay or a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Position of the override as `file:line`, or the source of the command.
    pub source: String,
    /// The change in words.
    pub changes: String,
    /// The operator's reason for it.
    pub reason: Option<String>,
}

/// A policy that an overlay keeps from matching.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub policy: PolicyName,
    /// The part of it that covers the address: a prefix, or an exception inside one.
    pub prefix: String,
    /// Position of the destination as `file:line`.
    pub source: String,
    /// The origin of the prefix, if it is derived from an IPv4 destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived: Option<DerivedFrom>,
    /// The change that keeps it from matching.
    pub changed: Changed,
}

/// Returns what `policies` decide about a packet to `address`. `packet` holds the other
/// properties of the packet, as far as they are known. `derivation` tells which IPv6
/// addresses carry IPv4 addresses.
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
            .strength()
            .cmp(&b.action.strength())
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
    let resting: Vec<Resting> = policies
        .iter()
        .filter_map(|policy| resting(policy, longest(policy)?, packet))
        .collect();
    let matching = matches.iter().map(|found| &found.policy);
    let shown: BTreeSet<&PolicyName> = matching
        .chain(resting.iter().map(|resting| &resting.policy))
        .collect();
    let authors = policies
        .iter()
        .filter(|policy| shown.contains(policy.name()));
    let list_author = authors.filter_map(Statement::of_author).collect();
    Explanation {
        address,
        direction: packet.direction,
        decision,
        effective,
        matches,
        left_out: policies
            .iter()
            .filter_map(|policy| left_out(policy, policy.left_out(address, derivation), longest))
            .collect(),
        resting,
        holder: Statements {
            list_author,
            ..Statements::default()
        },
        rdap: None,
    }
}

fn resting(policy: &Policy, found: LongestMatch, packet: &Packet) -> Option<Resting> {
    let rest = policy.rest()?;
    if meets(policy, packet) == ScopeMatch::No {
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

fn meets(policy: &Policy, packet: &Packet) -> ScopeMatch {
    let exempts = policy.action().strength() == Strength::Exempts;
    match packet.direction {
        Direction::Out => policy.scope().met_by(packet),
        Direction::In => policy.scope().met_from_internet(packet, exempts),
    }
}

fn matching(policy: &Policy, found: LongestMatch, packet: &Packet) -> Option<(u8, Match)> {
    if !policy.is_active() {
        return None;
    }
    let condition = match meets(policy, packet) {
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
        allow_handshake: policy.allows_handshake(),
        condition,
        changed: Changed::of(policy),
        by_command: by_command(policy),
    };
    Some((found.length, entry))
}

/// Returns the command that created the policy, and the commands that paused it.
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
    /// Returns the decision for `matches`, which are in order of precedence. The first
    /// certain match decides. But if an uncertain match before it has another action, the
    /// decision depends on the packet.
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

    /// Returns the name of the action, `none` or `depends`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Action(action) => action.name(),
            Self::None => "none",
            Self::Depends => "depends",
        }
    }

    /// Returns what the decision means for a packet.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Action(action) => action.outcome(),
            Self::None => "no policy matches; its packets pass and no policy counts them",
            Self::Depends => "on properties of the packet that are not given, see below",
        }
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
