//! Random rulesets, and in `frames.rs` packets at the edges of their prefixes. The
//! same seed gives the same result.

pub(crate) mod frames;

use std::{env, fmt::Write as _};

use monitor::policy::{Action, MacAddress};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    reference::{Block, Change, Entry, Policy, address, nat64_octets, number, width},
    scope::{Device, Scope, Service},
};

/// Seed if `MONITOR_TEST_SEED` is not set, so that all machines run the same
/// test.
const DEFAULT_SEED: u64 = 42_62_48;

/// A generator with the seed `MONITOR_TEST_SEED`. Prints the seed, so that a
/// failure can be repeated.
pub(crate) fn generator() -> StdRng {
    let seed = env::var("MONITOR_TEST_SEED").map_or(DEFAULT_SEED, |seed| {
        seed.parse()
            .unwrap_or_else(|error| panic!("MONITOR_TEST_SEED={seed}: {error}"))
    });
    println!("MONITOR_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Limits on the size of a ruleset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Number of policies. At most 32, so that an address is never covered by
    /// more policies than the limit.
    pub(crate) policies: usize,
    /// Largest number of entries in one policy.
    pub(crate) entries: usize,
    /// True if policies may have conditions on devices, interfaces or services.
    pub(crate) scopes: bool,
}

/// Policies whose prefixes are nested, equal or adjacent, within one policy and
/// between policies.
pub(crate) fn ruleset(random: &mut StdRng, size: Size) -> Vec<Policy> {
    let mut blocks = Vec::new();
    // Under the last four prefixes, each IPv4 entry becomes 256 IPv6 prefixes.
    let few = size.policies * size.entries <= 64;
    let sets = if few { &NAT64[..] } else { &NAT64[..3] };
    let own = sets.choose(random).copied().unwrap();
    (0..size.policies)
        .map(|index| {
            let action = *ACTIONS.choose(random).unwrap();
            Policy {
                name: format!("policy-{index:02}"),
                action,
                allow_handshake: action.blocks() && random.random_bool(0.5),
                entries: (0..random.random_range(1..=size.entries))
                    .map(|_| entry(random, &mut blocks))
                    .collect(),
                scope: if size.scopes {
                    scope(random)
                } else {
                    Scope::default()
                },
                derive: random.random_bool(0.8).then_some(own),
                change: Change::default(),
            }
        })
        .collect()
}

const ACTIONS: [Action; 4] = [Action::Allow, Action::Drop, Action::Reject, Action::Count];

/// NAT64 prefixes that a network may have.
const NAT64: [&[&str]; 7] = [
    &[],
    &["3fff:96::/96"],
    &["3fff:32::/32", "3fff:32:96::/96"],
    &["3fff:40:4000::/40"],
    &["3fff:48:48::/48"],
    &["3fff:56:56:5600::/56"],
    &["3fff:64:64:64::/64"],
];

/// Adds changes by an overlay or a command to about a third of the policies.
pub(crate) fn change(random: &mut StdRng, policies: &mut [Policy]) {
    for policy in policies {
        if random.random_bool(0.67) {
            continue;
        }
        policy.change = Change {
            disabled: random.random_bool(0.2),
            action: ACTIONS.choose(random).copied().filter(|_| random.random()),
            except: (0..random.random_range(0..=2))
                .filter_map(|_| {
                    let block = policy.entries.choose(random)?.block;
                    small_part(random, block)
                })
                .collect(),
            paused: random.random_bool(0.4).then(|| {
                let devices = random.random_range(0..=2);
                (0..devices).map(|_| device(random)).collect()
            }),
        };
    }
}

/// A block of at most 1/32 of `block`, so that two of them and the holes do not
/// cover it.
fn small_part(random: &mut StdRng, block: Block) -> Option<Block> {
    let width = width(block.address);
    let length = random.random_range((block.length + 5).min(width)..=width);
    (length >= block.length + 5).then(|| block_of(address_inside(random, block), length))
}

/// Conditions on the few hosts, interfaces and ports that the frames use.
fn scope(random: &mut StdRng) -> Scope {
    fn some<T>(random: &mut StdRng, share: f64, one: fn(&mut StdRng) -> T) -> Vec<T> {
        if !random.random_bool(share) {
            return Vec::new();
        }
        (0..random.random_range(1..=4))
            .map(|_| one(random))
            .collect()
    }
    Scope {
        devices: some(random, 0.4, device),
        except_devices: some(random, 0.3, device),
        interfaces: some(random, 0.2, |random| {
            INTERFACES.choose(random).unwrap().to_string()
        }),
        services: some(random, 0.4, service),
    }
}

const INTERFACES: [&str; 3] = ["wlan0", "wlan1", "br-lan"];
const PORTS: [u16; 6] = [0, 53, 443, 8000, 8003, 65535];

fn device(random: &mut StdRng) -> Device {
    let mut mac = [2, 0, 0, 0, 0, random.random_range(0..4)];
    match random.random_range(0..6) {
        0 | 1 => Device::Mac(MacAddress(mac), 48),
        2 => {
            let length = random.random_range(1..48);
            mac[5] &= u8::MAX.checked_shl(48 - length).unwrap_or(0);
            // Bits beyond the last byte are zero, but for the first byte's.
            if length < 7 {
                mac[0] = 0;
            }
            Device::Mac(MacAddress(mac), length)
        }
        3 => Device::Interface(INTERFACES.choose(random).unwrap().to_string()),
        _ => {
            let hosts = 4_u128;
            let ipv4 = random.random_bool(0.5);
            let host = random.random_range(0..hosts);
            let base: std::net::IpAddr = if ipv4 {
                "192.168.50.0".parse().unwrap()
            } else {
                "2001:db8:50::".parse().unwrap()
            };
            let short = random.random_range(0..=3);
            block_of_device(address(ipv4, number(base) + host), width(base) - short)
        }
    }
}

fn block_of_device(address: std::net::IpAddr, length: u32) -> Device {
    Device::Address(block_of(address, length))
}

fn service(random: &mut StdRng) -> Service {
    let (a, b) = (
        *PORTS.choose(random).unwrap(),
        *PORTS.choose(random).unwrap(),
    );
    let (first, last) = (a.min(b), a.max(b));
    match random.random_range(0..5) {
        0 => Service::Icmp,
        1 => Service::Tcp(a, a),
        2 => Service::Udp(a, a),
        3 => Service::Tcp(first, last),
        _ => Service::Udp(first, last),
    }
}

fn entry(random: &mut StdRng, blocks: &mut Vec<Block>) -> Entry {
    let block = related_block(random, blocks);
    blocks.push(block);
    let holes = match random.random_range(0..4) {
        0 if block.length < width(block.address) => random.random_range(1..=3),
        _ => 0,
    };
    let except: Vec<Block> = (0..holes).map(|_| block_inside(random, block)).collect();
    blocks.extend(&except);
    Entry { block, except }
}

/// A new block, or a block that is related to an earlier one.
fn related_block(random: &mut StdRng, blocks: &[Block]) -> Block {
    let Some(&earlier) = blocks.choose(random) else {
        return any_block(random);
    };
    match random.random_range(0..6) {
        0 | 1 => any_block(random),
        2 => earlier,
        3 => neighbour(earlier),
        _ if earlier.length < width(earlier.address) => block_inside(random, earlier),
        _ => earlier,
    }
}

/// A random block. Lengths at the strides of tries are more likely. Blocks of
/// half an address family or more are rare: an `allow` of that size would hide
/// all other policies.
fn any_block(random: &mut StdRng) -> Block {
    let ipv4 = random.random_bool(0.5);
    if !ipv4 && random.random_bool(0.1) {
        return block_of_carriers(random);
    }
    let lengths: &[u32] = if ipv4 {
        &[8, 15, 16, 17, 23, 24, 25, 31, 32]
    } else {
        &[16, 31, 32, 33, 47, 48, 56, 63, 64, 65, 127, 128]
    };
    let length = if random.random_ratio(1, 60) {
        random.random_range(0..8)
    } else if random.random_bool(0.7) {
        *lengths.choose(random).unwrap()
    } else {
        random.random_range(8..=if ipv4 { 32 } else { 128 })
    };
    block_of(address(ipv4, random.random()), length)
}

/// An IPv6 block that covers, or lies inside, addresses that embed IPv4
/// addresses. IPv4-mapped ones are left out, because a policy file cannot
/// contain them.
fn block_of_carriers(random: &mut StdRng) -> Block {
    let known = ["64:ff9b::/96", "2002::/16"].into_iter();
    let all: Vec<&str> = known.chain(NAT64.into_iter().flatten().copied()).collect();
    let prefix: Block = all.choose(random).unwrap().parse().unwrap();
    let length = (prefix.length + random.random_range(0..40)).saturating_sub(8);
    block_of(address_inside(random, prefix), length.clamp(16, 128))
}

/// An IPv6 address that embeds `ipv4`; its other bits are random.
fn carrier(random: &mut StdRng, ipv4: std::net::IpAddr, own: &[&str]) -> std::net::IpAddr {
    let known = ["64:ff9b::/96", "::ffff:0:0/96", "2002::/16"];
    let all: Vec<&str> = known.iter().chain(own).copied().collect();
    let prefix: Block = all.choose(random).unwrap().parse().unwrap();
    let at = match prefix.length {
        16 => [2, 3, 4, 5],
        length => nat64_octets(length),
    };
    let mut octets = number(address_inside(random, prefix)).to_be_bytes();
    let carried = u32::try_from(number(ipv4)).unwrap().to_be_bytes();
    for (octet, value) in at.into_iter().zip(carried) {
        octets[octet] = value;
    }
    address(false, u128::from_be_bytes(octets))
}

/// A longer prefix inside `outer`, which must not be of full length.
fn block_inside(random: &mut StdRng, outer: Block) -> Block {
    let width = width(outer.address);
    let length = if random.random_bool(0.5) {
        random.random_range(outer.length + 1..=(outer.length + 8).min(width))
    } else {
        random.random_range(outer.length + 1..=width)
    };
    block_of(address_inside(random, outer), length)
}

/// The sibling of `block`: the other half of the enclosing block, which is one
/// bit shorter.
fn neighbour(block: Block) -> Block {
    let Some(host_bits) = width(block.address).checked_sub(block.length) else {
        return block;
    };
    let flipped = number(block.address) ^ 1_u128.checked_shl(host_bits).unwrap_or(0);
    block_of(address(block.address.is_ipv4(), flipped), block.length)
}

fn block_of(address: std::net::IpAddr, length: u32) -> Block {
    let block = Block { address, length };
    Block {
        address: block.first(),
        length,
    }
}

fn address_inside(random: &mut StdRng, block: Block) -> std::net::IpAddr {
    let (first, last) = (number(block.first()), number(block.last()));
    address(block.address.is_ipv4(), random.random_range(first..=last))
}

/// The policies in the notation of a policy file.
pub(crate) fn to_yaml(policies: &[Policy]) -> String {
    let mut yaml = "version: 1\ndevices:\n".to_owned();
    for name in INTERFACES {
        writeln!(yaml, "  on-{name}: {{interface: {name}}}").unwrap();
    }
    yaml.push_str("policies:\n");
    for policy in policies {
        let (name, action) = (&policy.name, policy.action);
        write!(
            yaml,
            "  - name: {name}\n    action: {action}\n    destinations:\n"
        )
        .unwrap();
        for Entry { block, except } in &policy.entries {
            let except: Vec<String> = except.iter().map(|hole| format!("\"{hole}\"")).collect();
            let except = except.join(", ");
            writeln!(yaml, "      - {{cidr: \"{block}\", except: [{except}]}}").unwrap();
        }
        let scope = &policy.scope;
        if policy.derive.is_none() {
            yaml.push_str("    derive: none\n");
        }
        if policy.allow_handshake {
            yaml.push_str("    allow_handshake: true\n");
        }
        write_sequence(&mut yaml, "devices", &scope.devices);
        write_sequence(&mut yaml, "except_devices", &scope.except_devices);
        write_sequence(&mut yaml, "interfaces", &scope.interfaces);
        write_sequence(&mut yaml, "services", &scope.services);
    }
    yaml
}

/// An overlay with the changes to the policies; `None` if there are none.
pub(crate) fn to_overlay(policies: &[Policy]) -> Option<String> {
    let mut yaml = "version: 1\noverrides:\n".to_owned();
    let changed = policies.iter().filter(|policy| {
        let Change {
            paused: _,
            ref disabled,
            action,
            ref except,
        } = policy.change;
        *disabled || action.is_some() || !except.is_empty()
    });
    let mut any = false;
    for policy in changed {
        let change = &policy.change;
        writeln!(yaml, "  - policy: {}", policy.name).unwrap();
        if change.disabled {
            yaml.push_str("    enabled: false\n");
        }
        if let Some(action) = change.action {
            writeln!(yaml, "    action: {action}").unwrap();
        }
        write_sequence(&mut yaml, "except", &change.except);
        any = true;
    }
    any.then_some(yaml)
}

fn write_sequence(yaml: &mut String, key: &str, items: &[impl ToString]) {
    if items.is_empty() {
        return;
    }
    let items: Vec<String> = items
        .iter()
        .map(|item| format!("\"{}\"", item.to_string()))
        .collect();
    writeln!(yaml, "    {key}: [{}]", items.join(", ")).unwrap();
}
