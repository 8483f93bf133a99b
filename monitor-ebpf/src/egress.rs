//! The classifier on the way to the devices: copies DNS answers, and tells of servers that
//! speak encrypted DNS. It changes no packet and decides nothing.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod direction;
#[expect(dead_code, reason = "the XDP program uses all of it")]
mod frame;
#[expect(dead_code, reason = "the XDP program uses all of it")]
mod parse;
mod runtime;
#[expect(dead_code, reason = "the XDP program uses all of it")]
mod service;
#[expect(dead_code, reason = "the XDP program uses all of it")]
mod verifier;

use aya_ebpf::{
    EbpfContext as _, Global,
    bindings::TC_ACT_UNSPEC,
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns, bpf_skb_load_bytes},
    macros::{classifier, map},
    maps::{Array, HashMap, PerCpuArray, RingBuf},
    programs::TcContext,
};
use monitor_common::evidence::{
    CONNECTION_BYTES, DNS_RING_BYTES, DnsLosses, KIND_IPV6, MAX_RESOLVERS, SampleHeader,
    SampleRecord,
};

use crate::{
    frame::Frame,
    parse::{Destination, Packet, parse},
    service::{Service, TCP, UDP},
    verifier::masked,
};

const DNS: u16 = 53;
/// DNS over TLS (RFC 7858) and over QUIC (RFC 9250).
const ENCRYPTED_DNS: u16 = 853;
const HTTPS: u16 = 443;

/// SYN and ACK in the flags of a TCP header.
const SYN_ACK: u8 = 0x12;
/// The first bit of a QUIC packet with a long header (RFC 8999).
const LONG_HEADER: u8 = 0x80;

/// The most copies that one CPU makes in a period, and their bytes.
const MOST_COPIES: u64 = 1000;
const MOST_BYTES: u64 = 1 << 20;
/// A period has 2^30 ns (1.07 s).
const PERIOD_BITS: u32 = 30;

const MASK: u32 = CONNECTION_BYTES as u32 - 1;

// Each loaded object has its own maps.

#[map(name = "DNS_RING")]
static DNS_RING: RingBuf = RingBuf::with_byte_size(DNS_RING_BYTES, 0);

#[map(name = "DNS_LOSSES")]
static DNS_LOSSES: PerCpuArray<DnsLosses> = PerCpuArray::with_max_entries(1, 0);

/// Addresses of servers that offer DNS over HTTPS; IPv4 as `::ffff:a.b.c.d`. User space
/// writes them.
#[map(name = "RESOLVERS")]
static RESOLVERS: HashMap<[u8; 16], u32> = HashMap::with_max_entries(MAX_RESOLVERS, 0);

/// Time of the next packet of a replay, in ticks.
#[map(name = "REPLAY_TIME")]
static REPLAY_TIME: Array<u64> = Array::with_max_entries(1, 0);

#[map(name = "COPY_OF_CPU")]
static COPY_OF_CPU: PerCpuArray<SampleRecord> = PerCpuArray::with_max_entries(1, 0);

#[map(name = "COPY_BUDGET")]
static COPY_BUDGET: PerCpuArray<CopyBudget> = PerCpuArray::with_max_entries(1, 0);

/// Copies that one CPU made in the current period.
#[repr(C)]
struct CopyBudget {
    /// Number of the current period, counted from boot.
    period: u64,
    copies: u64,
    bytes: u64,
}

/// 1 if time is that of a replay.
#[unsafe(no_mangle)]
static REPLAY: Global<u32> = Global::new(0);

/// The IP header of a packet.
struct Network {
    is_ipv6: bool,
    /// Addresses; IPv4 as `::ffff:a.b.c.d`.
    source: [u8; 16],
    destination: [u8; 16],
    /// Offset of the header, bytes.
    start: usize,
    /// Offset of the end of the packet by the header, bytes.
    end: usize,
}

