//! Flows: what each device sent to each destination.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use monitor_common::evidence::{
    BUCKET_CELLS, FLOW_KEY_WORDS, FLOW_USED_WORD, FlowBucket, FlowCell, FlowCellKey, FlowEvent,
    KIND_DROPPED, KIND_IN, KIND_IPV6, KIND_USED, SOURCE_TAG_SHIFT, flow_buckets, flow_hash,
    source_tag,
};

use crate::{
    decide::{Matched, Verdict},
    direction::is_in,
    frame::Frame,
    hook::{Hook, shows_device},
    maps::{
        EVIDENCE, EVIDENCE_LOSSES, FLOW_BUCKETS, FLOW_EVENTS, FLOWS, GENERATION_NUMBER,
        INTERFACE_SLOT,
    },
    parse::{Destination, Packet},
    replay,
    service::Service,
};

/// What became of the flow of a packet. The numbers are arguments of
/// `account::add_to_policies`.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Recorded {
    /// The program records no flows.
    Off = 0,
    /// A flow counts the packet.
    Flow = 1,
    /// The tables have no room for the flow.
    Full = 2,
    /// The policies that apply ask for counters only.
    Setting = 3,
}

/// A packet and its flow.
struct FlowPacket {
    /// `FlowCellKey::to_words`.
    key: [u64; FLOW_KEY_WORDS],
    /// `flow_hash`.
    hash: u64,
    /// Source address in network order; IPv4 as `::ffff:a.b.c.d`.
    source: [u64; 2],
    /// Number of the epoch.
    epoch: u64,
}

/// Bit of [`packet_bits`]: the packet is IPv6.
pub(crate) const IS_IPV6: u64 = 1 << 8;
/// Bit of [`packet_bits`]: the packet is dropped.
pub(crate) const IS_DROPPED: u64 = 1 << 9;

/// A packet as one number, for global functions: the offset of its IP header and the bits
/// `IS_*`.
#[inline(always)]
pub(crate) fn packet_bits(packet: &Packet, verdict: Verdict) -> u64 {
    let family = match packet.destination {
        Destination::Ipv4(_) => 0,
        Destination::Ipv6(_) => IS_IPV6,
    };
    let dropped = match verdict {
        Verdict::Passed => 0,
        Verdict::Dropped => IS_DROPPED,
    };
    packet.network as u64 | family | dropped
}

/// Adds the packet to its flow.
#[inline(always)]
pub(crate) fn record(
    ctx: &impl Hook,
    packet: &Packet,
    matched: &Matched,
    verdict: Verdict,
) -> Recorded {
    if FLOW_BUCKETS.load() == 0 {
        return Recorded::Off;
    }
    if matched.mask & matched.set.flows == 0 {
        return Recorded::Setting;
    }
    let packet = packet_bits(packet, verdict);
    let service = matched.service;
    match ctx.add_to_flow(packet, service, matched.set_id, matched.mask) {
        0 => Recorded::Flow,
        _ => Recorded::Full,
    }
}

/// Adds a packet to its flow. `packet` is [`packet_bits`], `service` [`Service::to_bits`].
/// Returns 0, or 1 if the tables have no room for a new flow.
///
/// This is a global function for the verifier, see `hook::Functions`.
#[inline(always)]
pub(crate) fn add_to_flow(
    ctx: &impl Hook,
    packet: u64,
    service: u64,
    set_id: u32,
    mask: u32,
) -> u32 {
    let frame = ctx.frame();
    let service = Service::from_bits(service);
    let Some(sample) = read(&frame, packet, service, set_id, mask) else {
        return 1;
    };
    let Some(cell) = cell(&sample) else {
        return 1;
    };
    cell.last = replay::now();
    cell.count.add_packet(replay::wire_length(ctx, &frame));
    0
}

/// Reads the key and the source address of a packet, with the source tag in the key.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "each part has few bits")]
fn read(
    frame: &Frame,
    packet: u64,
    service: Service,
    set_id: u32,
    mask: u32,
) -> Option<FlowPacket> {
    const IPV4_ADDRESSES: usize = 12;
    const IPV6_ADDRESSES: usize = 8;
    let network = packet as usize & 255;
    let (source, destination, family) = if packet & IS_IPV6 == 0 {
        let [source, destination] = frame.words(network + IPV4_ADDRESSES)?;
        (mapped_words(source), mapped_words(destination), 0)
    } else {
        let words = frame.words::<8>(network + IPV6_ADDRESSES)?;
        // No closure: with two hooks the compiler would make it a function that can panic, and
        // the verifier refuses such a function.
        let source = [pair(words[0], words[1]), pair(words[2], words[3])];
        let destination = [pair(words[4], words[5]), pair(words[6], words[7])];
        (source, destination, KIND_IPV6)
    };
    // The key holds the address of the policy's destination, and the start of the flow that
    // of the device.
    let (source, destination, direction) = if is_in() {
        (destination, source, KIND_IN)
    } else {
        (source, destination, 0)
    };
    let verdict = if packet & IS_DROPPED == 0 {
        0
    } else {
        KIND_DROPPED
    };
    let [mac @ .., _, _] = device_mac(frame).to_ne_bytes();
    let key = FlowCellKey {
        destination: [0; 16],
        mac,
        port: service.port,
        protocol: service.protocol,
        kind: service.kind | KIND_USED | family | verdict | direction,
        interface: INTERFACE_SLOT.load() as u8,
        set: set_id as u16,
        source_tag: 0,
        mask,
        generation: GENERATION_NUMBER.load(),
    };
    let mut key = key.to_words();
    [key[0], key[1]] = destination;
    let control = EVIDENCE.get_ptr(0)?;
    // SAFETY: the element exists. User space writes the secrets before any program runs, and
    // the epoch in one store.
    let (secrets, epoch) = unsafe {
        (
            &(*control).secrets,
            core::ptr::addr_of!((*control).epoch).read_volatile(),
        )
    };
    let hash = flow_hash(&key, secrets, 0);
    let hash = hash.wrapping_add(flow_hash(&source, secrets, FLOW_KEY_WORDS));
    key[FLOW_USED_WORD] |= u64::from(source_tag(hash)) << SOURCE_TAG_SHIFT;
    Some(FlowPacket {
        key,
        hash,
        source,
        epoch,
    })
}

