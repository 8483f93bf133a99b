//! Packet → protocol and destination port.

use monitor_common::SERVICE_KEY_BYTES;

use crate::{
    frame::Frame,
    parse::{Destination, Packet},
    verifier::byte_offset,
};

// Protocol numbers (IANA).
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const ENCAPSULATED: u8 = 50;
const COMPRESSED: u8 = 108;

// IPv6 extension headers (IANA).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// The most extension headers that are skipped. Linux has no limit
/// (`ip6_protocol_deliver_rcu`), but the verifier needs one. RFC 8504 advises hosts to
/// accept at most eight.
const MAX_EXTENSIONS: usize = 16;

const IPV6_HEADER: usize = 40;
const FRAGMENT_HEADER: usize = 8;
/// Bytes that are read of an extension header. Both ports together have as many.
const FIELDS: usize = 4;

/// The service of a packet, as far as the packet shows it.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    /// Key of the map SERVICES: a zero byte, the protocol, the destination port.
    Known([u8; SERVICE_KEY_BYTES]),
    /// A later fragment, or a protocol that no condition can name.
    Without,
    /// The packet has or may have a port, but the program cannot read it.
    Unreadable,
}

/// The service of a packet.
#[inline(always)]
pub(crate) fn service(frame: &Frame, packet: &Packet) -> Service {
    // So the verifier examines the code below once, and not once for each path that
    // leads here.
    let network = byte_offset(packet.network, frame.source_mac());
    let upper = match packet.destination {
        Destination::Ipv4(_) => ipv4(frame, network),
        Destination::Ipv6(_) => ipv6(frame, network),
    };
    let (protocol, offset, end) = match upper {
        Upper::At(protocol, offset, end) => (protocol, offset, end),
        Upper::LaterFragment => return Service::Without,
        Upper::Unreadable => return Service::Unreadable,
    };
    match protocol {
        // RFC 9293 and RFC 768: the destination port follows the source port.
        TCP | UDP if offset + FIELDS > end => Service::Unreadable,
        TCP | UDP => match frame.bytes::<2>(offset + 2) {
            Some([high, low]) => Service::Known([0, protocol, high, low]),
            None => Service::Unreadable,
        },
        ICMP | ICMPV6 => Service::Known([0, protocol, 0, 0]),
        // IPsec and IPComp hide the port (RFC 4303, RFC 4302, RFC 3173).
        ENCAPSULATED | AUTHENTICATION | COMPRESSED => Service::Unreadable,
        _ => Service::Without,
    }
}

/// The upper-layer header: the header behind the IP header and its extension headers.
enum Upper {
    /// Protocol, offset of the header, and offset of the end of the packet, in bytes
    /// from the start of the frame.
    At(u8, usize, usize),
    LaterFragment,
    Unreadable,
}

/// Finds the upper-layer header of an IPv4 packet (RFC 791).
#[inline(always)]
fn ipv4(frame: &Frame, network: usize) -> Upper {
    const FRAGMENT_OFFSET: u16 = 0x1fff;
    let Some(fixed) = frame.bytes::<10>(network) else {
        return Upper::Unreadable;
    };
    let header = usize::from(fixed[0] & 0x0f) * 4;
    let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
    if fragment & FRAGMENT_OFFSET != 0 {
        return Upper::LaterFragment;
    }
    // Linux rejects a first fragment with fewer than eight bytes behind the header
    // (`ip_frag_queue`), so the ports are always inside the packet.
    Upper::At(fixed[9], network + header, usize::MAX)
}

/// Finds the upper-layer header of an IPv6 packet (RFC 8200, section 4).
#[inline(always)]
fn ipv6(frame: &Frame, network: usize) -> Upper {
    let Some(fixed) = frame.bytes::<8>(network) else {
        return Upper::Unreadable;
    };
    let mut next = fixed[6];
    let mut offset = network + IPV6_HEADER;
    // Linux trims the packet to its length (`ip6_rcv_core`). Bytes behind that end may
    // be a decoy, and a later fragment may hold the port.
    let end = match u16::from_be_bytes([fixed[4], fixed[5]]) {
        // A jumbogram (RFC 2675) reaches to the end of the frame.
        0 => usize::MAX,
        length => offset + usize::from(length),
    };
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(next) {
            return Upper::At(next, offset, end);
        }
        if offset + FIELDS > end {
            return Upper::Unreadable;
        }
        let Some([following, length, high, low]) = frame.bytes::<4>(offset) else {
            return Upper::Unreadable;
        };
        offset += match next {
            FRAGMENT if u16::from_be_bytes([high, low]) >> 3 != 0 => return Upper::LaterFragment,
            FRAGMENT => FRAGMENT_HEADER,
            // RFC 4302, section 2.2.
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        next = following;
    }
    // Too many extension headers.
    if is_extension(next) {
        return Upper::Unreadable;
    }
    Upper::At(next, offset, end)
}

#[inline(always)]
fn is_extension(header: u8) -> bool {
    matches!(
        header,
        HOP_BY_HOP
            | ROUTING
            | FRAGMENT
            | AUTHENTICATION
            | DESTINATION_OPTIONS
            | MOBILITY
            | HOST_IDENTITY
            | SHIM6
    )
}
