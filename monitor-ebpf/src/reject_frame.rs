//! Turns a frame into its answer.
//!
//! The answer keeps VLAN tags and the PPPoE header, and swaps the MACs and the IP addresses. So its
//! source is the address that the device wanted to reach: the program does not know the addresses
//! of the gateway, and clients accept the answer (Linux looks only at the quoted packet).

use core::arch::asm;

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    programs::XdpContext,
};

use crate::{
    flow::IS_IPV6,
    frame::{Frame, apart},
    maps::HAS_REJECTS,
    service::{ICMP, ICMPV6, IPV6_HEADER, Service, TCP},
};

pub(crate) const IPV4_HEADER: usize = 20;
/// Length of a TCP header without options (RFC 9293).
pub(crate) const TCP_HEADER: usize = 20;
const ICMP_HEADER: usize = 8;

/// Bytes in front of the quoted packet.
pub(crate) const ERROR_HEADERS_V4: usize = IPV4_HEADER + ICMP_HEADER;
pub(crate) const ERROR_HEADERS_V6: usize = IPV6_HEADER + ICMP_HEADER;

const ETHERNET_HEADER: usize = 14;
/// An Ethernet header, 28 VLAN tags, and a PPPoE header with its protocol.
const LONGEST_LAYER_2: usize = ETHERNET_HEADER + 28 * 4 + 8;

/// Time to live, and hop limit, of an answer.
const HOPS: u8 = 64;

// Control bits of a TCP header (RFC 9293, section 3.1).
const FIN: u8 = 1;
const SYN: u8 = 1 << 1;
const RST: u8 = 1 << 2;
const ACK: u8 = 1 << 4;

/// Destination unreachable, communication administratively prohibited (RFC 1812, section
/// 5.2.7.1; RFC 4443, section 3.1).
const PROHIBITED_V4: [u8; ICMP_HEADER] = [3, 13, 0, 0, 0, 0, 0, 0];
const PROHIBITED_V6: [u8; ICMP_HEADER] = [1, 1, 0, 0, 0, 0, 0, 0];

/// Turns a TCP segment into the reset that answers it. `packet` is `flow::packet_bits`, `service`
/// `Service::to_bits`. Returns 1, or 0 if that is not possible. Each family has a function of its
/// own, because the stack of a program has 512 bytes.
#[inline(always)]
pub(crate) fn make_reset(ctx: *mut xdp_md, packet: u64, service: u64) -> u32 {
    if packet & IS_IPV6 == 0 {
        make_reset_v4(ctx, packet, service)
    } else {
        make_reset_v6(ctx, packet, service)
    }
}

/// [`make_reset`] for IPv4. A global function for the verifier, as `decide::read_service`.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn make_reset_v4(ctx: *mut xdp_md, packet: u64, service: u64) -> u32 {
    turned(ctx, packet, service, reset_v4)
}

/// [`make_reset`] for IPv6. A global function for the verifier, as `decide::read_service`.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn make_reset_v6(ctx: *mut xdp_md, packet: u64, service: u64) -> u32 {
    turned(ctx, packet, service, reset_v6)
}

#[inline(always)]
fn turned(
    ctx: *mut xdp_md,
    packet: u64,
    service: u64,
    reset: fn(&mut Frame, usize, usize) -> Option<usize>,
) -> u32 {
    if HAS_REJECTS.load() == 0 {
        return 0;
    }
    let xdp = XdpContext::new(ctx);
    let mut frame = Frame::new(xdp.data(), xdp.data_end());
    let network = network(packet);
    let offset = Service::from_bits(service).header_offset();
    let Some(length) = reset(&mut frame, network, offset) else {
        return 0;
    };
    if turn_layer_2(&mut frame, network, length).is_none() {
        return 0;
    }
    u32::from(cut(ctx, &frame, network + length))
}

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

/// Offset of the IP header. The verifier sees that it is behind the Ethernet header.
#[inline(always)]
fn network(packet: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
    let behind = (packet as usize).wrapping_sub(ETHERNET_HEADER) & 255;
    behind + ETHERNET_HEADER
}

#[inline(always)]
fn headers(is_ipv6: bool) -> usize {
    if is_ipv6 {
        ERROR_HEADERS_V6
    } else {
        ERROR_HEADERS_V4
    }
}

