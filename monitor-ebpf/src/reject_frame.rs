//! The parts of every answer: the headers below TCP and ICMP, written over those of the answered
//! frame.
//!
//! The answer keeps VLAN tags and the PPPoE header, and swaps the MACs and the IP addresses. So its
//! source is the address that the device wanted to reach: the program does not know the addresses
//! of the gateway, and clients accept the answer (Linux looks only at the quoted packet).

use core::arch::asm;

use aya_ebpf::{bindings::xdp_md, helpers::generated::bpf_xdp_adjust_tail};

use crate::{
    checksum::{checksum, halves},
    frame::{Frame, apart},
};

pub(crate) const IPV4_HEADER: usize = 20;
pub(crate) const ETHERNET_HEADER: usize = 14;
/// Time to live, and hop limit, of an answer.
const HOPS: u8 = 64;

/// Offset of the IP header. The verifier sees that it is behind the Ethernet header.
#[inline(always)]
pub(crate) fn network(packet: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
    let behind = (packet as usize).wrapping_sub(ETHERNET_HEADER) & 255;
    behind + ETHERNET_HEADER
}

/// Ends the frame at `length` bytes; false if it is shorter.
#[inline(always)]
pub(crate) fn cut(ctx: *mut xdp_md, frame: &Frame, length: usize) -> bool {
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
pub(crate) fn turn_layer_2(frame: &mut Frame, network: usize, length: usize) -> Option<()> {
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

/// Writes the header of a packet of `length` bytes. The answer is no fragment and cannot become
/// one, so it needs no identification (RFC 6864). Returns the sum of the addresses.
#[inline(always)]
pub(crate) fn write_ipv4(
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
pub(crate) fn write_ipv6(
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
pub(crate) fn word(frame: &Frame, offset: usize) -> Option<u32> {
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