/// MAC of the device, as `Frame::source_mac`: the source of packets `out`, the destination of
/// packets `in`. Zero where the frame does not show the device.
#[inline(always)]
pub(crate) fn device_mac(frame: &Frame) -> u64 {
    if !shows_device() {
        0
    } else if is_in() {
        frame.destination_mac()
    } else {
        frame.source_mac()
    }
}

/// `::ffff:a.b.c.d` as words in network order.
#[inline(always)]
fn mapped_words(address: u32) -> [u64; 2] {
    [0, pair(0xffff_u32.to_be(), address)]
}

/// Eight bytes from two words, all in network order.
#[inline(always)]
fn pair(first: u32, second: u32) -> u64 {
    const { assert!(cfg!(target_endian = "little")) };
    u64::from(first) | u64::from(second) << 32
}

/// `::ffff:a.b.c.d`.
#[inline(always)]
pub(crate) const fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// The cell of a packet; `None` if there is no room.
#[inline(always)]
fn cell(sample: &FlowPacket) -> Option<&'static mut FlowCell> {
    // SAFETY: the helper takes no arguments and only reads a number.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let buckets = FLOW_BUCKETS.load();
    let table = (cpu * 2 + u32::from(sample.epoch & 1 != 0)) * buckets;
    let [one, other] = flow_buckets(sample.hash, buckets);
    let one = FLOWS.get_ptr_mut(table + one)?;
    if let Some(cell) = find(one, sample) {
        return Some(cell);
    }
    let other = FLOWS.get_ptr_mut(table + other)?;
    find(other, sample).or_else(|| insert([one, other], sample))
}

/// The cell of the packet's key in a bucket.
#[inline(always)]
fn find(bucket: *mut FlowBucket, sample: &FlowPacket) -> Option<&'static mut FlowCell> {
    cells(bucket)
        .iter_mut()
        .take_while(|cell| cell.key[FLOW_USED_WORD] != 0)
        .find(|cell| {
            cell.key[FLOW_USED_WORD] == sample.key[FLOW_USED_WORD]
                && cell.key[0] == sample.key[0]
                && cell.key[1] == sample.key[1]
                && cell.key[2] == sample.key[2]
                && cell.key[4] == sample.key[4]
        })
}

/// Makes a cell in the emptier of its two buckets; `None` if both are full.
#[inline(always)]
fn insert(buckets: [*mut FlowBucket; 2], sample: &FlowPacket) -> Option<&'static mut FlowCell> {
    let [one, other] = buckets.map(|bucket| {
        let used = cells(bucket).iter().map(|cell| cell.key[FLOW_USED_WORD]);
        used.map(|word| u32::from(word == 0)).sum::<u32>()
    });
    let bucket = buckets[usize::from(other > one)];
    let place = cells(bucket)
        .iter()
        .position(|cell| cell.key[FLOW_USED_WORD] == 0)?;
    // SAFETY: as in `cells`, of which no reference is left.
    let bucket = unsafe { &mut *bucket };
    let start = bucket.starts.get_mut(place)?;
    start.first = replay::now();
    start.source = sample.source;
    let cell = bucket.cells.get_mut(place)?;
    for word in [0, 1, 2, 4, FLOW_USED_WORD] {
        // SAFETY: a reference is valid. The order of the stores matters to user space, which
        // reads cells while programs write them.
        unsafe { core::ptr::addr_of_mut!(cell.key[word]).write_volatile(sample.key[word]) };
    }
    report(sample);
    Some(cell)
}

/// Writes an event about a new cell.
#[inline(always)]
fn report(sample: &FlowPacket) {
    if let Some(mut event) = FLOW_EVENTS.reserve::<FlowEvent>(0) {
        event.write(FlowEvent {
            key: sample.key,
            source: sample.source,
            time: replay::now(),
            dropped: u64::from(sample.key[FLOW_USED_WORD] >> 8 & u64::from(KIND_DROPPED) != 0),
        });
        event.submit(0);
    } else if let Some(losses) = EVIDENCE_LOSSES.get_ptr_mut(0) {
        // SAFETY: only this CPU uses the cell.
        unsafe { (*losses).events = (*losses).events.wrapping_add(1) };
    }
}

/// The cells of a bucket.
#[inline(always)]
fn cells(bucket: *mut FlowBucket) -> &'static mut [FlowCell; BUCKET_CELLS] {
    // SAFETY: the pointer comes from `FLOWS`. No other program run uses this CPU's cells, see
    // `account::interface_counters`, and user space writes no table of the current epoch.
    // Both buckets of a flow may be the same one, so each caller drops its reference before
    // the next one is made.
    unsafe { &mut (*bucket).cells }
}
