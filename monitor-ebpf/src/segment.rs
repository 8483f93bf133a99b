//! TCP segments without data, which open, keep and close a connection.

use crate::{frame::Frame, service::TCP};

const ETHERNET_HEADER: usize = 14;

/// Length of the shortest Ethernet frame, in bytes, without its checksum (IEEE 802.3,
/// clause 4.4.2). Drivers pad shorter frames.
const SHORTEST_FRAME: usize = 60;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// The shortest TCP header, in bytes (RFC 9293, section 3.1).
const TCP_HEADER: usize = 20;

/// True if the packet is a complete TCP segment without data, whose IP header begins
/// `network` bytes from the start of the frame. `whole` is the length of the frame, bytes.
///
/// The answer is no wherever the packet has room for anything else that a device could say:
/// IPv4 options, IPv6 extension headers, fragments, and bytes behind the end of the packet.
/// What remains are the fields of the TCP header and its options, at most 40 bytes.
#[inline(always)]
pub(crate) fn holds_no_data(frame: &Frame, whole: u64, network: usize, is_ipv6: bool) -> bool {
    let found = if is_ipv6 {
        ipv6(frame, network)
    } else {
        ipv4(frame, network)
    };
    let Some((header, length)) = found else {
        return false;
    };
    // The word with the data offset in its upper four bits.
    let Some([offset, _]) = frame.bytes::<2>(network + header + 12) else {
        return false;
    };
    let tcp = usize::from(offset >> 4) * 4;
    tcp >= TCP_HEADER && length == header + tcp && is_only_padded(whole, network, length)
}

/// True if the frame is complete, and only padding to the shortest frame follows the packet.
/// A tag or a PPPoE header may be added to the shortest frame or be a part of it.
#[inline(always)]
fn is_only_padded(whole: u64, network: usize, length: usize) -> bool {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a frame is shorter than 4 GiB"
    )]
    let whole = whole as usize;
    let end = network + length;
    whole == end || (whole > end && whole <= SHORTEST_FRAME + network - ETHERNET_HEADER)
}

/// Lengths of the IPv4 header and of the packet (RFC 791), if TCP follows a header without
/// options, and the packet is no fragment.
#[inline(always)]
fn ipv4(frame: &Frame, network: usize) -> Option<(usize, usize)> {
    const WITHOUT_OPTIONS: u8 = 0x45;
    const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;
    let fixed = frame.bytes::<10>(network)?;
    let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
    let is_plain =
        fixed[0] == WITHOUT_OPTIONS && fragment & MORE_FRAGMENTS_AND_OFFSET == 0 && fixed[9] == TCP;
    let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    is_plain.then_some((IPV4_HEADER, length))
}

/// Lengths of the IPv6 header and of the packet (RFC 8200, section 3), if TCP follows
/// directly.
#[inline(always)]
fn ipv6(frame: &Frame, network: usize) -> Option<(usize, usize)> {
    let fixed = frame.bytes::<8>(network)?;
    let payload = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    (fixed[6] == TCP).then_some((IPV6_HEADER, IPV6_HEADER + payload))
}
