//! The ruleset: all policies in compiled form, from which a generation is
//! built.

use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::OnceLock,
};

use fnv::FnvHasher;

use super::{ScopeIndex, Scopes};
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
    pub ipv4: Vec<Prefix<Ipv4Addr>>,
    /// Sorted by address, then length; host bits are zero.
    pub ipv6: Vec<Prefix<Ipv6Addr>>,
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

    /// FNV-1a hash (64 bits) of the content. It is equal for equal rulesets,
    /// also in other processes, on other machines and in later releases.
    ///
    /// Hashing a large ruleset takes some milliseconds. So the first call computes the hash and
    /// keeps it. Calls of other threads wait until the first call has ended.
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

fn longest<A: Address>(prefixes: &[Prefix<A>], address: A) -> Option<MatchSetId> {
    (0..=A::BITS).rev().find_map(|length| {
        let network = Network::around(address, length);
        let wanted = (network.address(), length);
        let found =
            prefixes.binary_search_by_key(&wanted, |prefix| (prefix.address, prefix.length));
        found.ok().map(|index| prefixes[index].match_set)
    })
}

fn write_prefixes<A: Address>(hash: &mut FnvHasher, prefixes: &[Prefix<A>]) {
    write_length(hash, prefixes.len());
    let mut state = hash.finish();
    for prefix in prefixes {
        state = with_number(state, prefix.address.to_number(), 16);
        state = with_number(state, prefix.length.into(), 1);
        state = with_number(state, prefix.match_set.into(), 4);
    }
    *hash = FnvHasher::with_key(state);
}

/// Hashes the lowest `bytes` bytes of `number`, the lowest first. FNV-1a multiplies by a prime
/// for each byte, so one multiplication is enough for consecutive bytes that are zero. Most
/// addresses of prefixes have many of them.
fn with_number(mut state: u64, mut number: u128, mut bytes: u32) -> u64 {
    while bytes > 0 {
        let zeros = (number.trailing_zeros() / u8::BITS).min(bytes);
        if zeros > 0 {
            state = state.wrapping_mul(POWERS[zeros as usize]);
            number = number.checked_shr(zeros * u8::BITS).unwrap_or(0);
            bytes -= zeros;
        } else {
            state = (state ^ u64::from(number.to_le_bytes()[0])).wrapping_mul(POWERS[1]);
            number >>= u8::BITS;
            bytes -= 1;
        }
    }
    state
}

/// Powers of the prime of FNV-1a, from 0 to 16.
const POWERS: [u64; 17] = {
    let mut powers = [1; 17];
    let mut power = 1;
    while power < powers.len() {
        powers[power] = 0x0100_0000_01b3_u64.wrapping_mul(powers[power - 1]);
        power += 1;
    }
    powers
};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_hashed_as_its_bytes() {
        let numbers = (0..128).flat_map(|bit| [1_u128 << bit, u128::MAX << bit, 0x8001 << bit]);
        for number in numbers.chain([
            0,
            0x2a3e_3000,
            u128::MAX,
            0x64_ff9b_u128 << 96 | 0x2a3e_3000,
        ]) {
            for bytes in [1, 4, 16] {
                let mut slow = FnvHasher::with_key(7);
                slow.write(&number.to_le_bytes()[..bytes as usize]);
                assert_eq!(with_number(7, number, bytes), slow.finish(), "{number:x}");
            }
        }
    }
}
