//! Samples of what devices send: the first payload of each matched connection. User space
//! looks for names in it and discards it.

use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_ns};
use monitor_common::evidence::{
    CONNECTION_BYTES, CONNECTION_LINES, CONNECTION_PACKETS, Connection, EvidenceLosses, KIND_IPV6,
    LINE_CONNECTIONS, PORT_READABLE, SampleHeader, SampleRecord,
};

use crate::{
    decide::{Matched, Verdict},
    flow::{IS_DROPPED, IS_IPV6, mapped, packet_bits},
    frame::Frame,
    hook::Hook,
    maps::{
        CONNECTIONS, EVIDENCE, EVIDENCE_LOSSES, INTERFACE_SLOT, SAMPLE_BUDGET, SAMPLE_OF_CPU,
        SAMPLES, SAMPLES_RING,
    },
    parse::Packet,
    replay,
    service::{Service, TCP, UDP},
    verifier::masked,
};

/// The most samples that one CPU takes in a period, and their bytes.
const MOST_SAMPLES: u64 = 1000;
const MOST_BYTES: u64 = 1 << 20;

/// `CONNECTION_BYTES - 1`, which has all bits of a length.
const MASK: u32 = CONNECTION_BYTES as u32 - 1;
const _: () = assert!(CONNECTION_BYTES.is_power_of_two());

/// A period has 2^30 ns (1.07 s).
const PERIOD_BITS: u32 = 30;

/// Where the payload of a packet is.
#[derive(Clone, Copy)]
struct Payload {
    /// Offset from the start of the frame, bytes.
    offset: u32,
    /// Length by the IP header, bytes. The frame may hold less.
    length: u32,
    source_port: u16,
    sequence: u32,
    flags: u8,
}

/// Takes a sample if the connection has room for one.
#[inline(always)]
pub(crate) fn take(ctx: &impl Hook, packet: &Packet, matched: &Matched, verdict: Verdict) {
    if SAMPLES.load() == 0 || matched.mask & matched.set.names == 0 {
        return;
    }
    let service = matched.service;
    if Service::from_bits(service).kind == PORT_READABLE {
        ctx.take_sample(packet_bits(packet, verdict), service);
    }
}

/// Takes a sample. `packet` is `flow::packet_bits`, `service` [`Service::to_bits`]. Returns 0.
///
/// This is a global function for the verifier, see `hook::Functions`. The verifier checks
/// it whether or not it is called, so it has its own look at [`SAMPLES`]: kernels before 5.18
/// refuse the helper that copies payload.
#[inline(always)]
pub(crate) fn take_sample(ctx: &impl Hook, packet: u64, service: u64) -> u32 {
    if SAMPLES.load() == 0 {
        return 0;
    }
    let frame = ctx.frame();
    let service = Service::from_bits(service);
    let Some(payload) = payload(&frame, packet, service).filter(|payload| payload.length > 0)
    else {
        return 0;
    };
    let Some(sample) = SAMPLE_OF_CPU.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: only this CPU uses the cell, and no other program run interrupts this one.
    let sample = unsafe { &mut *sample };
    let header = &mut sample.header;
    if describe(header, &frame, packet, service, payload).is_none() {
        return 0;
    }
    let Some(room) = room_of_connection(header) else {
        return 0;
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a frame is shorter than 4 GiB"
    )]
    let in_frame = (ctx.length(&frame) as u32).wrapping_sub(payload.offset);
    let length = payload.length.min(room).min(in_frame);
    if payload.length > length {
        count_loss(|losses| &mut losses.samples_cut);
    }
    write(ctx, sample, payload.offset, length);
    0
}

/// Finds the payload by the lengths in the headers, as Linux does.
#[inline(always)]
fn payload(frame: &Frame, packet: u64, service: Service) -> Option<Payload> {
    #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
    let network = packet as usize & 255;
    let offset = service.header_offset();
    let end = if packet & IS_IPV6 == 0 {
        // RFC 791: the total length.
        network + usize::from(u16::from_be_bytes(frame.bytes(network + 2)?))
    } else {
        // RFC 8200: the payload length, behind the fixed header of 40 bytes.
        network + 40 + usize::from(u16::from_be_bytes(frame.bytes(network + 4)?))
    };
    let (source_port, header, sequence, flags) = match service.protocol {
        TCP => {
            // One read: the verifier does not see that two lie in the same checked range.
            let [high, low, _, _, a, b, c, d, _, _, _, _, words, flags] = frame.bytes(offset)?;
            let sequence = u32::from_be_bytes([a, b, c, d]);
            ([high, low], usize::from(words >> 4) * 4, sequence, flags)
        }
        UDP => (frame.bytes(offset)?, 8, 0, 0),
        _ => return None,
    };
    let offset = offset + header;
    #[expect(clippy::cast_possible_truncation, reason = "both are below 2^17")]
    Some(Payload {
        offset: offset as u32,
        length: if end > offset {
            (end - offset) as u32
        } else {
            0
        },
        source_port: u16::from_be_bytes(source_port),
        sequence,
        flags,
    })
}

