//! Builds the bytes of the frames of a [`Case`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    case::{
        ALLOWED_PORT, Case, Envelope, Extension, Family, Ip, Length, Piece, Place, PppProtocol,
        Session, Target, Trailer, Upper, address,
    },
    support::packets::{IPV4, IPV6, PPPOE_SESSION},
};

/// The longest frame of an Ethernet network with an MTU of 1,500 bytes.
pub(crate) const LONGEST: usize = 1514;

/// Stands before the marker in the payload.
pub(crate) const MAGIC: [u8; 4] = *b"EVSN";

const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const UDP: u8 = 17;
const SOURCE_PORT: u16 = 40_000;

/// 10.128.0.0/9 holds the IPv4 source addresses.
const FIRST_IPV4: u32 = 0x0a80_0000;
/// `fd77:0:0:1::/64` holds the IPv6 source addresses.
const FIRST_IPV6: u128 = 0xfd77_0000_0000_0001 << 64;
/// Markers are less than this.
pub(crate) const MARKERS: u32 = 1 << 23;

/// The source address of a case.
fn source(marker: u32, family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::from_bits(FIRST_IPV4 | marker).into(),
        Family::Ipv6 => Ipv6Addr::from_bits(FIRST_IPV6 | u128::from(marker)).into(),
    }
}

/// The marker of a source address.
pub(crate) fn marker(source: IpAddr) -> Option<u32> {
    match source {
        IpAddr::V4(source) => source.to_bits().checked_sub(FIRST_IPV4),
        IpAddr::V6(source) => {
            let offset = source.to_bits().checked_sub(FIRST_IPV6)?;
            u32::try_from(offset).ok()
        }
    }
    .filter(|marker| *marker < MARKERS)
}

/// The frames of a case, in the order in which they are sent.
pub(crate) fn frames(case: &Case) -> Vec<Vec<u8>> {
    let packets = match case.family {
        _ if matches!(case.envelope, Envelope::Control(_)) => vec![payload(case)],
        Family::Ipv4 => ipv4(case),
        Family::Ipv6 => ipv6(case),
    };
    packets.iter().map(|packet| frame(case, packet)).collect()
}

fn frame(case: &Case, packet: &[u8]) -> Vec<u8> {
    let mut frame = [case.to, case.from].concat();
    for tag in &case.tags {
        frame.extend(tag.protocol.to_be_bytes());
        frame.extend(tag.control.to_be_bytes());
    }
    frame.extend(enveloped(case, packet));
    frame.extend(trailer(case.trailer));
    frame.truncate(case.cut.unwrap_or(LONGEST).clamp(14, LONGEST));
    frame
}

fn enveloped(case: &Case, packet: &[u8]) -> Vec<u8> {
    let with = |kind: u16, header: &[u8]| [&kind.to_be_bytes(), header, packet].concat();
    let length = |header: usize| u16::try_from(header + packet.len()).unwrap().min(1500);
    match case.envelope {
        Envelope::Bare => with(ether_type(case.family), &[]),
        Envelope::Type(kind) | Envelope::Control(kind) => with(kind, &[]),
        Envelope::Length => with(length(0), &[]),
        Envelope::Llc(header) => with(length(3), &header),
        Envelope::Snap([a, b, c], kind) => {
            let [high, low] = kind.to_be_bytes();
            with(length(8), &[0xaa, 0xaa, 0x03, a, b, c, high, low])
        }
        Envelope::Session(session) => with(PPPOE_SESSION, &session_header(case, session, packet)),
    }
}

fn ether_type(family: Family) -> u16 {
    match family {
        Family::Ipv4 => IPV4,
        Family::Ipv6 => IPV6,
    }
}

fn session_header(case: &Case, session: Session, packet: &[u8]) -> Vec<u8> {
    let number: u8 = match case.family {
        Family::Ipv4 => 0x21,
        Family::Ipv6 => 0x57,
    };
    let protocol = match session.protocol {
        PppProtocol::Full => vec![0, number],
        PppProtocol::Short => vec![number],
        PppProtocol::Framed => vec![0xff, 0x03, 0, number],
        PppProtocol::Number(other) => other.to_be_bytes().to_vec(),
        PppProtocol::ShortNumber(other) => vec![other],
    };
    let length = field(session.length, protocol.len() + packet.len());
    let mut header = vec![session.version_type, session.code];
    header.extend(session.id.to_be_bytes());
    header.extend(length.to_be_bytes());
    header.extend(protocol);
    header
}

