//! Packet → protocol and port of the policy's destination: the destination port of packets
//! `out`, the source port of packets `in`.

use monitor_common::{
    SERVICE_KEY_BYTES,
    evidence::{
        PORT_HIDDEN, PORT_LATER_FRAGMENT, PORT_NONE, PORT_READABLE, PORT_TOO_MANY_EXTENSIONS,
        PORT_TRUNCATED,
    },
};

use crate::{direction::is_in, frame::Frame};

// Protocol numbers (IANA).
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;
const ENCAPSULATED: u8 = 50;
const COMPRESSED: u8 = 108;

// IPv6 extension headers (IANA).
pub(crate) const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// The most extension headers that are skipped. Linux has no limit
/// (`ip6_protocol_deliver_rcu`), but the verifier needs one. RFC 8504 advises hosts to
/// accept at most eight.
const MAX_EXTENSIONS: usize = 16;

pub(crate) const IPV6_HEADER: usize = 40;
pub(crate) const FRAGMENT_HEADER: usize = 8;
/// Bytes that are read of an extension header. Both ports together have as many.
const FIELDS: usize = 4;

/// Protocol and port of a packet, as far as the packet shows them.
#[derive(Clone, Copy)]
pub(crate) struct Service {
    /// Protocol number (IANA).
    pub(crate) protocol: u8,
    /// One of the `PORT_*` constants.
    pub(crate) kind: u8,
    /// Port of the policy's destination, host order; 0 if it is not readable.
    pub(crate) port: u16,
    /// Offset of the header behind the IP header, in bytes from the start of the frame; 0 if
    /// the packet does not show it.
    pub(crate) offset: u16,
    /// The packet is the first fragment of several.
    pub(crate) is_fragmented: bool,
}

/// How a policy with services sees a packet.
pub(crate) enum Kind {
    /// Key of the map SERVICES: a zero byte, the protocol, the port.
    Known([u8; SERVICE_KEY_BYTES]),
    /// A later fragment, or a protocol that no condition can name.
    Without,
    /// The packet has or may have a port, but the program cannot read it.
    Unreadable,
}

impl Service {
    /// Reads the service of the packet whose IP header begins `network` bytes from the start
    /// of the frame.
    #[inline(always)]
    pub(crate) fn read(frame: &Frame, network: usize, is_ipv6: bool) -> Self {
        let upper = if is_ipv6 {
            ipv6(frame, network)
        } else {
            ipv4(frame, network)
        };
        let (protocol, (kind, port), offset, is_fragmented) = match upper {
            Upper::At(protocol, offset, end, is_fragmented) => {
                let port = port(frame, protocol, offset, end);
                (protocol, port, offset, is_fragmented)
            }
            Upper::Unreadable(protocol, kind) => (protocol, (kind, 0), 0, false),
        };
        #[expect(clippy::cast_possible_truncation, reason = "see `header_offset`")]
        let offset = offset as u16;
        Self {
            protocol,
            kind,
            port,
            offset,
            is_fragmented,
        }
    }

    /// The service as one number, for global functions.
    #[inline(always)]
    pub(crate) const fn to_bits(self) -> u64 {
        self.protocol as u64
            | (self.kind as u64) << 8
            | (self.port as u64) << 16
            | (self.offset as u64) << 32
            | (self.is_fragmented as u64) << 48
    }

    /// The inverse of [`to_bits`](Self::to_bits).
    #[inline(always)]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        let [
            protocol,
            kind,
            low,
            high,
            offset_low,
            offset_high,
            fragmented,
            _,
        ] = bits.to_le_bytes();
        Self {
            protocol,
            kind,
            port: u16::from_le_bytes([low, high]),
            offset: u16::from_le_bytes([offset_low, offset_high]),
            is_fragmented: fragmented != 0,
        }
    }

    /// Offset of the header behind the IP header. Beyond 32 KiB, where no header of a real
    /// packet is, the offset is wrong. The verifier wants to see a small offset.
    #[inline(always)]
    pub(crate) fn header_offset(self) -> usize {
        usize::from(self.offset & 0x7fff)
    }

    #[inline(always)]
    pub(crate) fn kind(self) -> Kind {
        let [high, low] = self.port.to_be_bytes();
        match (self.kind, self.protocol) {
            (PORT_READABLE, _) | (PORT_NONE, ICMP | ICMPV6) => {
                Kind::Known([0, self.protocol, high, low])
            }
            (PORT_NONE | PORT_LATER_FRAGMENT, _) => Kind::Without,
            _ => Kind::Unreadable,
        }
    }
}

