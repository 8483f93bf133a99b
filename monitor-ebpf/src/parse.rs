//! Frame → [`Packet`]: Ethernet, VLAN tags, PPPoE session, fixed IP header.
//!
//! The parser reads a frame as Linux does on the way to its IP stacks, and ignores the
//! fields that Linux ignores. `Reason::deliverable` tells which of the rejected frames
//! Linux could still deliver.

use monitor_common::Reason;

use crate::{
    direction::is_in,
    frame::Frame,
    verifier::{LARGEST_OFFSET, any_offset},
};

const ETHERNET_HEADER: usize = 14;
const ETHER_TYPE_OFFSET: usize = 12;

// EtherTypes (IANA, IEEE 802 numbers). The first two VLAN types are of IEEE 802.1Q and
// 802.1ad. Older switches use the other two for the outer tag.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const PPPOE_SESSION: u16 = 0x8864;
const VLAN_CUSTOMER: u16 = 0x8100;
const VLAN_SERVICE: u16 = 0x88a8;
const VLAN_OLD_QINQ: u16 = 0x9100;
const VLAN_OLD_QINQ_2: u16 = 0x9200;

const VLAN_TAG: usize = 4;
/// The most VLAN tags that are skipped. Linux has no limit (`__netif_receive_skb_core`),
/// but the verifier needs one. Frames with more tags have the reason `vlan_depth`.
const MAX_VLAN_TAGS: usize = 28;
const _: () = assert!(ETHERNET_HEADER + MAX_VLAN_TAGS * VLAN_TAG <= LARGEST_OFFSET);

// RFC 2516: version, type, code, session and length. Linux does not read version, type
// and code of a session frame (`pppoe_rcv`), and trims the frame to the length.
const PPPOE_HEADER: usize = 6;
// PPP protocol numbers (IANA): IPv4 and IPv6, then the forms of IP packets that this
// parser cannot read.
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
/// TCP headers compressed and uncompressed (RFC 1144).
const PPP_VJ_COMPRESSED: u16 = 0x002d;
const PPP_VJ_UNCOMPRESSED: u16 = 0x002f;
/// Fragments of PPP frames (RFC 1990).
const PPP_MULTILINK: u16 = 0x003d;
/// Compressed or encrypted PPP frames (RFC 1962).
const PPP_COMPRESSED_IN_LINK: u16 = 0x00fb;
const PPP_COMPRESSED: u16 = 0x00fd;

/// A parsed frame.
pub(crate) struct Packet {
    pub(crate) destination: Destination,
    /// Offset of the IP header in the frame, bytes.
    pub(crate) network: usize,
}

/// Address in the outermost IP header that policies name as a destination, host order: the
/// destination of packets `out`, the source of packets `in`.
pub(crate) enum Destination {
    Ipv4(u32),
    /// The upper half, then the lower half.
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

/// Returns the first `EtherType` that is not a VLAN tag, and the offset behind it.
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
    let Some([first, second]) = frame.bytes(offset + PPPOE_HEADER) else {
        return Err(Reason::BadPppoe);
    };
    // The last byte of a protocol number is odd. If the first byte is odd, the number
    // has one byte (RFC 1661, section 6.5; `ppp_decompress_proto`).
    let (protocol, width) = if first & 1 == 1 {
        (u16::from(first), 1)
    } else {
        (u16::from_be_bytes([first, second]), 2)
    };
    let offset = offset + PPPOE_HEADER + width;
    match protocol {
        PPP_IPV4 => Ok((unaligned_ipv4(frame, offset)?, offset)),
        PPP_IPV6 => Ok((unaligned_ipv6(frame, offset)?, offset)),
        PPP_VJ_COMPRESSED
        | PPP_VJ_UNCOMPRESSED
        | PPP_MULTILINK
        | PPP_COMPRESSED_IN_LINK
        | PPP_COMPRESSED => Err(Reason::BadPppoe),
        _ => Err(Reason::NonIp),
    }
}

/// Like [`ipv4`], for a header at any offset.
#[inline(always)]
fn unaligned_ipv4(frame: &Frame, offset: usize) -> Result<Destination, Reason> {
    let Some(header) = frame.bytes::<20>(offset) else {
        return Err(Reason::TruncatedIpv4);
    };
    if header[0] >> 4 != 4 || header[0] & 0x0f < 5 {
        return Err(Reason::BadIpv4);
    }
    let destination = if is_in() {
        [header[12], header[13], header[14], header[15]]
    } else {
        [header[16], header[17], header[18], header[19]]
    };
    Ok(Destination::Ipv4(u32::from_be_bytes(destination)))
}

/// Like [`ipv6`], for a header at any offset.
#[inline(always)]
fn unaligned_ipv6(frame: &Frame, offset: usize) -> Result<Destination, Reason> {
    let Some(header) = frame.bytes::<40>(offset) else {
        return Err(Reason::TruncatedIpv6);
    };
    if header[0] >> 4 != 6 {
        return Err(Reason::BadIpv6);
    }
    let half = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&header[at..at + 8]);
        u64::from_be_bytes(bytes)
    };
    Ok(Destination::Ipv6(if is_in() {
        [half(8), half(16)]
    } else {
        [half(24), half(32)]
    }))
}

/// Reads the fixed IPv4 header (RFC 791). Options may be missing, because only the
/// destination is needed.
#[inline(always)]
fn ipv4(frame: &Frame, offset: usize) -> Result<Destination, Reason> {
    let Some([first, _, _, _, destination]) = frame.words(offset) else {
        return Err(Reason::TruncatedIpv4);
    };
    let (version, header_words) = (u32::from_be(first) >> 28, u32::from_be(first) >> 24 & 0x0f);
    if version != 4 || header_words < 5 {
        return Err(Reason::BadIpv4);
    }
    if is_in() {
        // The source is in the header, whose length was checked.
        let [source] = frame.words(offset + 12).ok_or(Reason::TruncatedIpv4)?;
        return Ok(Destination::Ipv4(u32::from_be(source)));
    }
    Ok(Destination::Ipv4(u32::from_be(destination)))
}

/// Reads the fixed IPv6 header (RFC 8200). The destination does not depend on extension
/// headers.
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
    if is_in() {
        // The source is in the header, whose length was checked.
        let [a, b, c, d] = frame.words(offset + 8).ok_or(Reason::TruncatedIpv6)?;
        return Ok(Destination::Ipv6([half(a, b), half(c, d)]));
    }
    Ok(Destination::Ipv6([half(a, b), half(c, d)]))
}
