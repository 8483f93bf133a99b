//! Compares the lock-out guard with a model that tries packets.

use crate::support;

use std::{collections::BTreeSet, net::IpAddr};

use monitor::{
    guard::{Gateway, LanInterface, guard},
    policy::{Action, Files, MacAddress, load},
};
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use support::{
    generate::{generator, to_yaml},
    kernel::derivation,
    reference::{Block, Change, Entry, Packet, Policy, Verdict, address, decide, number},
    scope::{Device, Scope, Service},
};

/// Destinations that contain each other, the targets of a gateway and nothing of it.
const BLOCKS: [&str; 28] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.9.0.0/16",
    "10.9.0.1/32",
    "100.64.0.0/10",
    "114.114.0.0/16",
    "114.114.114.114/32",
    "127.0.0.0/8",
    "128.0.0.0/1",
    "169.254.0.0/16",
    "192.168.0.0/16",
    "192.168.1.0/24",
    "192.168.1.1/32",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "203.0.113.53/32",
    "224.0.0.0/4",
    "224.0.0.251/32",
    "255.255.255.255/32",
    "::/0",
    "2001:db8::/32",
    "2001:db8::53/128",
    "fd77::/64",
    "fd77::1/128",
    "fe80::/10",
    "ff02::/16",
    "64:ff9b::/96",
    "2002:cb00:7101::/48",
];
const INTERFACES: [&str; 2] = ["wlan0", "wlan1"];
const MACS: [u8; 4] = [1, 2, 3, 0x83];
const SENDERS: [&str; 6] = [
    "192.168.1.10",
    "192.168.1.11",
    "192.168.1.12",
    "192.168.1.200",
    "fd77::10",
    "fd77::99",
];
const SERVICES: [Option<(u8, u16)>; 13] = [
    None,
    Some((1, 0)),
    Some((6, 1)),
    Some((6, 53)),
    Some((6, 443)),
    Some((6, 1000)),
    Some((6, 1001)),
    Some((17, 50)),
    Some((17, 53)),
    Some((17, 67)),
    Some((17, 71)),
    Some((17, 547)),
    Some((17, 1)),
];
const RESOLVERS: [&str; 5] = [
    "114.114.114.114",
    "2001:db8::53",
    "192.168.1.1",
    "64:ff9b::203.0.113.53",
    "3fff:32:7272:7272::",
];
/// A NAT64 prefix; the address of a resolver embeds 114.114.114.114 under it.
const NAT64: [&str; 1] = ["3fff:32::/32"];
const DHCP: [(&str, u16); 2] = [("198.51.100.67", 67), ("fd77::1", 547)];
const OWN: [(&str, &[&str]); 2] = [
    ("wlan0", &["192.168.1.1", "fd77::1", "2002:cb00:7101::1"]),
    ("wlan1", &["10.9.0.1"]),
];

const RULESETS: usize = 400;

#[test]
fn the_guard_refuses_what_some_packet_would_run_into() {
    let mut random = generator();
    let (mut refused, mut fine) = (0, 0);
    for _ in 0..RULESETS {
        let policies = ruleset(&mut random);
        let yaml = to_yaml(&policies);
        let found = found(&yaml);
        let expected = expected(&policies);
        let missed: Vec<_> = expected.difference(&found).collect();
        assert!(missed.is_empty(), "not refused: {missed:?}\n{yaml}");
        // Two `allow` policies for different devices may exempt a target
        // together. The guard accepts only a single `allow` that holds for all
        // devices.
        let apart = |policy: &Policy| {
            policy.action == Action::Allow && !policy.scope.except_devices.is_empty()
        };
        if !policies.iter().any(apart) {
            assert_eq!(found, expected, "{yaml}");
        }
        refused += found.len();
        fine += usize::from(found.is_empty());
    }
    assert!(
        refused > RULESETS && fine > RULESETS / 20,
        "{refused} {fine}"
    );
}

