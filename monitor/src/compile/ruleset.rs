//! The ruleset: all policies in compiled form, from which a generation is
//! built.

use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::OnceLock,
};

use fnv::FnvHasher;

use super::{ScopeIndex, Scopes, SortedPrefixes};
use crate::{
    address::{Address, Embedding, Network},
    policy::{Action, Device, EvidenceLevel, PolicyName, Scope, Service},
    snapshot::Prefixes,
};

/// Index into [`Ruleset::policies`].
pub type PolicyIndex = u16;

/// Index into [`Ruleset::match_sets`].
pub type MatchSetId = u32;

/// An immutable ruleset. Equal policies give equal rulesets, regardless of the
/// order of files and entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ruleset {
    /// Active policies, sorted by name.
    pub policies: Vec<RulesetPolicy>,
    /// Sorted by address, then length; host bits are zero.
    pub ipv4: SortedPrefixes<Ipv4Addr>,
    /// Sorted by address, then length; host bits are zero.
    pub ipv6: SortedPrefixes<Ipv6Addr>,
    /// Number of IPv6 prefixes that are derived from IPv4 destinations, for
    /// each embedding.
    pub derived: Vec<DerivedPrefixes>,
    /// The policies of each match set, strongest action first, then longest
    /// prefix, then by name. Element 0 is the empty set.
    pub match_sets: Vec<Vec<PolicyIndex>>,
    /// The conditions of the policies on device, interface and service.
    pub scopes: Scopes,
    /// Filled by [`Ruleset::content_hash`].
    pub hash: HashedOnce,
}

/// The hash of a ruleset, which the first call computes. It follows from the other parts of
/// the ruleset, so comparisons of rulesets ignore it. A caller that changes a ruleset must
/// set this part to its default.
#[derive(Clone, Debug, Default)]
pub struct HashedOnce(OnceLock<u64>);

impl PartialEq for HashedOnce {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for HashedOnce {}

impl Hash for HashedOnce {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A policy of a ruleset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RulesetPolicy {
    /// Unique in the ruleset.
    pub name: PolicyName,
    /// The action in effect.
    pub action: Action,
    /// What is recorded about the packets that the policy matches.
    pub evidence: EvidenceLevel,
    /// True if the policy blocks, and lets TCP segments without data pass.
    pub allows_handshake: bool,
    /// Index of the policy's conditions in [`Ruleset::scopes`].
    pub scope: ScopeIndex,
    /// Number of distinct prefixes of the policy, including derived ones,
    /// before neighbours are joined. Exceptions are not counted.
    pub prefixes: Prefixes,
}

/// A prefix, and the policies that cover its addresses except those of longer
/// prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix<A> {
    /// Network address.
    pub address: A,
    /// Length in bits.
    pub length: u8,
    /// The set of all policies that cover these addresses, also by shorter
    /// prefixes.
    pub match_set: MatchSetId,
}

impl<A: Address> Prefix<A> {
    /// The network of the prefix.
    pub(super) fn network(&self) -> Network<A> {
        Network::around(self.address, self.length)
    }
}

/// The number of prefixes that one embedding derives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DerivedPrefixes {
    /// How an IPv6 address embeds an IPv4 address.
    pub by: Embedding,
    /// Number of the ruleset's IPv6 prefixes that this embedding derives.
    pub prefixes: usize,
}

impl Ruleset {
    /// The policies that cover `address`, in the order of their match set. Uses
    /// the longest matching prefix, as the kernel does.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> &[PolicyIndex] {
        let match_set = match address {
            IpAddr::V4(address) => longest(&self.ipv4, address),
            IpAddr::V6(address) => longest(&self.ipv6, address),
        };
        match_set.map_or(&[], |id| &self.match_sets[id as usize])
    }

    /// Hash (64 bits) of the content. It is equal for equal rulesets,
    /// also in other processes, on other machines and in later releases.
    ///
    /// The first call computes the hash and keeps it. Calls of other threads wait until the
    /// first call has ended.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        *self.hash.0.get_or_init(|| self.hash_content())
    }

    fn hash_content(&self) -> u64 {
        let mut hash = FnvHasher::default();
        write_length(&mut hash, self.policies.len());
        for policy in &self.policies {
            write_length(&mut hash, policy.name.as_str().len());
            hash.write(policy.name.as_str().as_bytes());
            hash.write(policy.action.name().as_bytes());
            if policy.evidence != EvidenceLevel::default() {
                hash.write(policy.evidence.word().as_bytes());
            }
            if policy.allows_handshake {
                hash.write(b"allow_handshake");
            }
            let scope = &self.scopes.scopes[usize::from(policy.scope)];
            if !scope.is_everything() {
                write_scope(&mut hash, scope);
            }
        }
        write_prefixes(&mut hash, &self.ipv4);
        write_prefixes(&mut hash, &self.ipv6);
        write_length(&mut hash, self.match_sets.len());
        for set in &self.match_sets {
            write_length(&mut hash, set.len());
            for policy in set {
                hash.write(&policy.to_le_bytes());
            }
        }
        hash.finish()
    }
}

fn longest<A: Address>(prefixes: &SortedPrefixes<A>, address: A) -> Option<MatchSetId> {
    let mut lengths = (0..=A::BITS).rev();
    let found = lengths.find_map(|length| prefixes.get(Network::around(address, length)));
    found.map(|prefix| prefix.match_set)
}

fn write_prefixes<A: Address>(hash: &mut FnvHasher, prefixes: &SortedPrefixes<A>) {
    write_length(hash, prefixes.len());
    hash.write(&prefixes.content_hash().to_le_bytes());
}

/// Hashes the notation of policy files, because that does not change between
/// releases.
fn write_scope(hash: &mut FnvHasher, scope: &Scope) {
    let Scope {
        devices,
        except_devices,
        interfaces,
        services,
    } = scope;
    let parts = [
        devices.iter().map(Device::to_string).collect::<Vec<_>>(),
        except_devices.iter().map(Device::to_string).collect(),
        interfaces.clone(),
        services.iter().map(Service::to_string).collect(),
    ];
    for part in parts {
        write_length(hash, part.len());
        for text in part {
            write_length(hash, text.len());
            hash.write(text.as_bytes());
        }
    }
}

fn write_length(hash: &mut FnvHasher, length: usize) {
    hash.write(&(length as u64).to_le_bytes());
}
