//! Flows as the kernel program records them.
//!
//! Each CPU has two tables of flows. Programs use the table of the current *epoch*; the
//! daemon drains the other one:
//!
//! ```text
//! epoch = E+1   programs record in table (E+1) & 1. The daemon waits for a grace period,
//!               stores the flows of table E & 1, and clears that table.
//! cleared = E   the table of epoch E is empty again.
//! ```
//!
//! A table is an array of buckets of cells. A cell counts the packets of one flow with one
//! source address and one verdict, so the program finds and counts a packet in one cache
//! line. It is in one of two buckets, which a keyed hash chooses. The key is secret, so a
//! device cannot choose packets that fill one bucket.

mod sample;

use core::mem::{offset_of, size_of};

pub use sample::{
    CONNECTION_BYTES, CONNECTION_LINES, CONNECTION_PACKETS, Connection, ConnectionLine,
    DNS_RING_BYTES, DnsLosses, LINE_CONNECTIONS, MAX_RESOLVERS, SAMPLE_RING_BYTES, SampleHeader,
    SampleRecord,
};

use crate::{Count, abi::fnv1a};

/// Flows of one table of one CPU, a power of two.
pub const FLOW_CELLS: u32 = 16_384;

/// Flows of one bucket.
pub const BUCKET_CELLS: usize = 4;

/// The port of the flow is readable.
pub const PORT_READABLE: u8 = 0;
/// The packet is a fragment after the first one.
pub const PORT_LATER_FRAGMENT: u8 = 1;
/// The packet ends before the port.
pub const PORT_TRUNCATED: u8 = 2;
/// ESP, AH or IPComp hides the port.
pub const PORT_HIDDEN: u8 = 3;
/// The packet has more IPv6 extension headers than the program reads.
pub const PORT_TOO_MANY_EXTENSIONS: u8 = 4;
/// The protocol has no port.
pub const PORT_NONE: u8 = 5;
/// The bits of [`FlowCellKey::kind`] that hold one of the `PORT_*` constants.
pub const KIND_PORT: u8 = 0b111;
/// Bit of [`FlowCellKey::kind`]: the packet is IPv6.
pub const KIND_IPV6: u8 = 1 << 3;
/// Bit of [`FlowCellKey::kind`]: the packet is dropped.
pub const KIND_DROPPED: u8 = 1 << 4;
/// Bit of [`FlowCellKey::kind`]: the packet comes from the policy's destination. Then the
/// destination of the key is the source address of the packet.
pub const KIND_IN: u8 = 1 << 5;
/// Bit of [`FlowCellKey::kind`] that every cell has. So no key has a third word of zero.
pub const KIND_USED: u8 = 1 << 7;

/// The packets that a cell counts. The maps hold it as words, see [`FlowCellKey::to_words`].
/// A flow has a cell for each source address and verdict of its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowCellKey {
    /// Address of the policy's destination in network order; IPv4 as `::ffff:a.b.c.d`.
    pub destination: [u8; 16],
    /// MAC of the device in network order; 0 if the frame does not show the device.
    pub mac: [u8; 6],
    /// Port of that destination; 0 if there is none to read.
    pub port: u16,
    /// Protocol number (IANA).
    pub protocol: u8,
    /// One of the `PORT_*` constants and the `KIND_*` bits.
    pub kind: u8,
    /// Interface slot.
    pub interface: u8,
    /// Match set of the destination.
    pub set: u16,
    /// [`source_tag`] of the packets, which tells source addresses apart.
    pub source_tag: u16,
    /// Entries of the match set that apply to the packets.
    pub mask: u32,
    /// Generation that decided, modulo 2^32.
    pub generation: u32,
}

/// Raised when [`FlowCellKey::to_words`] changes.
const FLOW_KEY_VERSION: usize = 3;

/// Words of 64 bits in a key.
pub const FLOW_KEY_WORDS: usize = 5;

/// Place of the source tag in word [`FLOW_USED_WORD`] of a key.
pub const SOURCE_TAG_SHIFT: u32 = 48;

/// Index of the word of a key that is never zero. A cell is free if it is zero.
pub const FLOW_USED_WORD: usize = 3;

/// Packets of one key on one CPU in one epoch: what the program reads and writes for each
/// packet, in one cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowCell {
    /// [`FlowCellKey::to_words`]. The program writes word [`FLOW_USED_WORD`] last.
    pub key: [u64; FLOW_KEY_WORDS],
    /// Time of the last packet, in ticks of the kernel (`get_jiffies_64`).
    pub last: u64,
    /// The packets.
    pub count: Count,
}