/// Policy and risk.
type Refused = (String, &'static str);

fn found(yaml: &str) -> BTreeSet<Refused> {
    let loaded = load(&["p.yaml".into()], &OneFile(yaml));
    assert!(
        !loaded.diagnostics.has_errors(),
        "{}",
        loaded.diagnostics.render(false)
    );
    let gateway = Gateway {
        interfaces: OWN
            .map(|(name, addresses)| LanInterface {
                name: name.to_owned(),
                addresses: addresses.iter().map(|text| ip(text)).collect(),
            })
            .to_vec(),
        resolvers: RESOLVERS.map(ip).to_vec(),
        dhcp: DHCP.map(|(text, _)| ip(text)).to_vec(),
        derivation: derivation(&NAT64),
        ..Gateway::default()
    };
    let diagnostics = guard(&loaded.policies, &gateway, &loaded.texts);
    let each = diagnostics.errors().filter_map(|error| {
        let name = error.message().split('`').nth(1)?.to_owned();
        let risks = ["lan", "private"];
        let of = |risk: &&str| error.help().contains(&format!("accept_risk: [{risk}]"));
        Some((name, risks.into_iter().find(of)?))
    });
    each.collect()
}

struct OneFile<'a>(&'a str);

impl Files for OneFile<'_> {
    fn read(
        &self,
        _: &std::path::Path,
        _: monitor::regular_file::Purpose,
    ) -> std::io::Result<Vec<u8>> {
        Ok(self.0.as_bytes().to_vec())
    }

    fn is_directory(&self, _: &std::path::Path) -> bool {
        false
    }

    fn list(&self, _: &std::path::Path) -> std::io::Result<Vec<std::path::PathBuf>> {
        Ok(Vec::new())
    }
}

/// The expected refusals. Tries a packet of each kind to each address at which
/// the result may change.
fn expected(policies: &[Policy]) -> BTreeSet<Refused> {
    let mut refused = BTreeSet::new();
    for destination in destinations() {
        for interface in INTERFACES {
            for (mac, sender, service) in packets(destination) {
                let packet = Packet {
                    source: MacAddress([2, 0, 0, 0, 0, mac]),
                    sender,
                    destination,
                    service,
                    unreadable: false,
                    no_data: false,
                };
                let risks = risks(&packet, interface);
                if risks.is_empty() {
                    continue;
                }
                let (matched, verdict) = decide(policies, interface, &packet);
                if verdict == Verdict::Dropped {
                    let drops = matched.iter().map(|index| &policies[*index]);
                    for policy in drops.filter(|policy| policy.action.blocks()) {
                        let each = risks.iter().map(|risk| (policy.name.clone(), *risk));
                        refused.extend(each);
                    }
                }
            }
        }
    }
    refused
}

fn packets(destination: IpAddr) -> impl Iterator<Item = (u8, IpAddr, Option<(u8, u16)>)> {
    let senders = SENDERS.map(ip).into_iter();
    let senders = senders.filter(move |sender| sender.is_ipv4() == destination.is_ipv4());
    senders.flat_map(|sender| {
        MACS.into_iter()
            .flat_map(move |mac| SERVICES.map(|service| (mac, sender, service)))
    })
}

/// The risks of dropping such a packet.
fn risks(packet: &Packet, interface: &str) -> Vec<&'static str> {
    let to = packet.destination;
    let within = |blocks: &[&str]| blocks.iter().any(|text| block(text).contains(to));
    let own = OWN
        .iter()
        .any(|(name, addresses)| *name == interface && addresses.iter().any(|text| ip(text) == to));
    let asks = |ports: &[(u8, u16)]| {
        packet
            .service
            .is_some_and(|service| ports.contains(&service))
    };
    let resolver = RESOLVERS.iter().any(|text| ip(text) == to) && asks(&[(6, 53), (17, 53)]);
    let dhcp = DHCP
        .iter()
        .any(|(text, port)| ip(text) == to && asks(&[(17, *port)]));
    let needed = [
        "255.255.255.255/32",
        "224.0.0.0/4",
        "ff00::/8",
        "169.254.0.0/16",
        "fe80::/10",
        "127.0.0.0/8",
        "::1/128",
    ];
    let private = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "fc00::/7",
    ];
    let lan = own || resolver || dhcp || within(&needed);
    let risks = [("lan", lan), ("private", within(&private))];
    let run = risks.into_iter().filter(|(_, run)| *run);
    run.map(|(risk, _)| risk).collect()
}

