//! Writes the scopes of a ruleset to the maps and constants of a generation.

use std::net::{Ipv4Addr, Ipv6Addr};

use aya::{
    Ebpf, Pod,
    maps::{MapData, lpm_trie},
};
use monitor_common::{
    MatchEntry, MatchSet, NEEDS_MAC, NEEDS_SCOPES, NEEDS_SEGMENT, NEEDS_SERVICE, NEEDS_SOURCE,
    SERVICE_KEY_BYTES,
    capture::{CAPTURE_NO_SLOT, CAPTURE_OFF},
};

use super::{
    Error,
    constants::Constants,
    devices::PolicySlot,
    hook::Instance,
    maps::{self, freeze, write},
    object::ruleset,
    tries::Shape,
};
use crate::{
    address::{Address, Network},
    compile::{ClassId, Classified, Ruleset, Scopes},
    policy::{Action, Device, EvidenceLevel, MacAddress, Scope, Strength},
};

/// Encodes match set `id` as the kernel program reads it. `slots` holds the slot of
/// each policy, in the order of the ruleset. `evidence` is the most that the daemon records.
pub(super) fn match_set(
    ruleset: &Ruleset,
    id: usize,
    slots: &[PolicySlot],
    evidence: EvidenceLevel,
) -> MatchSet {
    let policies = &ruleset.match_sets[id];
    let mut set = MatchSet {
        len: u32::try_from(policies.len()).expect("the compiler limits a match set"),
        ..MatchSet::default()
    };
    for (entry, index) in policies.iter().enumerate() {
        let policy = &ruleset.policies[usize::from(*index)];
        set.entries[entry] = MatchEntry {
            policy: slots[usize::from(*index)],
            scope: policy.scope,
        };
        let bit = 1 << entry;
        match policy.action.strength() {
            Strength::Exempts => set.allows |= bit,
            Strength::Blocks => set.drops |= bit,
            Strength::Observes => {}
        }
        if policy.action.answers() {
            set.rejects |= bit;
        }
        if policy.allows_handshake {
            set.handshakes |= bit;
            set.needs |= NEEDS_SEGMENT;
        }
        if policy.scope == 0 {
            set.unscoped |= bit;
        }
        if policy.evidence.min(evidence) >= EvidenceLevel::Flows {
            set.flows |= bit;
        }
        if policy.evidence.min(evidence) >= EvidenceLevel::Names {
            set.names |= bit;
        }
        set.needs |= needs(&ruleset.scopes.scopes[usize::from(policy.scope)]);
    }
    set
}

/// Flags `NEEDS_*` for what the kernel program must read from a packet to test
/// `scope`.
fn needs(scope: &Scope) -> u32 {
    let mut needs = 0;
    for device in scope.devices.iter().chain(&scope.except_devices) {
        needs |= match device {
            Device::Mac(_) => NEEDS_MAC,
            Device::Ipv4(_) | Device::Ipv6(_) => NEEDS_SOURCE,
            // The interface is a constant of each program.
            Device::Interface(_) => 0,
        };
    }
    if !scope.services.is_empty() {
        needs |= NEEDS_SERVICE;
    }
    if scope.is_everything() {
        return 0;
    }
    needs | NEEDS_SCOPES
}

/// Constants of the program of one interface.
pub(super) fn constants(
    ruleset: &Ruleset,
    shape: &Shape,
    (interface, slot): (&str, u32),
    examines: Instance,
    log_packets: bool,
) -> Constants {
    let scopes = &ruleset.scopes;
    Constants {
        interface_slot: slot,
        examines,
        has_ipv4: !ruleset.ipv4.is_empty(),
        has_ipv6: !ruleset.ipv6.is_empty(),
        has_drops: has_any(ruleset, Action::blocks),
        has_rejects: has_any(ruleset, Action::answers),
        answer_ticks: 0,
        ipv4: shape.ipv4,
        ipv6: shape.ipv6,
        longest_set: longest_set(ruleset),
        needs: needs_of_all(ruleset, examines),
        class_words: u32::try_from(scopes.words()).expect("there are fewer scopes than policies"),
        interface_class: if examines.shows_device() {
            scopes.interface_class(interface)
        } else {
            scopes.wan_class(interface)
        },
        no_service_class: scopes.no_service,
        deadline: 0,
        log_packets,
        generation: 0,
        flows: None,
        samples: false,
        replay: false,
        frags: false,
        capture: CAPTURE_OFF,
        capture_slot: CAPTURE_NO_SLOT,
    }
}

