//! Frame → [`Packet`]: Ethernet, VLAN tags, PPPoE session, fixed IP header.

use monitor_common::Reason;

use crate::{
    frame::Frame,
    verifier::{LARGEST_OFFSET, any_offset},
};

const ETHERNET_HEADER: usize = 14;
const ETHER_TYPE_OFFSET: usize = 12;

// EtherTypes: IEEE 802 numbers (IANA), tags of IEEE 802.1Q and two that
// older switches use for the outer tag.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const PPPOE_SESSION: u16 = 0x8864;
const VLAN_CUSTOMER: u16 = 0x8100;
const VLAN_SERVICE: u16 = 0x88a8;
const VLAN_OLD_QINQ: u16 = 0x9100;
const VLAN_OLD_QINQ_2: u16 = 0x9200;

const VLAN_TAG: usize = 4;
const MAX_VLAN_TAGS: usize = 4;
const _: () = assert!(ETHERNET_HEADER + MAX_VLAN_TAGS * VLAN_TAG <= LARGEST_OFFSET);

// RFC 2516: version 1 and type 1 in one byte, code 0 for session data.
const PPPOE_HEADER: usize = 6;
const PPPOE_VERSION_TYPE: u8 = 0x11;
const PPPOE_CODE_SESSION: u8 = 0x00;
// PPP protocol numbers (RFC 1332, RFC 5072).
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;

/// What matching needs to know of a frame.
pub(crate) struct Packet {
    pub(crate) destination: Destination,
    /// Offset of the IP header in the frame, bytes.
    pub(crate) network: usize,
}

/// Destination address of the outermost IP header, host order.
pub(crate) enum Destination {
    Ipv4(u32),
    /// Its halves, the upper one first.
    Ipv6([u64; 2]),
}

#[derive(Clone, Copy)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

impl Packet {
    #[inline(always)]
    pub(crate) fn family(&self) -> Family {
        match self.destination {
            Destination::Ipv4(_) => Family::Ipv4,
            Destination::Ipv6(_) => Family::Ipv6,
        }
    }
}

#[inline(always)]
pub(crate) fn parse(frame: &Frame) -> Result<Packet, Reason> {
    let Some(ether_type) = frame.bytes::<2>(ETHER_TYPE_OFFSET) else {
        return Err(Reason::TruncatedEthernet);
    };
    let (ether_type, offset) = skip_vlan_tags(frame, u16::from_be_bytes(ether_type))?;
    let (destination, network) = match ether_type {
        IPV4 => (ipv4(frame, offset)?, offset),
        IPV6 => (ipv6(frame, offset)?, offset),
        PPPOE_SESSION => pppoe(frame, offset)?,
        _ => return Err(Reason::NonIp),
    };
    Ok(Packet {
        destination,
        network,
    })
}

/// Returns the first `EtherType` that is no tag, and the offset of what follows it.
#[inline(always)]
fn skip_vlan_tags(frame: &Frame, mut ether_type: u16) -> Result<(u16, usize), Reason> {
    let mut offset = ETHERNET_HEADER;
    if !is_vlan_tag(ether_type) {
        return Ok((ether_type, offset));
    }
    for _ in 0..MAX_VLAN_TAGS {
        let Some([_, _, high, low]) = frame.bytes::<VLAN_TAG>(offset) else {
            return Err(Reason::TruncatedVlan);
        };
        ether_type = u16::from_be_bytes([high, low]);
        offset += VLAN_TAG;
        if !is_vlan_tag(ether_type) {
            return Ok((ether_type, any_offset(offset, ether_type)));
        }
    }
    Err(Reason::VlanDepth)
}

#[inline(always)]
fn is_vlan_tag(ether_type: u16) -> bool {
    matches!(
        ether_type,
        VLAN_CUSTOMER | VLAN_SERVICE | VLAN_OLD_QINQ | VLAN_OLD_QINQ_2
    )
}

#[inline(always)]
fn pppoe(frame: &Frame, offset: usize) -> Result<(Destination, usize), Reason> {
    let Some(header) = frame.bytes::<PPPOE_HEADER>(offset) else {
        return Err(Reason::BadPppoe);
    };
    if header[0] != PPPOE_VERSION_TYPE || header[1] != PPPOE_CODE_SESSION {
        return Err(Reason::BadPppoe);
    }
    let Some(protocol) = frame.bytes::<2>(offset + PPPOE_HEADER) else {
        return Err(Reason::BadPppoe);
    };
    let offset = offset + PPPOE_HEADER + protocol.len();
    match u16::from_be_bytes(protocol) {
        PPP_IPV4 => Ok((ipv4(frame, offset)?, offset)),
        PPP_IPV6 => Ok((ipv6(frame, offset)?, offset)),
        _ => Err(Reason::NonIp),
    }
}

/// RFC 791. Options need not be there: only the destination is read.
#[inline(always)]
fn ipv4(frame: &Frame, offset: usize) -> Result<Destination, Reason> {
    let Some([first, _, _, _, destination]) = frame.words(offset) else {
        return Err(Reason::TruncatedIpv4);
    };
    let (version, header_words) = (u32::from_be(first) >> 28, u32::from_be(first) >> 24 & 0x0f);
    if version != 4 || header_words < 5 {
        return Err(Reason::BadIpv4);
    }
    Ok(Destination::Ipv4(u32::from_be(destination)))
}

/// RFC 8200. Extension headers change nothing about the destination.
#[inline(always)]
fn ipv6(frame: &Frame, offset: usize) -> Result<Destination, Reason> {
    let Some([first, _, _, _, _, _, a, b, c, d]) = frame.words(offset) else {
        return Err(Reason::TruncatedIpv6);
    };
    if u32::from_be(first) >> 28 != 6 {
        return Err(Reason::BadIpv6);
    }
    let half =
        |upper, lower| u64::from(u32::from_be(upper)) << u32::BITS | u64::from(u32::from_be(lower));
    Ok(Destination::Ipv6([half(a, b), half(c, d)]))
}