/// The first and last address of each block and target, and their neighbours.
fn destinations() -> BTreeSet<IpAddr> {
    let targets = [
        "ff00::/8",
        "::1/128",
        "172.16.0.0/12",
        "fc00::/7",
        "198.51.100.67/32",
        "64:ff9b::203.0.113.53/128",
        "3fff:32:7272:7272::/128",
        "2002:cb00:7101::1/128",
    ];
    let blocks = BLOCKS.iter().chain(&targets).map(|text| block(text));
    let edges = blocks.flat_map(|block| {
        let ipv4 = block.address.is_ipv4();
        let (first, last) = (number(block.first()), number(block.last()));
        let beside = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
        beside.map(|number| address(ipv4, number))
    });
    edges.collect()
}

fn ruleset(random: &mut StdRng) -> Vec<Policy> {
    let count = random.random_range(1..=6);
    let policies = (0..count).map(|index| Policy {
        name: format!("p{index}"),
        action: *[Action::Allow, Action::Drop, Action::Reject]
            .choose(random)
            .expect("not empty"),
        entries: (0..random.random_range(1..=3))
            .map(|_| entry(random))
            .collect(),
        scope: scope(random),
        derive: if random.random_bool(0.8) {
            Some(&NAT64)
        } else {
            None
        },
        allow_handshake: false,
        change: Change::default(),
    });
    policies.collect()
}

fn entry(random: &mut StdRng) -> Entry {
    let outer = block(BLOCKS.choose(random).expect("not empty"));
    let inner = BLOCKS
        .iter()
        .map(|text| block(text))
        .filter(|inner| inner.length > outer.length && outer.contains(inner.address));
    let inner: Vec<Block> = inner.collect();
    let holes = random.random_range(0..=2);
    let except = (0..holes).filter_map(|_| inner.choose(random).copied());
    Entry {
        block: outer,
        except: except.collect(),
    }
}

fn scope(random: &mut StdRng) -> Scope {
    fn some<T>(random: &mut StdRng, share: f64, one: fn(&mut StdRng) -> T) -> Vec<T> {
        let count = if random.random_bool(share) {
            random.random_range(1..=3)
        } else {
            0
        };
        (0..count).map(|_| one(random)).collect()
    }
    Scope {
        devices: some(random, 0.3, device),
        except_devices: some(random, 0.15, device),
        interfaces: some(random, 0.2, |random| {
            (*INTERFACES.choose(random).expect("not empty")).to_owned()
        }),
        services: some(random, 0.3, service),
    }
}

fn device(random: &mut StdRng) -> Device {
    match random.random_range(0..7) {
        mac @ 0..3 => Device::Mac(MacAddress([2, 0, 0, 0, 0, mac + 1]), 48),
        3 => Device::Mac(MacAddress([2, 0, 0, 0, 0, 0]), 41),
        4 => Device::Interface((*INTERFACES.choose(random).expect("not empty")).to_owned()),
        5 => Device::Address(block(
            ["192.168.1.10/32", "fd77::10/128"]
                .choose(random)
                .expect("not empty"),
        )),
        _ => Device::Address(block("192.168.1.0/28")),
    }
}

fn service(random: &mut StdRng) -> Service {
    [
        Service::Icmp,
        Service::Tcp(53, 53),
        Service::Tcp(443, 443),
        Service::Tcp(1, 1000),
        Service::Udp(53, 53),
        Service::Udp(67, 67),
        Service::Udp(547, 547),
        Service::Udp(50, 70),
    ]
    .choose(random)
    .copied()
    .expect("not empty")
}

fn block(text: &str) -> Block {
    text.parse().expect("a block")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
