//! All policies compiled: what a generation is made from.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    policy::{Action, PolicyName},
    snapshot::Prefixes,
};

/// Index into [`Ruleset::policies`].
pub type PolicyIndex = u16;

/// Index into [`Ruleset::match_sets`].
pub type MatchSetId = u32;

/// One immutable ruleset. Equal policies give equal rulesets, whatever the
/// order of files and entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ruleset {
    /// Enabled policies, sorted by name.
    pub policies: Vec<RulesetPolicy>,
    /// Sorted by address, then length; host bits are zero.
    pub ipv4: Vec<Prefix<Ipv4Addr>>,
    /// Sorted by address, then length; host bits are zero.
    pub ipv6: Vec<Prefix<Ipv6Addr>>,
    /// For each set the policies that cover a prefix, strongest action first,
    /// then the longer prefix, then the name. Element 0 is the empty set.
    pub match_sets: Vec<Vec<PolicyIndex>>,
}

/// A policy of a ruleset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RulesetPolicy {
    /// Unique in a ruleset.
    pub name: PolicyName,
    /// What it asks for.
    pub action: Action,
    /// Distinct prefixes it gave to the ruleset, exceptions not counted.
    pub prefixes: Prefixes,
}

/// A prefix and the policies that cover all of it but what longer prefixes cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix<A> {
    /// Network address.
    pub address: A,
    /// Length in bits.
    pub length: u8,
    /// Set of the policies that cover it, inherited ones included.
    pub match_set: MatchSetId,
}