/// Flags `NEEDS_*` of all policies. Where frames do not show the device, neither MACs nor
/// addresses of devices are looked up.
fn needs_of_all(ruleset: &Ruleset, examines: Instance) -> u32 {
    let needs = ruleset.scopes.scopes.iter().map(needs);
    let needs = needs.fold(needs_segment(ruleset), |all, one| all | one);
    if examines.shows_device() {
        needs
    } else {
        needs & !(NEEDS_MAC | NEEDS_SOURCE)
    }
}

/// `NEEDS_SEGMENT` if a policy allows the handshake, else 0.
fn needs_segment(ruleset: &Ruleset) -> u32 {
    let mut policies = ruleset.policies.iter();
    if policies.any(|policy| policy.allows_handshake) {
        NEEDS_SEGMENT
    } else {
        0
    }
}

/// True if a policy with such an action covers an address.
fn has_any(ruleset: &Ruleset, such: impl Fn(Action) -> bool) -> bool {
    let mut policies = ruleset.match_sets.iter().flatten();
    policies.any(|index| such(ruleset.policies[usize::from(*index)].action))
}

fn longest_set(ruleset: &Ruleset) -> u32 {
    let longest = ruleset.match_sets.iter().map(Vec::len).max();
    u32::try_from(longest.unwrap_or(0)).expect("the compiler limits the match sets")
}

/// Number of entries of each map of the scopes. The kernel refuses a map with 0
/// entries, so an empty map gets 1 entry.
pub(super) fn sizes(scopes: &Scopes) -> [(&'static str, u32); 5] {
    let entries = |n: usize| u32::try_from(n.max(1)).expect("the compiler limits the scopes");
    [
        (ruleset::MACS, entries(scopes.macs.len())),
        (ruleset::SOURCES_V4, entries(scopes.ipv4.len())),
        (ruleset::SOURCES_V6, entries(scopes.ipv6.len())),
        (ruleset::SERVICES, entries(scopes.services.len())),
        (
            ruleset::CLASSES,
            entries(scopes.classes.len() * scopes.words()),
        ),
    ]
}

/// Fills and freezes the maps of the scopes.
pub(super) fn fill(object: &mut Ebpf, scopes: &Scopes) -> Result<(), Error> {
    let macs = scopes.macs.iter().map(|mac| {
        let MacAddress(octets) = mac.prefix.address();
        (u32::from(mac.prefix.length()), octets, mac.class)
    });
    fill_trie(object, ruleset::MACS, macs)?;
    let ipv4 = networks(&scopes.ipv4, Ipv4Addr::octets);
    fill_trie(object, ruleset::SOURCES_V4, ipv4)?;
    let ipv6 = networks(&scopes.ipv6, Ipv6Addr::octets);
    fill_trie(object, ruleset::SOURCES_V6, ipv6)?;
    let services = networks(&scopes.services, Ipv4Addr::octets);
    fill_trie::<[u8; SERVICE_KEY_BYTES]>(object, ruleset::SERVICES, services)?;
    let words: Vec<_> = scopes.classes.iter().flatten().copied().collect();
    maps::fill(object, ruleset::CLASSES, &words)
}

/// Length in bits, octets and class of each network.
fn networks<A: Address, K>(
    networks: &[Classified<Network<A>>],
    octets: impl Fn(&A) -> K,
) -> impl Iterator<Item = (u32, K, ClassId)> {
    networks.iter().map(move |source| {
        let network = source.prefix;
        let octets = octets(&network.address());
        (u32::from(network.length()), octets, source.class)
    })
}

fn fill_trie<K: Pod>(
    object: &mut Ebpf,
    name: &'static str,
    prefixes: impl Iterator<Item = (u32, K, ClassId)>,
) -> Result<(), Error> {
    let mut trie: lpm_trie::LpmTrie<&mut MapData, K, u32> = maps::borrow(object, name)?;
    for (length, octets, class) in prefixes {
        let key = lpm_trie::Key::new(length, octets);
        trie.insert(&key, &class, 0).map_err(write(name))?;
    }
    freeze(object, name)
}
