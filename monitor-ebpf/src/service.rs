//! Packet → protocol and destination port.

use monitor_common::SERVICE_KEY_BYTES;

use crate::{
    frame::Frame,
    parse::{Destination, Packet},
};

// Protocol numbers (IANA).
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

// IPv6 extension headers (IANA), and how their length is told.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Extension headers that are walked; RFC 8200 recommends at most six.
const MAX_EXTENSIONS: usize = 8;

const IPV6_HEADER: usize = 40;
const FRAGMENT_HEADER: usize = 8;

/// The key of the service of a packet; `None` where it cannot be read: a later
/// fragment, a packet cut short, too many extension headers, another protocol.
#[inline(always)]
pub(crate) fn service_key(frame: &Frame, packet: &Packet) -> Option<[u8; SERVICE_KEY_BYTES]> {
    let (protocol, offset) = match packet.destination {
        Destination::Ipv4(_) => ipv4(frame, packet.network)?,
        Destination::Ipv6(_) => ipv6(frame, packet.network)?,
    };
    match protocol {
        TCP | UDP => {
            // RFC 9293 and RFC 768: the destination port follows the source port.
            let [high, low] = frame.bytes::<2>(offset + 2)?;
            Some([0, protocol, high, low])
        }
        ICMP | ICMPV6 => Some([0, protocol, 0, 0]),
        _ => None,
    }
}

/// Protocol, and where its header begins (RFC 791).
#[inline(always)]
fn ipv4(frame: &Frame, network: usize) -> Option<(u8, usize)> {
    const FRAGMENT_OFFSET: u16 = 0x1fff;
    let fixed = frame.bytes::<10>(network)?;
    let header = usize::from(fixed[0] & 0x0f) * 4;
    let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
    (fragment & FRAGMENT_OFFSET == 0).then_some((fixed[9], network + header))
}

/// The same behind extension headers (RFC 8200, section 4).
#[inline(always)]
fn ipv6(frame: &Frame, network: usize) -> Option<(u8, usize)> {
    let mut next = frame.bytes::<8>(network)?[6];
    let mut offset = network + IPV6_HEADER;
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(next) {
            return Some((next, offset));
        }
        let [following, length, high, low] = frame.bytes::<4>(offset)?;
        offset += match next {
            FRAGMENT if u16::from_be_bytes([high, low]) >> 3 != 0 => return None,
            FRAGMENT => FRAGMENT_HEADER,
            // RFC 4302, section 2.2.
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        next = following;
    }
    // The last one may lead to a protocol as well.
    (!is_extension(next)).then_some((next, offset))
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
