//! Frames that hide their destination from a careless filter. The kernel decides which of
//! them it delivers.

use std::net::{Ipv4Addr, Ipv6Addr};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const UDP: u8 = 17;
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
/// Flag of a fragment that is not the last one.
const MORE: u16 = 0x2000;

/// A destination in the internet, by IPv4 and by IPv6.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) ipv4: Ipv4Addr,
    pub(super) ipv6: Ipv6Addr,
}

/// A policy drops everything to it.
pub(super) const HIDDEN: Target = Target {
    ipv4: Ipv4Addr::new(198, 51, 100, 200),
    ipv6: Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0x20),
};
/// No policy drops it.
pub(super) const OPEN: Target = Target {
    ipv4: Ipv4Addr::new(192, 0, 2, 200),
    ipv6: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x20),
};

impl Target {
    /// The IPv6 address of the destination, and the IPv6 addresses that carry its IPv4 address.
    pub(super) fn all_ipv6(self) -> [Ipv6Addr; 3] {
        let [a, b, c, d] = self.ipv4.octets().map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        [
            self.ipv6,
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        ]
    }

    pub(super) fn is(self, address: std::net::IpAddr) -> bool {
        match address {
            std::net::IpAddr::V4(address) => address == self.ipv4,
            std::net::IpAddr::V6(address) => self.all_ipv6().contains(&address),
        }
    }
}

/// The addresses of a frame, and the number by which its packet is known again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    /// MAC of the gateway.
    pub(super) to: [u8; 6],
    /// MAC of the station.
    pub(super) from: [u8; 6],
    /// Identification of IPv4, flow label of IPv6.
    pub(super) marker: u16,
}

/// A way to hide a packet.
pub(super) struct Way {
    pub(super) name: String,
    /// True if every Linux delivers it.
    pub(super) must_arrive: bool,
    pub(super) frames: Vec<Vec<u8>>,
}

/// True for a way that the filter cannot read, and drops: it reads up to 28 tags.
pub(super) fn is_too_deep(name: &str) -> bool {
    ["29 tags ", "60 tags "]
        .iter()
        .any(|begin| name.starts_with(begin))
}

/// A plain datagram.
pub(super) fn plain(sender: Sender, target: Target) -> Vec<u8> {
    sender.frame(&[], IPV4, &sender.ipv4(target, &[], 0, &udp()))
}

/// Every way, to one destination.
pub(super) fn all(sender: Sender, target: Target) -> Vec<Way> {
    let mut ways = Vec::new();
    let mut add = |name: &str, must_arrive, frames| {
        ways.push(Way {
            name: name.to_owned(),
            must_arrive,
            frames,
        });
    };
    add("plain", true, vec![plain(sender, target)]);
    tags(sender, target, &mut add);
    sessions(sender, target, &mut add);
    ipv4_forms(sender, target, &mut add);
    ipv6_forms(sender, target, &mut add);
    for (name, to) in [
        ("broadcast", [0xff; 6]),
        ("multicast", [1, 0, 0x5e, 0, 0, 1]),
    ] {
        let frame = plain(Sender { to, ..sender }, target);
        add(&format!("to the {name} MAC"), false, vec![frame]);
    }
    ways
}

type Add<'a> = &'a mut dyn FnMut(&str, bool, Vec<Vec<u8>>);

/// Priority tags: Linux removes any number of them.
fn tags(sender: Sender, target: Target, add: Add<'_>) {
    let (ipv4, ipv6) = (
        sender.ipv4(target, &[], 0, &udp()),
        sender.ipv6(target.ipv6, UDP, &udp()),
    );
    for kind in [0x8100, 0x88a8] {
        for depth in [1, 2, 4, 5, 28, 29, 60] {
            let tags = vec![(kind, 0); depth];
            let name = format!("{depth} tags {kind:04x} of VLAN 0");
            // Linux 6.12 removes 60 tags and Linux 7.3 fewer than 28, both without a filter.
            let must_arrive = depth <= 5;
            add(&name, must_arrive, vec![sender.frame(&tags, IPV4, &ipv4)]);
            add(
                &format!("{name}, IPv6"),
                must_arrive,
                vec![sender.frame(&tags, IPV6, &ipv6)],
            );
        }
    }
    let mixed = [
        (0x88a8, 0),
        (0x8100, 0),
        (0x88a8, 0),
        (0x8100, 0),
        (0x8100, 0),
    ];
    add("mixed tags", true, vec![sender.frame(&mixed, IPV4, &ipv4)]);
    for (name, tag) in [
        ("VLAN 5", (0x8100, 5)),
        ("tag 9100", (0x9100, 0)),
        ("tag 9200", (0x9200, 0)),
    ] {
        add(name, false, vec![sender.frame(&[tag], IPV4, &ipv4)]);
    }
}

