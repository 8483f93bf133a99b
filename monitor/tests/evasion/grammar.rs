//! Random cases, from all the layers that Linux parses before IP.

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::{
    case::{
        ALLOWED_PORT, BLOCKED_PORT, Case, Envelope, Extension, Family, Ip, Length, OPTION_TO_SKIP,
        OTHER_PORT, Piece, Place, PppProtocol, Session, Tag, Target, Trailer, Upper,
    },
    support::packets::{ARP, GATEWAY, IPV4, IPV6, TPIDS},
    wire::LONGEST,
};

/// Tag protocol identifiers that Linux strips (`eth_type_vlan`).
pub(crate) const STRIPPED: [u16; 2] = [0x8100, 0x88a8];

/// PPP protocols: link control, IPCP, VJ, multilink, compressed, IPX.
const PPP: [u16; 8] = [
    0xc021, 0x8021, 0x002d, 0x002f, 0x003d, 0x00fb, 0x00fd, 0x002b,
];

/// Types of frames that carry no IP: PPPoE discovery, EAPOL, LLDP, TDLS, loopback.
const CONTROL: [u16; 6] = [ARP, 0x8863, 0x888e, 0x88cc, 0x890d, 0x9000];

/// Extension headers that Linux walks, mobility, HIP and Shim6.
const EXTENSIONS: [u8; 7] = [0, 43, 51, 60, 135, 139, 140];

pub(crate) fn case(random: &mut StdRng) -> Case {
    let target = match random.random_range(0..100) {
        0..40 => Target::Dropped,
        40..65 => Target::Innocent,
        65..90 => Target::Service,
        _ => Target::AllowedService,
    };
    let place = if random.random_bool(0.6) {
        Place::Internet
    } else {
        Place::Gateway
    };
    let family = if random.random() {
        Family::Ipv4
    } else {
        Family::Ipv6
    };
    let mut case = Case::plain(target, place, family);
    case.to = to(random);
    case.from = from(random);
    case.upper = upper(random);
    case.payload = payload(random);
    // Few parts of a case are unusual at the same time, because a frame that
    // the kernel refuses shows nothing.
    if random.random_bool(0.4) {
        case.tags = tags(random);
    }
    if random.random_bool(0.15) {
        case.envelope = envelope(random);
    }
    if random.random_bool(0.2) {
        ip(random, &mut case.ip);
    }
    if family == Family::Ipv6 && random.random_bool(0.5) {
        case.chain = chain(random);
    }
    if random.random_bool(0.3) {
        case.pieces = pieces(random);
        case.before_fragment = *[0, 0, 0, 1, 2].choose(random).unwrap();
    }
    if random.random_bool(0.15) {
        case.trailer = trailer(random);
    }
    if random.random_bool(0.05) {
        case.cut = Some(random.random_range(14..120));
    }
    if random.random_bool(0.05) {
        hide_port(random, &mut case);
    }
    case
}

/// Puts the port into a later fragment, and perhaps another one behind the first.
fn hide_port(random: &mut StdRng, case: &mut Case) {
    case.family = Family::Ipv6;
    case.upper = Upper::Udp(BLOCKED_PORT);
    let headers = random.random_range(1..=4);
    case.chain = (0..headers).map(|_| extension(random, 60)).collect();
    case.pieces = pieces(random);
    case.before_fragment = random.random_range(0..2);
    case.trailer = trailer(random);
}

fn to(random: &mut StdRng) -> [u8; 6] {
    match random.random_range(0..20) {
        0 => [0xff; 6],
        1 => [0x01, 0x00, 0x5e, 0, 0, 1],
        2 => [0x33, 0x33, 0, 0, 0, 1],
        3 => [0x02, 0, 0, 0, 0, 0x99],
        4 => [0; 6],
        _ => GATEWAY,
    }
}

fn from(random: &mut StdRng) -> [u8; 6] {
    let mut made_up: [u8; 6] = random.random();
    match random.random_range(0..20) {
        0 => made_up[0] |= 1,
        1 => made_up = [0; 6],
        2 => made_up = GATEWAY,
        3..10 => made_up = crate::support::packets::PHONE,
        _ => made_up[0] &= 0xfe,
    }
    made_up
}

