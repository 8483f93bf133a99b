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

/// The key of the packet's service; `None` where it cannot be read: a later
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
    let [first] = frame.bytes::<1>(network)?;
    let fragment = u16::from_be_bytes(frame.bytes::<2>(network + 6)?);
    let [protocol] = frame.bytes::<1>(network + 9)?;
    let header = usize::from(first & 0x0f) * 4;
    (fragment & FRAGMENT_OFFSET == 0).then_some((protocol, network + header))
}

/// The same behind extension headers (RFC 8200, section 4).
#[inline(always)]
fn ipv6(frame: &Frame, network: usize) -> Option<(u8, usize)> {
    let [mut next] = frame.bytes::<1>(network + 6)?;
    let mut offset = network + IPV6_HEADER;
    for _ in 0..MAX_EXTENSIONS {
        let length = match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY | HOST_IDENTITY | SHIM6 => {
                let [_, units] = frame.bytes::<2>(offset)?;
                (usize::from(units) + 1) * 8
            }
            // RFC 4302, section 2.2.
            AUTHENTICATION => {
                let [_, words] = frame.bytes::<2>(offset)?;
                (usize::from(words) + 2) * 4
            }
            FRAGMENT => {
                let place = u16::from_be_bytes(frame.bytes::<2>(offset + 2)?);
                if place >> 3 != 0 {
                    return None;
                }
                FRAGMENT_HEADER
            }
            protocol => return Some((protocol, offset)),
        };
        [next] = frame.bytes::<1>(offset)?;
        offset += length;
    }
    None
}