/// PPPoE sessions, and the lengths of 802.3 in place of a type.
fn sessions(sender: Sender, target: Target, add: Add<'_>) {
    let packet = sender.ipv4(target, &[], 0, &udp());
    for (name, version, code, protocol) in [
        ("a session", 0x11, 0, &[0, 0x21][..]),
        ("a session of version 2", 0x21, 0, &[0, 0x21]),
        ("a session with code 9", 0x11, 9, &[0, 0x21]),
        ("a session with a short protocol", 0x11, 0, &[0x21]),
        (
            "a session with address and control",
            0x11,
            0,
            &[0xff, 3, 0, 0x21],
        ),
        (
            "a session with multilink",
            0x11,
            0,
            &[0, 0x3d, 0xc0, 0, 0, 0, 0, 0x21],
        ),
    ] {
        let mut body = vec![version, code, 0, 1];
        body.extend(length(protocol.len() + packet.len()));
        body.extend(protocol);
        body.extend(&packet);
        add(name, false, vec![sender.frame(&[], 0x8864, &body)]);
        let behind = [(0x8100, 0); 5];
        add(
            &format!("{name} behind 5 tags"),
            false,
            vec![sender.frame(&behind, 0x8864, &body)],
        );
    }
    for (name, header) in [
        ("SNAP", &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..]),
        ("bridge-tunnel SNAP", &[0xaa, 0xaa, 3, 0, 0, 0xf8, 8, 0]),
        ("LLC", &[6, 6, 3]),
        ("a length for a type", &[]),
    ] {
        let body = [header, &packet].concat();
        let kind = u16::try_from(body.len()).unwrap_or_default();
        add(name, false, vec![sender.frame(&[], kind, &body)]);
    }
}

fn ipv4_forms(sender: Sender, target: Target, add: Add<'_>) {
    let frame = |packet: &[u8]| sender.frame(&[], IPV4, packet);
    for (name, options) in [
        ("4 bytes of options", &[1; 4][..]),
        ("40 bytes of options", &[1; 40]),
    ] {
        add(
            name,
            true,
            vec![frame(&sender.ipv4(target, options, 0, &udp()))],
        );
    }
    for kind in [131, 137] {
        let [a, b, c, d] = target.ipv4.octets();
        let route = [kind, 7, 4, a, b, c, d, 0];
        let gateway = Target {
            ipv4: Ipv4Addr::new(10, 77, 9, 1),
            ..target
        };
        let name = format!("source route {kind}");
        add(
            &name,
            false,
            vec![frame(&sender.ipv4(gateway, &route, 0, &udp()))],
        );
    }
    let pieces: Vec<_> = udp()
        .chunks(8)
        .zip(0_u16..)
        .map(|(piece, at)| {
            let more = if at < 2 { MORE } else { 0 };
            frame(&sender.ipv4(target, &[], more | at, piece))
        })
        .collect();
    add("three fragments", true, pieces.clone());
    add(
        "the last fragment first",
        true,
        pieces.into_iter().rev().collect(),
    );
    add(
        "a later fragment alone",
        true,
        vec![frame(&sender.ipv4(target, &[], 3, b"SOMEDATA"))],
    );
    let whole = sender.ipv4(target, &[], 0, &udp());
    add(
        "a trailer",
        true,
        vec![frame(&[&whole[..], &[0xee; 40]].concat())],
    );
    for (name, at, value) in [
        ("4 words of header", 0, 0x44),
        ("15 words of header", 0, 0x4f),
        ("version 6", 0, 0x65),
        ("a wrong checksum", 10, 0),
    ] {
        let mut packet = whole.clone();
        packet[at] = value;
        add(name, false, vec![frame(&packet)]);
    }
    add("IPv4 as IPv6", false, vec![sender.frame(&[], IPV6, &whole)]);
}