/// Ends the frame at `length` bytes; false if it is shorter.
#[inline(always)]
fn cut(ctx: *mut xdp_md, frame: &Frame, length: usize) -> bool {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a frame is shorter than 2 GiB"
    )]
    #[expect(clippy::cast_possible_wrap, reason = "a frame is shorter than 2 GiB")]
    let change = length as i32 - frame.captured() as i32;
    // SAFETY: the caller passes the context of the program, and does not use the frame any more.
    change <= 0 && unsafe { bpf_xdp_adjust_tail(ctx, change) } == 0
}

/// Swaps the MACs, and writes the length of the PPPoE session header (RFC 2516): that of the PPP
/// protocol number and of the packet of `length` bytes.
#[inline(always)]
fn turn_layer_2(frame: &mut Frame, network: usize, length: usize) -> Option<()> {
    const PPP_IPV4: u8 = 0x21;
    const PPP_IPV6: u8 = 0x57;
    let [a, b, c] = [word(frame, 0)?, word(frame, 4)?, word(frame, 8)?];
    frame.write(0, (b << 16 | c >> 16).to_be_bytes())?;
    frame.write(4, (c << 16 | a >> 16).to_be_bytes())?;
    frame.write(8, (a << 16 | b >> 16).to_be_bytes())?;
    // The last byte of an EtherType of IP is another one.
    let [_, last] = frame.bytes::<2>(apart(network - 2))?;
    if last != PPP_IPV4 && last != PPP_IPV6 {
        return Some(());
    }
    // All other headers have an even length, so an odd offset means a protocol of one byte.
    let protocol = 2 - (network & 1);
    #[expect(clippy::cast_possible_truncation, reason = "an answer is short")]
    let length = (protocol + length) as u16;
    frame.write(apart(network - 4 + (network & 1)), length.to_be_bytes())
}

/// What a reset takes from the segment that it answers. All numbers are in host order.
struct Segment {
    /// Source port, destination port.
    ports: u32,
    sequence: u32,
    acknowledged: u32,
    /// The word with the length of the header and the control bits.
    fields: u32,
}

impl Segment {
    /// Length of the header, in bytes.
    #[inline(always)]
    const fn header(&self) -> u32 {
        (self.fields >> 28) * 4
    }

    #[inline(always)]
    const fn controls(&self) -> u8 {
        self.fields.to_be_bytes()[1]
    }
}

/// Writes the reset to a segment; returns the length of the packet.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the length of a header")]
fn reset_v4(frame: &mut Frame, network: usize, offset: usize) -> Option<usize> {
    const LENGTH: usize = IPV4_HEADER + TCP_HEADER;
    let [_, _, high, low] = frame.bytes(network)?;
    let end = network + usize::from(u16::from_be_bytes([high, low]));
    let segment = segment(frame, offset)?;
    let source = word(frame, network + 12)?;
    let destination = word(frame, network + 16)?;
    let addresses = write_ipv4(frame, network, [0, TCP], LENGTH, [destination, source])?;
    let pseudo_header = addresses + u32::from(TCP) + TCP_HEADER as u32;
    let length = end.wrapping_sub(offset);
    write_reset(
        frame,
        network + IPV4_HEADER,
        &segment,
        length,
        pseudo_header,
    )?;
    Some(LENGTH)
}

/// As [`reset_v4`], for IPv6.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the length of a header")]
fn reset_v6(frame: &mut Frame, network: usize, offset: usize) -> Option<usize> {
    let [high, low] = frame.bytes(network + 4)?;
    let end = network + IPV6_HEADER + usize::from(u16::from_be_bytes([high, low]));
    let segment = segment(frame, offset)?;
    let addresses = write_ipv6(frame, network, network, TCP, TCP_HEADER)?;
    let pseudo_header = addresses + u32::from(TCP) + TCP_HEADER as u32;
    let length = end.wrapping_sub(offset);
    write_reset(
        frame,
        network + IPV6_HEADER,
        &segment,
        length,
        pseudo_header,
    )?;
    Some(IPV6_HEADER + TCP_HEADER)
}

/// The segment whose header begins at `offset`.
#[inline(always)]
fn segment(frame: &Frame, offset: usize) -> Option<Segment> {
    Some(Segment {
        ports: word(frame, offset)?,
        sequence: word(frame, offset + 4)?,
        acknowledged: word(frame, offset + 8)?,
        fields: word(frame, offset + 12)?,
    })
}