fn tags(random: &mut StdRng) -> Vec<Tag> {
    let depth = match random.random_range(0..20) {
        0..14 => random.random_range(1..=6),
        14..19 => random.random_range(7..=40),
        // As many tags as leave room for the headers.
        _ => (LONGEST - 100) / 4,
    };
    let priority_only = random.random_bool(0.7);
    let one = |random: &mut StdRng| {
        let priority = random.random::<u16>() & 0xf000;
        let vlan = *[0, 0, 0, 1, 5, 4095].choose(random).unwrap();
        Tag {
            protocol: *if priority_only { &STRIPPED[..] } else { &TPIDS }
                .choose(random)
                .unwrap(),
            control: priority | if priority_only { 0 } else { vlan },
        }
    };
    (0..depth).map(|_| one(random)).collect()
}

fn envelope(random: &mut StdRng) -> Envelope {
    match random.random_range(0..12) {
        0..6 => Envelope::Session(session(random)),
        6 => Envelope::Type(
            *[0, 0x0004, 0x0060, 0x6558, 0x8847, 0x88e5, IPV4, IPV6]
                .choose(random)
                .unwrap(),
        ),
        7 => Envelope::Length,
        // IP (RFC 948), SNAP without its header, and a spanning tree.
        8 => Envelope::Llc(
            *[[6, 6, 3], [0xaa, 0xaa, 3], [0x42, 0x42, 3]]
                .choose(random)
                .unwrap(),
        ),
        9 | 10 => {
            // RFC 1042 and bridge-tunnel encapsulation (IEEE 802.1H).
            let organisation = *[[0, 0, 0], [0, 0, 0xf8]].choose(random).unwrap();
            let kinds = [IPV4, IPV6, 0x8100, 0x88a8, 0x8864];
            Envelope::Snap(organisation, *kinds.choose(random).unwrap())
        }
        _ => Envelope::Control(*CONTROL.choose(random).unwrap()),
    }
}

fn session(random: &mut StdRng) -> Session {
    let odd = random.random_bool(0.5);
    Session {
        version_type: if odd { random.random() } else { 0x11 },
        code: if random.random_bool(0.2) {
            random.random()
        } else {
            0
        },
        id: *[0, 1, 0xffff].choose(random).unwrap(),
        length: length(random),
        protocol: match random.random_range(0..8) {
            0..3 => PppProtocol::Full,
            3..5 => PppProtocol::Short,
            5 => PppProtocol::Framed,
            6 => PppProtocol::Number(*PPP.choose(random).unwrap()),
            _ => PppProtocol::ShortNumber(*[0x2d, 0x2f, 0x3d, 0xfb, 0xfd].choose(random).unwrap()),
        },
    }
}

fn length(random: &mut StdRng) -> Length {
    match random.random_range(0..10) {
        0 => Length::Zero,
        1 | 2 => Length::Off(random.random_range(-40..=-1)),
        3 => Length::Off(random.random_range(1..=40)),
        _ => Length::Right,
    }
}

fn ip(random: &mut StdRng, ip: &mut Ip) {
    for _ in 0..random.random_range(1..=2) {
        match random.random_range(0..8) {
            0 => ip.version = Some(random.random_range(0..16)),
            1 => ip.words = Some(random.random_range(0..16)),
            2 => ip.length = length(random),
            3 | 4 => ip.options = options(random),
            5 => ip.flags = *[0x8000, 0x4000, 0xc000].choose(random).unwrap(),
            6 => ip.hops = *[0, 1, 2, 255].choose(random).unwrap(),
            _ if random.random() => ip.bad_checksum = true,
            // Loose and strict (RFC 791); type 0, mobility, RPL and segment routing.
            _ => ip.source_route = Some(*[131, 137, 0, 2, 3, 4].choose(random).unwrap()),
        }
    }
}

/// Padding, record route, timestamp, router alert, security, or anything.
fn options(random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..6) {
        0 => vec![1; random.random_range(1..=40)],
        1 => vec![7, 7, 4, 0, 0, 0, 0],
        2 => vec![68, 8, 5, 0, 0, 0, 0, 0],
        3 => vec![148, 4, 0, 0],
        4 => vec![0; 40],
        _ => {
            let mut bytes = vec![0; random.random_range(1..=40)];
            random.fill(&mut bytes[..]);
            bytes
        }
    }
}

