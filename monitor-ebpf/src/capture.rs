//! Copies of the packets that one policy matches, for a capture file. Only a generation that
//! captures has this code.

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use monitor_common::{
    MAX_COVERING_POLICIES, MatchSet,
    capture::{
        CAPTURE_FRAME_BYTES, CAPTURE_HEADER_BYTES, CAPTURE_HEADERS, CAPTURE_OFF, CaptureHeader,
        CaptureRecord,
    },
    evidence::{PORT_NONE, PORT_READABLE},
};

use crate::{
    decide::{Matched, Verdict},
    flow::{IS_DROPPED, IS_IPV6, packet_bits},
    frame::Frame,
    hook::Hook,
    maps::{
        CAPTURE, CAPTURE_LEASE, CAPTURE_LOST, CAPTURE_RING, CAPTURE_SLOT, INTERFACE_SLOT,
        LONGEST_SET, MATCH_SETS,
    },
    parse::Packet,
    service::{FRAGMENT, FRAGMENT_HEADER, ICMP, ICMPV6, IPV6_HEADER, Service, TCP, UDP},
    verifier::masked,
};

/// Sizes of records between headers and the largest frame: a frame of the usual MTU, and one of
/// 9,000 bytes. The kernel program must know the size of a record when it is compiled.
const USUAL_FRAME: usize = 1 << 11;
const LARGE_FRAME: usize = 1 << 14;

/// Length of an ICMP header (RFC 792, RFC 4443), and of a UDP header (RFC 768).
const SHORT_HEADER: u32 = 8;
/// Length of a TCP header without options (RFC 9293).
const TCP_HEADER: u32 = 20;

/// Copies the packet if the policy of the capture applies to it.
#[inline(always)]
pub(crate) fn take(ctx: &impl Hook, packet: &Packet, matched: &Matched, verdict: Verdict) {
    if CAPTURE.load() == CAPTURE_OFF {
        return;
    }
    ctx.copy_packet(
        packet_bits(packet, verdict),
        matched.service,
        matched.set_id,
        matched.mask,
    );
}

/// Copies the packet if the policy of the capture is among the entries in `mask` of a match set.
/// `packet` is `flow::packet_bits`, `service` [`Service::to_bits`]. Returns 0.
///
/// This is a global function for the verifier, see `hook::Functions`. The verifier checks it
/// whether or not it is called, so it has its own look at [`CAPTURE`]: kernels before 5.18
/// refuse the helper that copies whole frames.
#[inline(always)]
pub(crate) fn copy_packet(
    ctx: &impl Hook,
    packet: u64,
    service: u64,
    set_id: u32,
    mask: u32,
) -> u32 {
    if CAPTURE.load() == CAPTURE_OFF {
        return 0;
    }
    let Some(effective) = MATCH_SETS
        .get(set_id)
        .and_then(|set| effective_if_captured(set, mask))
    else {
        return 0;
    };
    // SAFETY: the helper takes no arguments and only reads the clock.
    let time = unsafe { bpf_ktime_get_boot_ns() };
    // A daemon that was killed renews its lease no more.
    if CAPTURE_LEASE.get(0).is_none_or(|lease| *lease < time) {
        count_loss();
        return 0;
    }
    let frame = ctx.frame();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a frame is shorter than 4 GiB"
    )]
    let length = ctx.length(&frame) as u32;
    let is_headers = CAPTURE.load() == CAPTURE_HEADERS;
    let captured = if is_headers {
        headers(&frame, packet, Service::from_bits(service)).min(length)
    } else {
        length
    };
    #[expect(clippy::cast_possible_truncation, reason = "slots are below 256")]
    let header = CaptureHeader {
        time,
        length,
        captured,
        effective,
        interface: INTERFACE_SLOT.load() as u8,
        dropped: u8::from(packet & IS_DROPPED != 0),
        zero: 0,
    };
    let is_written = match captured as usize {
        _ if is_headers => write_headers(&frame, header),
        size if size <= CAPTURE_HEADER_BYTES => write::<CAPTURE_HEADER_BYTES>(ctx, header),
        size if size <= USUAL_FRAME => write::<USUAL_FRAME>(ctx, header),
        size if size <= LARGE_FRAME => write::<LARGE_FRAME>(ctx, header),
        _ => write::<CAPTURE_FRAME_BYTES>(ctx, header),
    };
    if !is_written {
        count_loss();
    }
    0
}

/// The slot of the effective policy, if the policy of the capture applies to the packet.
#[inline(always)]
fn effective_if_captured(set: &MatchSet, mask: u32) -> Option<u16> {
    let mut effective = None;
    for index in 0..MAX_COVERING_POLICIES {
        if index >= LONGEST_SET.load() as usize || mask >> index == 0 {
            break;
        }
        if mask >> index & 1 == 0 {
            continue;
        }
        let slot = set.entries[index].policy;
        // The first entry that applies is that of the effective policy.
        let first = *effective.get_or_insert(slot);
        if u32::from(slot) == CAPTURE_SLOT.load() {
            return Some(first);
        }
    }
    None
}

/// Length of the headers from layer 2 to layer 4, bytes from the start of the frame. No byte
/// behind the IP packet's own length counts as a header.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "offsets are below 2^17")]
fn headers(frame: &Frame, packet: u64, service: Service) -> u32 {
    let network = packet as usize & 255;
    let is_ipv6 = packet & IS_IPV6 != 0;
    let upper = service.header_offset();
    if upper == 0 {
        return ip_header(frame, network, is_ipv6) as u32;
    }
    let fixed = match (service.kind, service.protocol) {
        (PORT_READABLE, TCP) => match frame.bytes::<14>(upper) {
            Some(header) => u32::from(header[12] >> 4) * 4,
            None => TCP_HEADER,
        }
        .max(TCP_HEADER),
        (PORT_READABLE, UDP) | (PORT_NONE, ICMP | ICMPV6) => SHORT_HEADER,
        _ => 0,
    };
    (upper as u32 + fixed).min(packet_end(frame, network, is_ipv6))
}