/// Writes the header of the reset to a segment of `length` bytes, header included (RFC 9293,
/// sections 3.5.2 and 3.10.7.1).
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the length of a header")]
fn write_reset(
    frame: &mut Frame,
    at: usize,
    segment: &Segment,
    length: usize,
    pseudo_header: u32,
) -> Option<()> {
    let ports = segment.ports.rotate_left(16);
    let (sequence, acknowledged, controls) = if segment.controls() & ACK == 0 {
        let data = (length as u32).wrapping_sub(segment.header());
        // SYN and FIN have a sequence number each.
        let controls =
            u32::from(segment.controls() & SYN != 0) + u32::from(segment.controls() & FIN != 0);
        let next = segment.sequence.wrapping_add(data).wrapping_add(controls);
        (0, next, RST | ACK)
    } else {
        (segment.acknowledged, 0, RST)
    };
    let fields = u32::from_be_bytes([(TCP_HEADER as u8 / 4) << 4, controls, 0, 0]);
    let mut total = pseudo_header;
    for (index, word) in [ports, sequence, acknowledged, fields]
        .into_iter()
        .enumerate()
    {
        frame.write(at + index * 4, word.to_be_bytes())?;
        total += halves(word);
    }
    let [high, low] = checksum(total);
    frame.write(at + 16, [high, low, 0, 0])
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

/// Writes the header of a packet of `length` bytes. The answer is no fragment and cannot become
/// one, so it needs no identification (RFC 6864). Returns the sum of the addresses.
#[inline(always)]
fn write_ipv4(
    frame: &mut Frame,
    network: usize,
    [service, protocol]: [u8; 2],
    length: usize,
    [source, destination]: [u32; 2],
) -> Option<u32> {
    const DONT_FRAGMENT: u32 = 0x4000;
    #[expect(clippy::cast_possible_truncation, reason = "at most 576")]
    let first = u32::from_be_bytes([0x45, service, 0, 0]) | length as u32;
    let third = u32::from_be_bytes([HOPS, protocol, 0, 0]);
    let addresses = halves(source) + halves(destination);
    let sum = halves(first) + DONT_FRAGMENT + halves(third) + addresses;
    let [high, low] = checksum(sum);
    let third = third | u32::from(u16::from_be_bytes([high, low]));
    let words = [first, DONT_FRAGMENT, third, source, destination];
    for (index, word) in words.into_iter().enumerate() {
        frame.write(network + index * 4, word.to_be_bytes())?;
    }
    Some(addresses)
}

/// As [`write_ipv4`], with `payload` bytes behind the header. It swaps the addresses of the header
/// at `answered`, which may be the same place.
#[inline(always)]
fn write_ipv6(
    frame: &mut Frame,
    network: usize,
    answered: usize,
    protocol: u8,
    payload: usize,
) -> Option<u32> {
    #[expect(clippy::cast_possible_truncation, reason = "at most 1,240")]
    let [high, low] = (payload as u16).to_be_bytes();
    frame.write(network, [0x60, 0, 0, 0, high, low, protocol, HOPS])?;
    let mut addresses = 0;
    for index in 0..4 {
        let source = word(frame, answered + 8 + index * 4)?;
        let destination = word(frame, answered + 24 + index * 4)?;
        frame.write(network + 8 + index * 4, destination.to_be_bytes())?;
        frame.write(network + 24 + index * 4, source.to_be_bytes())?;
        addresses += halves(source) + halves(destination);
    }
    Some(addresses)
}

/// The word at `offset`, in host order.
#[inline(always)]
fn word(frame: &Frame, offset: usize) -> Option<u32> {
    let bytes = frame.bytes(apart(offset))?;
    Some(whole(u32::from_be_bytes(bytes)))
}

/// The number, as one value. Otherwise the compiler keeps each byte that it was made of on the
/// stack, which has 512 bytes.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a number of 32 bits was passed"
)]
fn whole(value: u32) -> u32 {
    let mut value = u64::from(value);
    // SAFETY: the instruction computes only.
    unsafe {
        asm!(
            "{value} += 0",
            value = inout(reg) value,
            options(nomem, nostack, preserves_flags)
        );
    }
    value as u32
}

/// Sum of both halves of a word.
#[inline(always)]
const fn halves(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
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

/// Sum of the words of 16 bits (RFC 1071). `N` must be even.
#[inline(always)]
pub(crate) fn sum<const N: usize>(bytes: &[u8; N]) -> u32 {
    const { assert!(N.is_multiple_of(2)) };
    let (pairs, _) = bytes.as_chunks();
    pairs
        .iter()
        .map(|pair| u32::from(u16::from_be_bytes(*pair)))
        .sum()
}

/// A sum as one word.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the carries are added")]
pub(crate) fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

#[inline(always)]
fn checksum(sum: u32) -> [u8; 2] {
    (!fold(sum)).to_be_bytes()
}
