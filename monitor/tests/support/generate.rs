//! Random rulesets, and packets that fall on the edges of their prefixes.
//! Equal seeds give equal results.

use std::{env, fmt::Write as _};

use monitor::policy::Action;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    packets::{self, Builder, EXTENSIONS, Fragment, TPIDS, Transport},
    reference::{Block, Entry, Policy, address, number, width},
};

/// Where `MONITOR_TEST_SEED` is not set: the same run everywhere.
const DEFAULT_SEED: u64 = 42_62_48;

/// A generator from `MONITOR_TEST_SEED`; prints the seed, so that a failure can
/// be seen again.
pub(crate) fn generator() -> StdRng {
    let seed = env::var("MONITOR_TEST_SEED").map_or(DEFAULT_SEED, |seed| {
        seed.parse()
            .unwrap_or_else(|error| panic!("MONITOR_TEST_SEED={seed}: {error}"))
    });
    println!("MONITOR_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// How large a ruleset becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// At most 32, so that no address is covered by more than the limit.
    pub(crate) policies: usize,
    /// Most entries of one policy.
    pub(crate) entries: usize,
}

/// Policies whose prefixes nest, repeat and touch each other, within one policy
/// and between policies.
pub(crate) fn ruleset(random: &mut StdRng, size: Size) -> Vec<Policy> {
    let mut blocks = Vec::new();
    (0..size.policies)
        .map(|index| Policy {
            name: format!("policy-{index:02}"),
            action: *[Action::Allow, Action::Drop, Action::Count]
                .choose(random)
                .unwrap(),
            entries: (0..random.random_range(1..=size.entries))
                .map(|_| entry(random, &mut blocks))
                .collect(),
        })
        .collect()
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

/// A new block, or one that has to do with an earlier one.
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

/// Lengths at the ends and at the strides of tries come up more often.
fn any_block(random: &mut StdRng) -> Block {
    let ipv4 = random.random_bool(0.5);
    let lengths: &[u32] = if ipv4 {
        &[0, 1, 8, 15, 16, 17, 23, 24, 25, 31, 32]
    } else {
        &[0, 1, 16, 31, 32, 33, 47, 48, 56, 63, 64, 65, 127, 128]
    };
    let length = if random.random_bool(0.7) {
        *lengths.choose(random).unwrap()
    } else {
        random.random_range(8..=if ipv4 { 32 } else { 128 })
    };
    block_of(address(ipv4, random.random()), length)
}

/// A longer prefix inside `outer`, which must not be full length.
fn block_inside(random: &mut StdRng, outer: Block) -> Block {
    let width = width(outer.address);
    let length = if random.random_bool(0.5) {
        random.random_range(outer.length + 1..=(outer.length + 8).min(width))
    } else {
        random.random_range(outer.length + 1..=width)
    };
    block_of(address_inside(random, outer), length)
}

/// The other half of the block one bit shorter.
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

/// The policies as a policy file has them.
pub(crate) fn to_yaml(policies: &[Policy]) -> String {
    let mut yaml = "version: 1\npolicies:\n".to_owned();
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
    }
    yaml
}

/// An address that is likely to be on one side or the other of an edge.
pub(crate) fn destination(random: &mut StdRng, policies: &[Policy]) -> std::net::IpAddr {
    let entries = policies.iter().flat_map(|policy| &policy.entries);
    let blocks: Vec<Block> = entries
        .flat_map(|entry| entry.except.iter().chain([&entry.block]))
        .copied()
        .collect();
    let Some(&block) = blocks.choose(random) else {
        return address(random.random(), random.random());
    };
    let ipv4 = block.address.is_ipv4();
    let (first, last) = (number(block.first()), number(block.last()));
    match random.random_range(0..6) {
        0 => block.first(),
        1 => block.last(),
        2 => address(ipv4, first.wrapping_sub(1)),
        3 => address(ipv4, last.wrapping_add(1)),
        4 => address_inside(random, block),
        _ => address(ipv4, random.random()),
    }
}

/// A frame to such an address; about half are plain, the others tagged, in a
/// session, fragmented, with options, cut short or damaged.
pub(crate) fn frame(random: &mut StdRng, policies: &[Policy]) -> Vec<u8> {
    let destination = destination(random, policies);
    let packet = Builder::new(destination)
        .source([2, 0, 0, 0, 0, random.random_range(0..4)])
        .transport(transport(random))
        .payload(&vec![0x5a; random.random_range(0..64)]);
    if random.random_bool(0.5) {
        return packet.build();
    }
    let mut frame = embellished(random, packet).build();
    match random.random_range(0..4) {
        0 => frame.truncate(random.random_range(0..=frame.len())),
        1 => damage(random, &mut frame),
        _ => {}
    }
    frame
}

fn transport(random: &mut StdRng) -> Transport {
    match random.random_range(0..4) {
        0 => Transport::Tcp(443),
        1 => Transport::Udp(443),
        2 => Transport::EchoRequest,
        _ => Transport::Other(random.random()),
    }
}

fn embellished(random: &mut StdRng, mut packet: Builder) -> Builder {
    if random.random_bool(0.5) {
        let tags: Vec<u16> = (0..random.random_range(1..=6))
            .map(|_| *TPIDS.choose(random).unwrap())
            .collect();
        packet = packet.tags(&tags);
    }
    if random.random_bool(0.2) {
        packet = packet.pppoe();
    }
    if random.random_bool(0.3) {
        let extensions: Vec<u8> = (0..random.random_range(1..=4))
            .map(|_| *EXTENSIONS.choose(random).unwrap())
            .collect();
        packet = packet
            .extensions(&extensions)
            .options(random.random_range(0..=10));
    }
    match random.random_range(0..6) {
        0 => packet.fragment(Fragment::First),
        1 => packet.fragment(Fragment::Later(random.random_range(1..8192))),
        _ => packet,
    }
}

/// Changes up to three bytes, where headers are rather than behind them.
fn damage(random: &mut StdRng, frame: &mut [u8]) {
    let reach = frame.len().min(packets::ETHERNET_HEADER + 4 * 4 + 8 + 40);
    for _ in 0..random.random_range(1..=3) {
        let at = random.random_range(0..reach);
        frame[at] = random.random();
    }
}
