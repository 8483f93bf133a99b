//! Turns a packet into the ICMP error that answers it (RFC 1812, section 4.3.2; RFC 4443,
//! section 2.4).

use aya_ebpf::{bindings::xdp_md, helpers::generated::bpf_xdp_adjust_head, programs::XdpContext};

use crate::{
    checksum::{checksum, sum},
    flow::IS_IPV6,
    frame::{Frame, apart},
    maps::HAS_REJECTS,
    reject_frame::{
        ETHERNET_HEADER, IPV4_HEADER, cut, network, turn_layer_2, word, write_ipv4, write_ipv6,
    },
    service::{ICMP, ICMPV6, IPV6_HEADER},
};

const ICMP_HEADER: usize = 8;

/// Bytes in front of the quoted packet.
pub(crate) const ERROR_HEADERS_V4: usize = IPV4_HEADER + ICMP_HEADER;
pub(crate) const ERROR_HEADERS_V6: usize = IPV6_HEADER + ICMP_HEADER;

/// An Ethernet header, 28 VLAN tags, and a PPPoE header with its protocol.
const LONGEST_LAYER_2: usize = ETHERNET_HEADER + 28 * 4 + 8;

/// Destination unreachable, communication administratively prohibited (RFC 1812, section
/// 5.2.7.1; RFC 4443, section 3.1).
const PROHIBITED_V4: [u8; ICMP_HEADER] = [3, 13, 0, 0, 0, 0, 0, 0];
const PROHIBITED_V6: [u8; ICMP_HEADER] = [1, 1, 0, 0, 0, 0, 0, 0];

/// Turns a packet into the ICMP error that quotes its first `quote` bytes. Returns 1, or 0 if that
/// is not possible.
///
/// This is a global function for the verifier, as `decide::read_service`.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn make_error(ctx: *mut xdp_md, packet: u64, quote: u32) -> u32 {
    if HAS_REJECTS.load() == 0 {
        return 0;
    }
    let xdp = XdpContext::new(ctx);
    let frame = Frame::new(xdp.data(), xdp.data_end());
    let network = network(packet);
    let quote = quote as usize & 0x7ff;
    let is_ipv6 = packet & IS_IPV6 != 0;
    let room = headers(is_ipv6);
    if !cut(ctx, &frame, network + quote) {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "28 or 48")]
    #[expect(clippy::cast_possible_wrap, reason = "28 or 48")]
    let shift = -(room as i32);
    // SAFETY: the caller passes the context of the program. The old frame is not used any more.
    if unsafe { bpf_xdp_adjust_head(ctx, shift) } != 0 || move_layer_2(ctx, packet) == 0 {
        return 0;
    }
    let xdp = XdpContext::new(ctx);
    let mut frame = Frame::new(xdp.data(), xdp.data_end());
    let length = room + quote;
    let written = if is_ipv6 {
        error_v6(&mut frame, network, length)
    } else {
        error_v4(&mut frame, network, length)
    };
    let Some(pseudo_header) = written else {
        return 0;
    };
    if turn_layer_2(&mut frame, network, length).is_none() {
        return 0;
    }
    let checksum = checksum(pseudo_header + sum_of_message(ctx, packet));
    let at = network + room - ICMP_HEADER + 2;
    u32::from(frame.write(at, checksum).is_some())
}

#[inline(always)]
fn headers(is_ipv6: bool) -> usize {
    if is_ipv6 {
        ERROR_HEADERS_V6
    } else {
        ERROR_HEADERS_V4
    }
}

/// Writes the headers in front of the quoted packet, without checksum of the message. Returns the
/// sum of the pseudo header, which ICMP does not have.
#[inline(always)]
fn error_v4(frame: &mut Frame, network: usize, length: usize) -> Option<u32> {
    // RFC 1812, section 4.3.2.5: the type of service of the packet, with the precedence of
    // internetwork control.
    const TYPE_OF_SERVICE: u8 = 0x1e;
    const INTERNETWORK_CONTROL: u8 = 0xc0;
    let quoted = network + ERROR_HEADERS_V4;
    let [_, service] = frame.bytes(apart(quoted))?;
    let service = service & TYPE_OF_SERVICE | INTERNETWORK_CONTROL;
    let source = word(frame, quoted + 12)?;
    let destination = word(frame, quoted + 16)?;
    write_ipv4(
        frame,
        network,
        [service, ICMP],
        length,
        [destination, source],
    )?;
    frame.write(network + IPV4_HEADER, PROHIBITED_V4)?;
    Some(0)
}

/// As [`error_v4`], for IPv6 (RFC 8200, section 8.1).
#[inline(always)]
fn error_v6(frame: &mut Frame, network: usize, length: usize) -> Option<u32> {
    let message = length - IPV6_HEADER;
    let addresses = write_ipv6(frame, network, network + ERROR_HEADERS_V6, ICMPV6, message)?;
    frame.write(network + IPV6_HEADER, PROHIBITED_V6)?;
    #[expect(clippy::cast_possible_truncation, reason = "at most 1,280")]
    let message = message as u32;
    Some(addresses + message + u32::from(ICMPV6))
}

/// Moves everything in front of the IP header to the new start of the frame. `packet` is
/// `flow::packet_bits`. Returns 1, or 0 if the frame is too short.
///
/// This is a global function for the verifier, as `decide::read_service`.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn move_layer_2(ctx: *mut xdp_md, packet: u64) -> u32 {
    if HAS_REJECTS.load() == 0 {
        return 0;
    }
    let xdp = XdpContext::new(ctx);
    let mut frame = Frame::new(xdp.data(), xdp.data_end());
    let network = network(packet);
    let room = headers(packet & IS_IPV6 != 0);
    // If the length is odd, the last step moves one byte more. The new IP header covers it.
    for pair in 0..LONGEST_LAYER_2 / 2 {
        let at = pair * 2;
        if at >= network {
            break;
        }
        let moved = frame.bytes::<2>(room + at);
        if moved.and_then(|bytes| frame.write(at, bytes)).is_none() {
            return 0;
        }
    }
    1
}

/// Sum of the message behind the IP header of an ICMP error, to the end of the frame.
///
/// This is a global function for the verifier, as `decide::read_service`.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn sum_of_message(ctx: *mut xdp_md, packet: u64) -> u32 {
    const BLOCK: usize = 16;
    if HAS_REJECTS.load() == 0 {
        return 0;
    }
    let xdp = XdpContext::new(ctx);
    let frame = Frame::new(xdp.data(), xdp.data_end());
    let mut at = network(packet) + headers(packet & IS_IPV6 != 0) - ICMP_HEADER;
    let mut total = 0;
    for _ in 0..monitor_common::LONGEST_ANSWER_V6 / BLOCK {
        let Some(block) = frame.bytes::<BLOCK>(apart(at)) else {
            break;
        };
        total += sum(&block);
        at += BLOCK;
    }
    for _ in 0..BLOCK / 2 {
        let Some(pair) = frame.bytes::<2>(apart(at)) else {
            break;
        };
        total += sum(&pair);
        at += 2;
    }
    // An odd last byte counts as the first of a pair.
    match frame.bytes::<2>(apart(at - 1)) {
        Some([_, last]) => total + (u32::from(last) << 8),
        None => total,
    }
}