/// Offset of the end of an IP header without a readable header behind it.
#[inline(always)]
fn ip_header(frame: &Frame, network: usize, is_ipv6: bool) -> usize {
    let Some(fixed) = frame.bytes::<8>(network) else {
        return network;
    };
    if !is_ipv6 {
        return network + usize::from(fixed[0] & 0x0f) * 4;
    }
    // Without the header of a fragment, a reader would not know that it is one.
    let fragment = if fixed[6] == FRAGMENT {
        FRAGMENT_HEADER
    } else {
        0
    };
    network + IPV6_HEADER + fragment
}

/// Offset of the end of the IP packet, by its own length. A length of 0 is that of a merged
/// packet or of a jumbogram (RFC 2675), which reach to the end of the frame.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "offsets are below 2^17")]
fn packet_end(frame: &Frame, network: usize, is_ipv6: bool) -> u32 {
    let (at, before) = if is_ipv6 { (4, IPV6_HEADER) } else { (2, 0) };
    match frame.bytes::<2>(network + at).map(u16::from_be_bytes) {
        None | Some(0) => u32::MAX,
        Some(length) => (network + before) as u32 + u32::from(length),
    }
}

/// Writes a record with the headers, which have at least eight bytes. Returns false if there is
/// no room. It needs no helper of a newer kernel.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 256")]
fn write_headers(frame: &Frame, mut header: CaptureHeader) -> bool {
    const WORD: usize = 8;
    const LAST: usize = CAPTURE_HEADER_BYTES - WORD;
    header.captured = header.captured.min(CAPTURE_HEADER_BYTES as u32);
    let length = header.captured as usize;
    // The last word overlaps the one before it, unless the length is a multiple of a word. The
    // mask makes the compiler check this number, and not the length, against the frame's end.
    let last = masked::<{ CAPTURE_HEADER_BYTES as u32 - 1 }>(length.wrapping_sub(WORD) as u64);
    let last = last as usize;
    if last > LAST {
        return false;
    }
    let Some(mut record) = CAPTURE_RING.reserve::<CaptureRecord<CAPTURE_HEADER_BYTES>>(0) else {
        return false;
    };
    let place = record.as_mut_ptr();
    // SAFETY: the record is reserved for this function alone, and has room for the header.
    unsafe { (&raw mut (*place).header).write(header) };
    // SAFETY: the field is a part of the record.
    let copy = unsafe { (&raw mut (*place).frame).cast::<u8>() };
    for at in (0..LAST).step_by(WORD) {
        if at >= last {
            break;
        }
        let Some(word) = frame.bytes::<WORD>(at) else {
            record.discard(0);
            return false;
        };
        // SAFETY: `at` is below `LAST`, so the word lies in the field. Bytes have no alignment.
        unsafe { copy.add(at).cast::<[u8; WORD]>().write(word) };
    }
    let Some(word) = frame.bytes::<WORD>(last) else {
        record.discard(0);
        return false;
    };
    // SAFETY: `last` is at most `LAST`, so the word lies in the field.
    unsafe { copy.add(last).cast::<[u8; WORD]>().write(word) };
    record.submit(0);
    true
}

/// Writes a record with the first bytes of the frame. Returns false if there is no room.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 65,536")]
fn write<const BYTES: usize>(ctx: &impl Hook, mut header: CaptureHeader) -> bool {
    const { assert!(BYTES.is_power_of_two() && BYTES <= CAPTURE_FRAME_BYTES) };
    let Some(mut record) = CAPTURE_RING.reserve::<CaptureRecord<BYTES>>(0) else {
        return false;
    };
    // The verifier wants to see a length from 1 on. `BYTES - 1` has all bits of a length.
    let length = (header.captured.min(BYTES as u32)).wrapping_sub(1);
    let length = match BYTES {
        CAPTURE_HEADER_BYTES => masked::<{ CAPTURE_HEADER_BYTES as u32 - 1 }>(length.into()),
        USUAL_FRAME => masked::<{ USUAL_FRAME as u32 - 1 }>(length.into()),
        LARGE_FRAME => masked::<{ LARGE_FRAME as u32 - 1 }>(length.into()),
        _ => masked::<{ CAPTURE_FRAME_BYTES as u32 - 1 }>(length.into()),
    };
    let length = length as u32 + 1;
    header.captured = length;
    let place = record.as_mut_ptr();
    // SAFETY: the record is reserved for this function alone, and has room for the header and
    // `BYTES` bytes. `length` is at most that. The helper checks the range in the frame.
    let is_copied = unsafe {
        (&raw mut (*place).header).write(header);
        ctx.load_bytes(0, (&raw mut (*place).frame).cast(), length)
    };
    if is_copied {
        record.submit(0);
        true
    } else {
        record.discard(0);
        false
    }
}

/// Counts a packet that is not copied.
#[inline(always)]
fn count_loss() {
    if let Some(lost) = CAPTURE_LOST.get_ptr_mut(INTERFACE_SLOT.load()) {
        // SAFETY: only this CPU uses the cell.
        let lost = unsafe { &mut *lost };
        *lost = lost.wrapping_add(1);
    }
}