/// A packet that is worth a copy.
struct Found {
    network: Network,
    service: Service,
    source_port: u16,
    /// Offset of the payload, bytes.
    payload: usize,
    /// Length of the payload by the IP header, bytes.
    length: usize,
    sequence: u32,
    flags: u8,
}

/// Entry point: called for every frame that leaves through the interface.
#[classifier]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the `classifier` macro passes it by value"
)]
fn monitor_dns(ctx: TcContext) -> i32 {
    let frame = Frame::new(ctx.data(), ctx.data_end());
    if let Ok(packet) = parse(&frame)
        && let Some(found) = examine(&frame, &packet)
    {
        copy(&ctx, &frame, &found);
    }
    TC_ACT_UNSPEC
}

/// Reads the IP header. Each header is read once: the verifier does not see that two reads
/// lie in the same checked range.
#[inline(always)]
fn network(frame: &Frame, packet: &Packet) -> Option<Network> {
    let start = packet.network & 255;
    match packet.destination {
        Destination::Ipv4(_) => {
            let header: [u8; IPV4_HEADER] = frame.bytes(start)?;
            let [_, _, high, low, ..] = header;
            let [.., s0, s1, s2, s3, _, _, _, _] = header;
            let [.., d0, d1, d2, d3] = header;
            Some(Network {
                is_ipv6: false,
                source: mapped([s0, s1, s2, s3]),
                destination: mapped([d0, d1, d2, d3]),
                start,
                end: start + usize::from(u16::from_be_bytes([high, low])),
            })
        }
        Destination::Ipv6(_) => {
            let header: [u8; IPV6_HEADER] = frame.bytes(start)?;
            let [mut source, mut destination] = [[0; 16]; 2];
            source.copy_from_slice(&header[8..24]);
            destination.copy_from_slice(&header[24..]);
            let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
            Some(Network {
                is_ipv6: true,
                source,
                destination,
                start,
                end: start + IPV6_HEADER + length,
            })
        }
    }
}

/// Finds the payload of a packet from a DNS server.
#[inline(always)]
fn examine(frame: &Frame, packet: &Packet) -> Option<Found> {
    let network = network(frame, packet)?;
    let service = Service::read(frame, network.start, network.is_ipv6);
    let header = service.header_offset();
    if header == 0 {
        return None;
    }
    let (port, length, sequence, flags) = match service.protocol {
        TCP => {
            let [high, low, _, _, a, b, c, d, _, _, _, _, words, flags] = frame.bytes(header)?;
            let sequence = u32::from_be_bytes([a, b, c, d]);
            ([high, low], usize::from(words >> 4) * 4, sequence, flags)
        }
        UDP => (frame.bytes(header)?, UDP_HEADER, 0, 0),
        _ => return None,
    };
    let payload = header + length;
    let found = Found {
        length: network.end.saturating_sub(payload),
        network,
        service,
        source_port: u16::from_be_bytes(port),
        payload,
        sequence,
        flags,
    };
    is_wanted(frame, &found).then_some(found)
}

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;

/// `::ffff:a.b.c.d`.
#[inline(always)]
const fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// True for DNS answers, and for the first packet of a server that speaks encrypted DNS.
#[inline(always)]
fn is_wanted(frame: &Frame, found: &Found) -> bool {
    let is_encrypted = match found.source_port {
        DNS => return found.length > 0,
        ENCRYPTED_DNS => true,
        HTTPS => RESOLVERS.get_ptr(&found.network.source).is_some(),
        _ => return false,
    };
    let begins = if found.service.protocol == TCP {
        found.flags & SYN_ACK == SYN_ACK
    } else {
        let first = frame.bytes::<2>(found.payload);
        first.is_some_and(|[first, _]| first & LONG_HEADER != 0)
    };
    is_encrypted && begins
}