fn chain(random: &mut StdRng) -> Vec<Extension> {
    let length = match random.random_range(0..10) {
        0..6 => random.random_range(1..=4),
        6..9 => random.random_range(5..=12),
        _ => random.random_range(13..=40),
    };
    let destination_options = random.random_bool(0.6);
    let one = |random: &mut StdRng| {
        let mut number = 60;
        if !destination_options {
            number = *EXTENSIONS.choose(random).unwrap();
        }
        extension(random, number)
    };
    let mut chain: Vec<Extension> = (0..length).map(|_| one(random)).collect();
    if random.random_bool(0.2) {
        // Hop-by-hop options count only right behind the fixed header.
        chain.insert(0, extension(random, 0));
    }
    if random.random_bool(0.1) {
        let at = random.random_range(0..=chain.len());
        chain.insert(at, fragment(random));
    }
    chain
}

fn extension(random: &mut StdRng, number: u8) -> Extension {
    let mut header = Extension::padding(number);
    let units = match random.random_range(0..10) {
        0 => random.random_range(1..=30),
        1 | 2 => 1,
        _ => 0,
    };
    header.body.resize(6 + 8 * units, 0);
    match number {
        // Routing type 0 to 4 without segments left.
        43 => header.body[..2].copy_from_slice(&[random.random_range(0..5), 0]),
        // A jumbo payload (RFC 2675), perhaps far too long.
        0 if random.random_bool(0.3) => {
            let length: u32 = *[40, 65_536, 70_000].choose(random).unwrap();
            header.body[..2].copy_from_slice(&[0xc2, 4]);
            header.body[2..6].copy_from_slice(&length.to_be_bytes());
        }
        _ if units > 0 => {
            // One option fills the whole body.
            let length = u8::try_from(header.body.len() - 2).unwrap();
            header.body[..2].copy_from_slice(&[OPTION_TO_SKIP, length]);
        }
        _ => {}
    }
    if random.random_bool(0.1) {
        header.claimed = Some(random.random_range(0..4));
    }
    header
}

/// A fragment header among the others, most of the time of a whole packet.
fn fragment(random: &mut StdRng) -> Extension {
    let field: u16 = *[0, 0, 0, 1, 8, 9].choose(random).unwrap();
    let [high, low] = field.to_be_bytes();
    let mut header = Extension::padding(44);
    header.body = vec![high, low, 0, 0, 0, 7];
    header.claimed = Some(0);
    header
}

fn pieces(random: &mut StdRng) -> Vec<Piece> {
    let piece = |from, to, more| Piece { from, to, more };
    let last = |from| piece(from, u16::MAX, false);
    let at = random.random_range(1..=4);
    let mut pieces = match random.random_range(0..10) {
        0 => vec![last(0)],
        1 => vec![piece(0, at, true)],
        2 => vec![last(at)],
        // Tiny ones.
        3 => {
            let tiny = (0..at).map(|from| piece(from, from + 1, true));
            tiny.chain([last(at)]).collect()
        }
        // Overlapping, and twice.
        4 => vec![piece(0, at, true), last(at - 1)],
        5 => vec![piece(0, at, true), piece(0, at, true), last(at)],
        _ => vec![piece(0, at, true), last(at)],
    };
    if random.random_bool(0.3) {
        pieces.reverse();
    }
    pieces
}

fn trailer(random: &mut StdRng) -> Trailer {
    match random.random_range(0..5) {
        0 | 1 => Trailer::Zeros(random.random_range(1..=46)),
        2 => Trailer::Udp,
        _ => Trailer::Chain(random.random_range(1..=3)),
    }
}

fn upper(random: &mut StdRng) -> Upper {
    let port = *[BLOCKED_PORT, BLOCKED_PORT, ALLOWED_PORT, OTHER_PORT]
        .choose(random)
        .unwrap();
    match random.random_range(0..10) {
        0 => Upper::Tcp(port),
        1 => Upper::Echo,
        2 => Upper::Other(
            *[0, 2, 4, 6, 17, 41, 47, 50, 59, 89, 132, 136]
                .choose(random)
                .unwrap(),
        ),
        _ => Upper::Udp(port),
    }
}

fn payload(random: &mut StdRng) -> usize {
    match random.random_range(0..10) {
        0 => random.random_range(8..=1300),
        _ => random.random_range(8..=64),
    }
}