fn ipv6_forms(sender: Sender, target: Target, add: Add<'_>) {
    let frame = |packet: &[u8]| sender.frame(&[], IPV6, packet);
    for (name, address) in ["IPv6", "NAT64", "6to4"].into_iter().zip(target.all_ipv6()) {
        add(name, true, vec![frame(&sender.ipv6(address, UDP, &udp()))]);
    }
    for (name, first, headers) in [
        ("a hop-by-hop header", HOP_BY_HOP, 1),
        ("a header of options", DESTINATION_OPTIONS, 1),
        ("9 headers of options", DESTINATION_OPTIONS, 9),
        ("40 headers of options", DESTINATION_OPTIONS, 40),
    ] {
        let mut body = Vec::new();
        for number in 1..=headers {
            let next = if number == headers {
                UDP
            } else {
                DESTINATION_OPTIONS
            };
            body.extend([next, 0, 1, 4, 0, 0, 0, 0]);
        }
        body.extend(udp());
        add(
            name,
            true,
            vec![frame(&sender.ipv6(target.ipv6, first, &body))],
        );
    }
    let piece = |at: u16, more: u16, piece: &[u8]| {
        let mut body = vec![UDP, 0];
        body.extend((at << 3 | more).to_be_bytes());
        body.extend([0, 0]);
        body.extend(sender.marker.to_be_bytes());
        body.extend(piece);
        frame(&sender.ipv6(target.ipv6, FRAGMENT, &body))
    };
    let udp = udp();
    add("an atomic fragment", true, vec![piece(0, 0, &udp)]);
    add(
        "two fragments of IPv6",
        true,
        vec![piece(0, 1, &udp[..8]), piece(1, 0, &udp[8..])],
    );
    let whole = sender.ipv6(target.ipv6, UDP, &udp);
    add("IPv6 as IPv4", false, vec![sender.frame(&[], IPV4, &whole)]);
}

impl Sender {
    fn frame(&self, tags: &[(u16, u16)], kind: u16, body: &[u8]) -> Vec<u8> {
        let mut frame = [self.to, self.from].concat();
        for (protocol, control) in tags {
            frame.extend(protocol.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend(kind.to_be_bytes());
        frame.extend(body);
        frame
    }

    fn ipv4(&self, target: Target, options: &[u8], fragment: u16, body: &[u8]) -> Vec<u8> {
        let words = 5 + options.len() / 4;
        let mut packet = vec![0x40 | u8::try_from(words).unwrap_or_default(), 0];
        packet.extend(length(words * 4 + body.len()));
        packet.extend(self.marker.to_be_bytes());
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, UDP, 0, 0, 10, 77, 9, 50]);
        packet.extend(target.ipv4.octets());
        packet.extend(options);
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(body);
        packet
    }

    fn ipv6(&self, to: Ipv6Addr, next: u8, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0];
        packet.extend(self.marker.to_be_bytes());
        packet.extend(length(body.len()));
        packet.extend([next, 64]);
        packet.extend(Ipv6Addr::new(0xfd77, 9, 0, 0, 0, 0, 0, 0x50).octets());
        packet.extend(to.octets());
        packet.extend(body);
        packet
    }
}

/// A UDP datagram of 24 bytes, without a checksum: no router looks at it.
fn udp() -> Vec<u8> {
    let mut datagram = vec![0x0f, 0xa0, 0x01, 0xbb, 0, 24, 0, 0];
    datagram.extend(b"sixteen bytes.. ");
    datagram
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

/// The checksum of an IPv4 header (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let (words, _) = header.as_chunks();
    let words = words.iter().map(|word| u16::from_be_bytes(*word));
    let mut sum: u32 = words.map(u32::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}