/// What the program writes once for each cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowStart {
    /// Time of the first packet, in ticks.
    pub first: u64,
    /// Address of the device in network order; IPv4 as `::ffff:a.b.c.d`.
    pub source: [u64; 2],
    /// Always 0.
    pub zero: u64,
}

/// Cells that share a place in a table. The program fills them in order, and user space
/// clears whole tables. So no used cell stands behind a free one while programs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowBucket {
    /// The cells.
    pub cells: [FlowCell; BUCKET_CELLS],
    /// The start of each cell.
    pub starts: [FlowStart; BUCKET_CELLS],
}

/// Number of secret words of [`flow_hash`]: one for each 32 bits of a key and of a source
/// address. The words of the address come after those of the key.
pub const FLOW_SECRETS: usize = 2 * (FLOW_KEY_WORDS + 2);

/// State of the tables. User space writes it through a mapping, one word at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct EvidenceControl {
    /// Number of the current epoch. Programs record in table `epoch & 1`.
    pub epoch: u64,
    /// The last epoch whose table was cleared: `epoch - 1`, or `epoch - 2` during a drain.
    pub cleared: u64,
    /// Random number that names these maps in the store.
    pub instance: u64,
    /// Secrets of the hash.
    pub secrets: [u64; FLOW_SECRETS],
    /// Ticks that a replay uses instead of the kernel's.
    pub replay_now: u64,
    /// Length of the packet on the wire that a replay uses, bytes.
    pub replay_length: u64,
    /// Always 0.
    pub reserved: [u64; 13],
}

/// Packets whose effective policy is this one. The `full_*` and `setting_*` cells are the
/// part that no flow records, so for each verdict
/// `effective = flows + full + setting`, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EffectiveCounters {
    /// All packets that passed.
    pub passed: Count,
    /// All packets that were dropped.
    pub dropped: Count,
    /// Passed packets whose flow found no room.
    pub full_passed: Count,
    /// Dropped packets whose flow found no room.
    pub full_dropped: Count,
    /// Passed packets of which the policies ask for counters only.
    pub setting_passed: Count,
    /// Dropped packets of which the policies ask for counters only.
    pub setting_dropped: Count,
}

/// Events and samples that found no room. Each CPU has its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EvidenceLosses {
    /// New flows without an event.
    pub events: u64,
    /// Samples for which the ring buffer had no room.
    pub samples_full: u64,
    /// Samples beyond what one CPU may take in a second.
    pub samples_rate: u64,
    /// Payload that was longer than the largest sample.
    pub samples_cut: u64,
    /// Answers to devices whose flows are to be recorded: `answers = flows + answers_full`.
    pub answers: Count,
    /// The part of `answers` whose flow found no room.
    pub answers_full: Count,
}

/// A new cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowEvent {
    /// [`FlowCellKey::to_words`].
    pub key: [u64; FLOW_KEY_WORDS],
    /// Source address in network order; IPv4 as `::ffff:a.b.c.d`.
    pub source: [u64; 2],
    /// Time of the packet, in ticks.
    pub time: u64,
    /// 1 if the packet was dropped.
    pub dropped: u64,
}

/// Bytes of the ring buffer of new flows, a power of two and a multiple of the page size.
pub const FLOW_EVENT_BYTES: u32 = 256 << 10;

/// Names the directory of the pinned evidence maps.
pub const EVIDENCE_HASH: u64 = fnv1a(&[
    FLOW_KEY_VERSION,
    size_of::<FlowCell>(),
    offset_of!(FlowCell, last),
    offset_of!(FlowCell, count),
    size_of::<FlowBucket>(),
    offset_of!(FlowBucket, starts),
    size_of::<FlowStart>(),
    offset_of!(FlowStart, source),
    FLOW_CELLS as usize,
    BUCKET_CELLS,
    size_of::<EvidenceControl>(),
    offset_of!(EvidenceControl, secrets),
    offset_of!(EvidenceControl, replay_now),
    size_of::<EffectiveCounters>(),
    offset_of!(EffectiveCounters, dropped),
    offset_of!(EffectiveCounters, full_passed),
    offset_of!(EffectiveCounters, setting_passed),
    size_of::<EvidenceLosses>(),
    offset_of!(EvidenceLosses, answers),
    size_of::<FlowEvent>(),
    offset_of!(FlowEvent, time),
    FLOW_EVENT_BYTES as usize,
    size_of::<SampleHeader>(),
    offset_of!(SampleHeader, sequence),
    SAMPLE_RING_BYTES as usize,
    size_of::<ConnectionLine>(),
    CONNECTION_LINES as usize,
]);