/// Writes a copy to the ring buffer.
#[inline(always)]
fn copy(ctx: &TcContext, frame: &Frame, found: &Found) -> Option<()> {
    let sample = COPY_OF_CPU.get_ptr_mut(0)?;
    // SAFETY: only this CPU uses the cell, and the classifier runs with bottom halves off.
    let sample = unsafe { &mut *sample };
    sample.header = header(frame, found)?;
    let mut size = size_of::<SampleHeader>();
    if found.source_port == DNS {
        size += copy_payload(ctx, sample, found)?;
    }
    if !take_turn(size as u64) {
        return None;
    }
    // SAFETY: the sample has `size` bytes, all of which were written before.
    let record = unsafe { core::slice::from_raw_parts(core::ptr::from_ref(sample).cast(), size) };
    if DNS_RING.output::<[u8]>(record, 0).is_err() {
        count_loss(|losses| &mut losses.full);
    }
    Some(())
}

/// Everything but the captured length.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an IP packet is shorter than 64 KiB"
)]
fn header(frame: &Frame, found: &Found) -> Option<SampleHeader> {
    let network = &found.network;
    Some(SampleHeader {
        time: now(),
        source: network.source,
        destination: network.destination,
        mac: frame.bytes(0)?,
        source_port: found.source_port,
        port: found.service.port,
        protocol: found.service.protocol,
        kind: if network.is_ipv6 { KIND_IPV6 } else { 0 },
        sequence: found.sequence,
        length: found.length as u16,
        captured: 0,
        interface: 0,
        dropped: 0,
        flags: found.flags,
        zero: 0,
    })
}

/// Copies the payload into the sample. Returns its length.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 4096, and offsets of headers"
)]
fn copy_payload(ctx: &TcContext, sample: &mut SampleRecord, found: &Found) -> Option<usize> {
    let in_frame = (ctx.len() as usize).saturating_sub(found.payload);
    let length = found
        .length
        .min(in_frame)
        .min(usize::from(CONNECTION_BYTES));
    if length < found.length {
        count_loss(|losses| &mut losses.cut);
    }
    // The verifier wants to see a length from 1 on.
    let length = masked::<MASK>((length as u64).wrapping_sub(1)) as u32 + 1;
    sample.header.captured = length as u16;
    let payload = sample.payload.as_mut_ptr();
    // SAFETY: the payload has room for `CONNECTION_BYTES` bytes, and `length` is at most that.
    // The helper checks the range in the packet.
    let copied = unsafe {
        let packet = ctx.as_ptr().cast();
        bpf_skb_load_bytes(packet, found.payload as u32, payload.cast(), length)
    };
    (copied == 0).then_some(length as usize)
}

/// Time of the packet, in ticks of the kernel.
#[inline(always)]
fn now() -> u64 {
    if REPLAY.load() == 0 {
        // SAFETY: the helper takes no arguments and only reads a number.
        return unsafe { bpf_jiffies64() };
    }
    REPLAY_TIME.get(0).copied().unwrap_or_default()
}

/// Takes a copy of `bytes` bytes from the budget of this CPU; false if none is left in this
/// period.
#[inline(always)]
fn take_turn(bytes: u64) -> bool {
    let Some(budget) = COPY_BUDGET.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: as in `copy`.
    let budget = unsafe { &mut *budget };
    // SAFETY: the helper takes no arguments and only reads the clock.
    let period = unsafe { bpf_ktime_get_ns() } >> PERIOD_BITS;
    if budget.period != period {
        budget.period = period;
        budget.copies = 0;
        budget.bytes = 0;
    }
    if budget.copies >= MOST_COPIES || budget.bytes >= MOST_BYTES {
        count_loss(|losses| &mut losses.rate);
        return false;
    }
    budget.copies += 1;
    budget.bytes += bytes;
    true
}

#[inline(always)]
fn count_loss(cell: fn(&mut DnsLosses) -> &mut u64) {
    if let Some(losses) = DNS_LOSSES.get_ptr_mut(0) {
        // SAFETY: only this CPU uses the cell.
        let cell = cell(unsafe { &mut *losses });
        *cell = cell.wrapping_add(1);
    }
}
