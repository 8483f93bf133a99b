//! Tests of the frame builder and of the generator of rulesets.

use crate::support;

use std::{collections::BTreeSet, net::IpAddr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use monitor_common::Reason;
use rand::{SeedableRng as _, rngs::StdRng};
use support::{
    generate::{self, Size},
    packets::{Transport, to},
    reference::{Block, Entry, Family, Model, Verdict},
};

const V4: &str = "42.62.48.7";
const V6: &str = "2001:db8:42::7";

/// An independent parser reads the requested values from a built frame.
#[test]
fn built_packets_are_whole() {
    for destination in [V4, V6] {
        for transport in [
            Transport::Tcp(443),
            Transport::Udp(443),
            Transport::EchoRequest,
        ] {
            let builder = to(destination)
                .transport(transport)
                .extensions(&[0, 43, 60])
                .options(3);
            let frame = builder.tags(&[0x88a8, 0x8100]).payload(b"payload").build();
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            let found = match packet.net.unwrap() {
                NetSlice::Ipv4(ip) => IpAddr::V4(ip.header().destination_addr()),
                NetSlice::Ipv6(ip) => IpAddr::V6(ip.header().destination_addr()),
                NetSlice::Arp(_) => panic!("ARP"),
            };
            assert_eq!(found, destination.parse::<IpAddr>().unwrap());
            let payload = match packet.transport.unwrap() {
                TransportSlice::Tcp(tcp) => (Transport::Tcp(tcp.destination_port()), tcp.payload()),
                TransportSlice::Udp(udp) => (Transport::Udp(udp.destination_port()), udp.payload()),
                TransportSlice::Icmpv4(icmp) => (Transport::EchoRequest, icmp.payload()),
                TransportSlice::Icmpv6(icmp) => (Transport::EchoRequest, icmp.payload()),
                TransportSlice::Igmp(_) => panic!("IGMP"),
            };
            assert_eq!(payload, (transport, &b"payload"[..]));
        }
    }
}

const SIZE: Size = Size {
    policies: 12,
    entries: 12,
    scopes: true,
};

#[test]
fn equal_seeds_give_equal_rulesets_and_frames() {
    let make = |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let policies = generate::ruleset(&mut random, SIZE);
        let frames: Vec<_> = (0..100)
            .map(|_| generate::frames::frame(&mut random, &policies))
            .collect();
        (policies, frames)
    };
    assert_eq!(make(7), make(7));
    assert_ne!(make(7), make(8));
}

#[test]
fn generated_rulesets_have_entries_inside_holes_beside_and_the_same() {
    let mut random = generate::generator();
    for _ in 0..20 {
        let policies = generate::ruleset(&mut random, SIZE);
        let entries: Vec<&Entry> = policies.iter().flat_map(|policy| &policy.entries).collect();
        assert!(entries.iter().all(|entry| {
            let inside = |hole: &Block| {
                hole.length > entry.block.length && entry.block.contains(hole.address)
            };
            entry.block.first() == entry.block.address && entry.except.iter().all(inside)
        }));
        let blocks: Vec<Block> = entries.iter().map(|entry| entry.block).collect();
        let nested = |outer: &Block| {
            blocks
                .iter()
                .any(|inner| inner.length > outer.length && outer.contains(inner.address))
        };
        assert!(blocks.iter().any(nested));
        assert!(blocks.iter().collect::<BTreeSet<_>>().len() < blocks.len());
        assert!(entries.iter().any(|entry| !entry.except.is_empty()));
        let yaml = generate::to_yaml(&policies);
        assert!(
            blocks
                .iter()
                .all(|block| yaml.contains(&format!("{{cidr: \"{block}\", except: [")))
        );
    }
}

/// The generator reaches every outcome often enough for a useful test.
#[test]
fn generated_frames_reach_every_outcome() {
    let mut random = generate::generator();
    let mut model = Model::new(Vec::new());
    for _ in 0..40 {
        let policies = generate::ruleset(&mut random, SIZE);
        model.replace_policies(policies.clone());
        for _ in 0..500 {
            let frame = generate::frames::frame(&mut random, &policies);
            model.receive("br-lan", &frame, frame.len() as u64);
        }
    }
    let families = [Family::Ipv4, Family::Ipv6];
    let parsed = families.iter().flat_map(|&family| {
        [
            (Verdict::Passed, family, 300),
            (Verdict::Dropped, family, 300),
        ]
    });
    let packets = |verdict, family| {
        let cell = (model.cells.interfaces).get(&("br-lan".to_owned(), verdict, family));
        cell.map_or(0, |total| total.packets)
    };
    for (verdict, family, least) in parsed {
        let packets = packets(verdict, family);
        assert!(packets >= least, "{verdict:?} {family:?}: {packets}");
    }
    for reason in Reason::ALL {
        let [gone_on, dropped] = [Verdict::Passed, Verdict::Dropped]
            .map(|verdict| packets(verdict, Family::Other(reason)));
        assert!(gone_on + dropped >= 10, "{reason:?}: {gone_on} + {dropped}");
    }
}