fn trailer(trailer: Trailer) -> Vec<u8> {
    let udp = udp_header(ALLOWED_PORT, 16, 0);
    match trailer {
        Trailer::None => Vec::new(),
        Trailer::Zeros(length) => vec![0; usize::from(length)],
        Trailer::Udp => udp,
        Trailer::Chain(length) => {
            let mut headers = Vec::new();
            for left in (0..length).rev() {
                headers.extend([if left == 0 { UDP } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
            }
            [headers, udp].concat()
        }
    }
}

fn field(length: Length, right: usize) -> u16 {
    let right = u16::try_from(right).unwrap();
    match length {
        Length::Right => right,
        Length::Zero => 0,
        Length::Off(bytes) => right.saturating_add_signed(bytes),
    }
}

/// The pieces of what may be fragmented, each with its fragment field: offset in
/// units of eight bytes, and the bit for more fragments.
fn pieces<'a>(case: &'a Case, whole: &'a [u8]) -> impl Iterator<Item = (u16, bool, &'a [u8])> {
    const ALL: Piece = Piece {
        from: 0,
        to: u16::MAX,
        more: false,
    };
    let pieces = if case.pieces.is_empty() {
        &[ALL][..]
    } else {
        &case.pieces
    };
    pieces.iter().map(|Piece { from, to, more }| {
        let end = whole.len().min(usize::from(*to) * 8);
        let start = usize::from(*from) * 8;
        (*from, *more, whole.get(start..end).unwrap_or_default())
    })
}

fn ipv4(case: &Case) -> Vec<Vec<u8>> {
    let upper = upper(case);
    let options = ipv4_options(case);
    let each = pieces(case, &upper).map(|(offset, more, part)| {
        let header = ipv4_header(case, &options, offset, more, part.len());
        [&header, part].concat()
    });
    each.collect()
}

fn ipv4_options(case: &Case) -> Vec<u8> {
    let mut options = case.ip.options.clone();
    if let (Some(kind), IpAddr::V4(hop)) = (case.ip.source_route, case.address()) {
        // RFC 791: type, length, pointer to the next address, one address.
        options = [&[kind, 7, 4], &hop.octets()[..]].concat();
    }
    options.resize(options.len().next_multiple_of(4).min(40), 0);
    options
}

fn ipv4_header(case: &Case, options: &[u8], offset: u16, more: bool, length: usize) -> Vec<u8> {
    let Ip {
        version,
        words,
        flags,
        hops,
        ..
    } = case.ip;
    let bytes = 20 + options.len();
    let words = words.unwrap_or(u8::try_from(bytes / 4).unwrap());
    let [id_high, id_low, ..] = case.marker.to_le_bytes();
    let fragment = flags | u16::from(more) << 13 | offset;
    let mut header = vec![version.unwrap_or(4) << 4 | words, 0];
    header.extend(field(case.ip.length, bytes + length).to_be_bytes());
    header.extend([id_high, id_low]);
    header.extend(fragment.to_be_bytes());
    header.extend([hops, number(case), 0, 0]);
    header.extend(octets(source(case.marker, case.family)));
    header.extend(octets(header_destination(case)));
    header.extend(options);
    // Over as many words as the header claims to have.
    let covered = header.get(..usize::from(words) * 4).unwrap_or(&header);
    let sum = checksum(&[covered]) ^ u16::from(case.ip.bad_checksum);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

fn ipv6(case: &Case) -> Vec<Vec<u8>> {
    let at = case.before_fragment.min(case.chain.len());
    let mut chain = case.chain.clone();
    if let (Some(kind), IpAddr::V6(hop)) = (case.ip.source_route, case.address()) {
        // RFC 8200: routing type, segments left, four reserved bytes, the addresses.
        let body = [&[kind, 1, 0, 0, 0, 0], &hop.octets()[..]].concat();
        chain.insert(
            at,
            Extension {
                number: 43,
                body,
                claimed: None,
            },
        );
    }
    let last = number(case);
    let (before, behind) = chain.split_at(at);
    let first_behind = behind.first().map_or(last, |header| header.number);
    let whole = [linked(behind, last), upper(case)].concat();
    let fragmented = !case.pieces.is_empty();
    let next = if fragmented { FRAGMENT } else { first_behind };
    let before_bytes = linked(before, next);
    let first = before.first().map_or(next, |header| header.number);
    let each = pieces(case, &whole).map(|(offset, more, part)| {
        let mut rest = before_bytes.clone();
        if fragmented {
            rest.extend([first_behind, 0]);
            rest.extend((offset << 3 | u16::from(more)).to_be_bytes());
            rest.extend(case.marker.to_be_bytes());
        }
        rest.extend(part);
        [ipv6_header(case, first, rest.len()), rest].concat()
    });
    each.collect()
}

fn ipv6_header(case: &Case, next: u8, length: usize) -> Vec<u8> {
    let mut header = vec![case.ip.version.unwrap_or(6) << 4, 0, 0, 0];
    header.extend(field(case.ip.length, length).to_be_bytes());
    header.extend([next, case.ip.hops]);
    header.extend(octets(source(case.marker, case.family)));
    header.extend(octets(header_destination(case)));
    header
}

/// Extension headers, each with the number of the next one.
fn linked(chain: &[Extension], last: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, header) in chain.iter().enumerate() {
        let next = chain.get(index + 1).map_or(last, |next| next.number);
        let length = header.body.len() + 2;
        // RFC 8200; the authentication header counts otherwise (RFC 4302, section 2.2).
        let right = match header.number {
            AUTHENTICATION => (length / 4).saturating_sub(2),
            _ => (length / 8).saturating_sub(1),
        };
        let right = u8::try_from(right).unwrap();
        bytes.extend([next, header.claimed.unwrap_or(right)]);
        bytes.extend(&header.body);
    }
    bytes
}

/// A source route leads over the gateway.
fn header_destination(case: &Case) -> IpAddr {
    match case.ip.source_route {
        Some(_) => address(Target::Innocent, Place::Gateway, case.family),
        None => case.address(),
    }
}

fn number(case: &Case) -> u8 {
    match (case.upper, case.family) {
        (Upper::Udp(_), _) => UDP,
        (Upper::Tcp(_), _) => 6,
        (Upper::Echo, Family::Ipv4) => 1,
        (Upper::Echo, Family::Ipv6) => 58,
        (Upper::Other(number), _) => number,
    }
}

/// The magic, the marker, and bytes of one value.
fn payload(case: &Case) -> Vec<u8> {
    let mut payload = [MAGIC, case.marker.to_be_bytes()].concat();
    payload.resize(case.payload.max(payload.len()), 0xa5);
    payload
}

/// Transport header and payload, with the right checksum.
fn upper(case: &Case) -> Vec<u8> {
    let payload = payload(case);
    let (header, checksum_at) = match case.upper {
        Upper::Udp(port) => (udp_header(port, 8 + payload.len(), 0), 6),
        Upper::Tcp(port) => (tcp_header(port), 16),
        Upper::Echo => {
            let request = if case.family == Family::Ipv4 { 8 } else { 128 };
            (vec![request, 0, 0, 0, 0, 1, 0, 1], 2)
        }
        Upper::Other(_) => return payload,
    };
    let mut bytes = [header, payload].concat();
    let length = u32::try_from(bytes.len()).unwrap();
    let pseudo = [
        octets(source(case.marker, case.family)),
        octets(case.address()),
        length.to_be_bytes().to_vec(),
        vec![0, 0, 0, number(case)],
    ];
    // The ICMP of IPv4 has no pseudo header (RFC 792).
    let pseudo = if number(case) == 1 {
        Vec::new()
    } else {
        pseudo.concat()
    };
    let sum = match checksum(&[&pseudo, &bytes]) {
        // RFC 768: zero would say that there is none.
        0 => u16::MAX,
        sum => sum,
    };
    bytes[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn udp_header(port: u16, length: usize, checksum: u16) -> Vec<u8> {
    let length = u16::try_from(length).unwrap();
    let fields = [SOURCE_PORT, port, length, checksum];
    fields.into_iter().flat_map(u16::to_be_bytes).collect()
}

/// A SYN.
fn tcp_header(port: u16) -> Vec<u8> {
    let mut header: Vec<u8> = [SOURCE_PORT, port]
        .into_iter()
        .flat_map(u16::to_be_bytes)
        .collect();
    header.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xfa, 0xf0, 0, 0, 0, 0]);
    header
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071) of parts of even length, the last of any length.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}