/// Writes everything but the captured length.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "each part has few bits")]
fn describe(
    header: &mut SampleHeader,
    frame: &Frame,
    packet: u64,
    service: Service,
    payload: Payload,
) -> Option<()> {
    let network = packet as usize & 255;
    if packet & IS_IPV6 == 0 {
        let addresses: [u8; 8] = frame.bytes(network + 12)?;
        let [source @ .., _, _, _, _] = addresses;
        let [_, _, _, _, destination @ ..] = addresses;
        header.source = mapped(source);
        header.destination = mapped(destination);
        header.kind = 0;
    } else {
        header.source = frame.bytes(network + 8)?;
        header.destination = frame.bytes(network + 24)?;
        header.kind = KIND_IPV6;
    }
    let [mac @ .., _, _] = frame.source_mac().to_ne_bytes();
    header.mac = mac;
    header.time = replay::now();
    header.source_port = payload.source_port;
    header.port = service.port;
    header.protocol = service.protocol;
    header.sequence = payload.sequence;
    header.length = payload.length.min(u32::from(u16::MAX)) as u16;
    header.interface = INTERFACE_SLOT.load() as u8;
    header.dropped = u8::from(packet & IS_DROPPED != 0);
    header.flags = payload.flags;
    header.zero = 0;
    Some(())
}

/// Bytes that may still be sampled of the connection, and takes them; `None` if there are
/// none.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the parts of a hash, and ticks modulo 2^32"
)]
fn room_of_connection(header: &SampleHeader) -> Option<u32> {
    let tag = tag(header)?;
    // SAFETY: the helper takes no arguments and only reads a number.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let line = (tag >> 32) as u32 & (CONNECTION_LINES - 1);
    let line = CONNECTIONS.get_ptr_mut(cpu * CONNECTION_LINES + line)?;
    // SAFETY: only this CPU uses its lines, and no other program run interrupts this one.
    let places = unsafe { &mut (*line).connections };
    let now = header.time as u32;
    let mut oldest = 0;
    for index in 0..LINE_CONNECTIONS {
        if places[index].tag == tag {
            return take_from(&mut places[index], header);
        }
        let age = |place: &Connection| match place.tag {
            0 => u32::MAX,
            _ => now.wrapping_sub(place.since),
        };
        if age(&places[index]) > age(&places[oldest & 3]) {
            oldest = index;
        }
    }
    places[oldest & 3] = Connection {
        tag,
        since: now,
        ..Connection::default()
    };
    take_from(&mut places[oldest & 3], header)
}

#[inline(always)]
fn take_from(connection: &mut Connection, header: &SampleHeader) -> Option<u32> {
    let left = CONNECTION_BYTES.saturating_sub(connection.bytes);
    if left == 0 || connection.packets >= CONNECTION_PACKETS {
        return None;
    }
    connection.packets += 1;
    connection.bytes += left.min(header.length);
    Some(u32::from(left))
}

/// Keyed hash of a connection, not 0.
#[inline(always)]
fn tag(header: &SampleHeader) -> Option<u64> {
    let control = EVIDENCE.get_ptr(0)?;
    // SAFETY: the element exists, and user space writes the secrets before any program runs.
    let secrets = unsafe { &(*control).secrets };
    let words = |address: [u8; 16]| {
        let [first @ .., _, _, _, _, _, _, _, _] = address;
        let [_, _, _, _, _, _, _, _, second @ ..] = address;
        [first, second].map(u64::from_ne_bytes)
    };
    let ([a, b], [c, d]) = (words(header.source), words(header.destination));
    let ports = u64::from(header.source_port)
        | u64::from(header.port) << 16
        | u64::from(header.protocol) << 32;
    Some(monitor_common::evidence::flow_hash(&[a, b, c, d, ports], secrets, 0) | 1)
}

/// Copies `length` bytes of the frame into the sample, and writes the sample.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 4096")]
fn write(ctx: &impl Hook, sample: &mut SampleRecord, offset: u32, length: u32) {
    // The verifier wants to see a length from 1 on.
    let length = masked::<MASK>(u64::from(length.wrapping_sub(1))) as u32 + 1;
    if !take_turn(u64::from(length)) {
        return;
    }
    sample.header.captured = length as u16;
    let payload = sample.payload.as_mut_ptr();
    // SAFETY: the payload has room for `CONNECTION_BYTES` bytes, and `length` is at most that.
    // The helper checks the range in the frame.
    if !unsafe { ctx.load_bytes(offset, payload.cast(), length) } {
        return;
    }
    let size = size_of::<SampleHeader>() + length as usize;
    // SAFETY: the sample has `size` bytes, all of which were written before.
    let record = unsafe { core::slice::from_raw_parts(core::ptr::from_ref(sample).cast(), size) };
    if SAMPLES_RING.output::<[u8]>(record, 0).is_err() {
        count_loss(|losses| &mut losses.samples_full);
    }
}

/// Takes a sample of `bytes` bytes from the budget of this CPU; false if none is left in this
/// period.
#[inline(always)]
fn take_turn(bytes: u64) -> bool {
    let Some(budget) = SAMPLE_BUDGET.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: only this CPU uses the cell, and no other program run interrupts this one.
    let budget = unsafe { &mut *budget };
    // SAFETY: the helper takes no arguments and only reads the clock.
    let period = unsafe { bpf_ktime_get_ns() } >> PERIOD_BITS;
    if budget.period != period {
        budget.period = period;
        budget.samples = 0;
        budget.bytes = 0;
    }
    if budget.samples >= MOST_SAMPLES || budget.bytes >= MOST_BYTES {
        count_loss(|losses| &mut losses.samples_rate);
        return false;
    }
    budget.samples += 1;
    budget.bytes += bytes;
    true
}

#[inline(always)]
fn count_loss(cell: fn(&mut EvidenceLosses) -> &mut u64) {
    if let Some(losses) = EVIDENCE_LOSSES.get_ptr_mut(0) {
        // SAFETY: only this CPU uses the cell.
        let cell = cell(unsafe { &mut *losses });
        *cell = cell.wrapping_add(1);
    }
}