/// The kind of a port and the port itself.
#[inline(always)]
fn port(frame: &Frame, protocol: u8, offset: usize, end: usize) -> (u8, u16) {
    match protocol {
        // RFC 9293 and RFC 768: the destination port follows the source port.
        TCP | UDP if offset + FIELDS > end => (PORT_TRUNCATED, 0),
        TCP | UDP => {
            let port = if is_in() {
                frame.bytes::<2>(offset)
            } else {
                frame.bytes::<2>(offset + 2)
            };
            match port {
                Some(port) => (PORT_READABLE, u16::from_be_bytes(port)),
                None => (PORT_TRUNCATED, 0),
            }
        }
        // IPsec and IPComp hide the port (RFC 4303, RFC 4302, RFC 3173).
        ENCAPSULATED | AUTHENTICATION | COMPRESSED => (PORT_HIDDEN, 0),
        _ => (PORT_NONE, 0),
    }
}

/// The upper-layer header: the header behind the IP header and its extension headers.
enum Upper {
    /// Protocol, offset of the header, and offset of the end of the packet, in bytes
    /// from the start of the frame. True for the first fragment of several.
    At(u8, usize, usize, bool),
    /// Protocol, and one of the `PORT_*` constants.
    Unreadable(u8, u8),
}

/// Finds the upper-layer header of an IPv4 packet (RFC 791).
#[inline(always)]
fn ipv4(frame: &Frame, network: usize) -> Upper {
    const FRAGMENT_OFFSET: u16 = 0x1fff;
    const MORE_FRAGMENTS: u16 = 0x2000;
    let Some(fixed) = frame.bytes::<10>(network) else {
        return Upper::Unreadable(0, PORT_TRUNCATED);
    };
    let header = usize::from(fixed[0] & 0x0f) * 4;
    let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
    if fragment & FRAGMENT_OFFSET != 0 {
        return Upper::Unreadable(fixed[9], PORT_LATER_FRAGMENT);
    }
    // Linux rejects a first fragment with fewer than eight bytes behind the header
    // (`ip_frag_queue`), so the ports are always inside the packet.
    let is_fragmented = fragment & MORE_FRAGMENTS != 0;
    Upper::At(fixed[9], network + header, usize::MAX, is_fragmented)
}

/// Finds the upper-layer header of an IPv6 packet (RFC 8200, section 4).
#[inline(always)]
fn ipv6(frame: &Frame, network: usize) -> Upper {
    let Some(fixed) = frame.bytes::<8>(network) else {
        return Upper::Unreadable(0, PORT_TRUNCATED);
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
    let mut is_fragmented = false;
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(next) {
            return Upper::At(next, offset, end, is_fragmented);
        }
        if offset + FIELDS > end {
            return Upper::Unreadable(next, PORT_TRUNCATED);
        }
        let Some([following, length, high, low]) = frame.bytes::<4>(offset) else {
            return Upper::Unreadable(next, PORT_TRUNCATED);
        };
        offset += match next {
            FRAGMENT if u16::from_be_bytes([high, low]) >> 3 != 0 => {
                return Upper::Unreadable(following, PORT_LATER_FRAGMENT);
            }
            FRAGMENT => {
                is_fragmented |= low & 1 != 0;
                FRAGMENT_HEADER
            }
            // RFC 4302, section 2.2.
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        next = following;
    }
    if is_extension(next) {
        return Upper::Unreadable(next, PORT_TOO_MANY_EXTENSIONS);
    }
    Upper::At(next, offset, end, is_fragmented)
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