impl FlowCellKey {
    /// The key as words of a map: the destination in two words in network order; then MAC
    /// and port; protocol, kind, interface, match set and source tag; mask and generation.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::many_single_char_names, reason = "each is a byte")]
    pub const fn to_words(self) -> [u64; FLOW_KEY_WORDS] {
        let [a, b, c, d, e, f, g, h, low @ ..] = self.destination;
        let [m, n, o, p, q, r] = self.mac;
        [
            u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            u64::from_ne_bytes(low),
            u64::from_le_bytes([m, n, o, p, q, r, 0, 0]) | (self.port as u64) << 48,
            self.protocol as u64
                | (self.kind as u64) << 8
                | (self.interface as u64) << 16
                | (self.set as u64) << 32
                | (self.source_tag as u64) << SOURCE_TAG_SHIFT,
            self.mask as u64 | (self.generation as u64) << 32,
        ]
    }

    /// The inverse of [`to_words`](Self::to_words).
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each part has its own bits"
    )]
    pub fn from_words(words: [u64; FLOW_KEY_WORDS]) -> Self {
        let mut destination = [0; 16];
        destination[..8].copy_from_slice(&words[0].to_ne_bytes());
        destination[8..].copy_from_slice(&words[1].to_ne_bytes());
        let [mac @ .., _, _] = words[2].to_le_bytes();
        Self {
            destination,
            mac,
            port: (words[2] >> 48) as u16,
            protocol: words[3] as u8,
            kind: (words[3] >> 8) as u8,
            interface: (words[3] >> 16) as u8,
            set: (words[3] >> 32) as u16,
            source_tag: (words[3] >> SOURCE_TAG_SHIFT) as u16,
            mask: words[4] as u32,
            generation: (words[4] >> 32) as u32,
        }
    }
}

impl Default for EvidenceControl {
    fn default() -> Self {
        Self {
            epoch: 0,
            cleared: 0,
            instance: 0,
            secrets: [0; FLOW_SECRETS],
            replay_now: 0,
            replay_length: 0,
            reserved: [0; 13],
        }
    }
}

/// Hash of some words with the secrets from index `2 * from` on. It is strongly universal in
/// its upper 32 bits for random secrets: pair-multiply-shift (Thorup, "High Speed Hashing for
/// Integers and Strings", section 4). The hash of more words is the sum of the hashes of
/// their parts, each with secrets of its own, modulo 2^64.
#[inline(always)]
#[must_use]
pub fn flow_hash<const WORDS: usize>(
    words: &[u64; WORDS],
    secrets: &[u64; FLOW_SECRETS],
    from: usize,
) -> u64 {
    let mut hash = 0_u64;
    let mut index = 0;
    while index < WORDS {
        let low = secrets[2 * (from + index)].wrapping_add(words[index] & 0xffff_ffff);
        let high = secrets[2 * (from + index) + 1].wrapping_add(words[index] >> 32);
        hash = hash.wrapping_add(low.wrapping_mul(high));
        index += 1;
    }
    hash
}

/// The part of a hash that tells source addresses of the same bucket apart.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "16 bits are enough")]
pub const fn source_tag(hash: u64) -> u16 {
    (hash >> 16) as u16
}

/// Indices of the two buckets of a hash, among `buckets`, a power of two up to 65,536.
#[inline(always)]
#[must_use]
pub const fn flow_buckets(hash: u64, buckets: u32) -> [u32; 2] {
    let mask = buckets - 1;
    [
        (hash >> 48) as u32 & mask,
        (hash >> 32 & 0xffff) as u32 & mask,
    ]
}

#[cfg(feature = "user")]
mod user {
    use super::{
        ConnectionLine, DnsLosses, EffectiveCounters, EvidenceControl, EvidenceLosses, FlowBucket,
    };

    // SAFETY: `repr(C)`, integers and byte arrays only, no implicit padding (checked in
    // `tests/layout.rs`), valid for every bit pattern.
    unsafe impl aya::Pod for FlowBucket {}
    // SAFETY: as above.
    unsafe impl aya::Pod for EvidenceControl {}
    // SAFETY: as above.
    unsafe impl aya::Pod for EffectiveCounters {}
    // SAFETY: as above.
    unsafe impl aya::Pod for EvidenceLosses {}
    // SAFETY: as above.
    unsafe impl aya::Pod for ConnectionLine {}
    // SAFETY: as above.
    unsafe impl aya::Pod for DnsLosses {}
}
