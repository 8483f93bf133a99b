//! Random frames to addresses at the edges of a ruleset's prefixes.

use std::net::IpAddr;

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    super::{
        packets::{self, Builder, EXTENSIONS, Fragment, TPIDS, Transport},
        reference::{Block, Policy, address, number},
    },
    PORTS, address_inside, carrier,
};

/// An address that is often just inside or just outside a prefix.
pub(crate) fn destination(random: &mut StdRng, policies: &[Policy]) -> IpAddr {
    let near = near_an_edge(random, policies);
    let own = policies.iter().find_map(|policy| policy.derive);
    if near.is_ipv4() && random.random_bool(0.4) {
        return carrier(random, near, own.unwrap_or_default());
    }
    near
}

fn near_an_edge(random: &mut StdRng, policies: &[Policy]) -> IpAddr {
    let entries = policies.iter().flat_map(|policy| &policy.entries);
    let excepted = policies.iter().flat_map(|policy| &policy.change.except);
    let blocks: Vec<Block> = entries
        .flat_map(|entry| entry.except.iter().chain([&entry.block]))
        .chain(excepted)
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

/// A frame to such an address. About half are plain; the others are tagged, in
/// a PPPoE session, fragmented, with options, truncated or damaged.
pub(crate) fn frame(random: &mut StdRng, policies: &[Policy]) -> Vec<u8> {
    let destination = destination(random, policies);
    let packet = Builder::new(destination)
        .source([2, 0, 0, 0, 0, random.random_range(0..4)])
        .host(random.random_range(0..4))
        .transport(transport(random))
        .payload(&payload(random));
    if random.random_bool(0.5) {
        return packet.build();
    }
    let mut frame = embellished(random, packet).build();
    match random.random_range(0..4) {
        0 => frame.truncate(random.random_range(0..=frame.len())),
        1 => damage(random, &mut frame),
        2 => frame.resize(frame.len() + random.random_range(0..8), 0),
        _ => {}
    }
    frame
}

/// Often empty, as in the packets that open a TCP connection.
fn payload(random: &mut StdRng) -> Vec<u8> {
    let length = if random.random_bool(0.5) {
        0
    } else {
        random.random_range(0..64)
    };
    vec![0x5a; length]
}

fn transport(random: &mut StdRng) -> Transport {
    match random.random_range(0..4) {
        0 => Transport::Tcp(port(random)),
        1 => Transport::Udp(port(random)),
        2 => Transport::EchoRequest,
        _ => Transport::Other(random.random()),
    }
}

/// A port that policies use, or a port beside one.
fn port(random: &mut StdRng) -> u16 {
    let port: u16 = *PORTS.choose(random).unwrap();
    port.wrapping_add(random.random_range(0..3)).wrapping_sub(1)
}

fn embellished(random: &mut StdRng, mut packet: Builder) -> Builder {
    if random.random_bool(0.5) {
        // Some stacks are deeper than the parser reads.
        let depth = if random.random_bool(0.1) {
            random.random_range(27..=40)
        } else {
            random.random_range(1..=6)
        };
        let tags: Vec<u16> = (0..depth).map(|_| *TPIDS.choose(random).unwrap()).collect();
        packet = packet.tags(&tags);
    }
    if random.random_bool(0.2) {
        packet = packet.pppoe();
    }
    if random.random_bool(0.3) {
        let most = if random.random_bool(0.2) { 20 } else { 4 };
        let extensions: Vec<u8> = (0..random.random_range(1..=most))
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

/// Changes up to three bytes of the headers. Often changes the `EtherType`, or
/// the first byte of an untagged packet (its IP version).
fn damage(random: &mut StdRng, frame: &mut [u8]) {
    let headers = packets::ETHERNET_HEADER + 4 * 4 + 8 + 40;
    for _ in 0..random.random_range(1..=3) {
        let at = if random.random_bool(0.3) {
            random.random_range(12..=14)
        } else {
            random.random_range(0..frame.len().min(headers))
        };
        frame[at] = random.random();
    }
}
