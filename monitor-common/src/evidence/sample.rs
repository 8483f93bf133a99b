//! Samples of payload, and copies of DNS answers.

/// A payload sample, or a copy of a DNS answer. The payload follows. Numbers are in host
/// order, addresses and MAC in network order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SampleHeader {
    /// Time of the packet, in ticks.
    pub time: u64,
    /// Source address; IPv4 as `::ffff:a.b.c.d`.
    pub source: [u8; 16],
    /// Destination address, likewise.
    pub destination: [u8; 16],
    /// MAC of the device: the source of a sample, the destination of a DNS answer.
    pub mac: [u8; 6],
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub port: u16,
    /// Protocol number (IANA): TCP or UDP.
    pub protocol: u8,
    /// [`KIND_IPV6`](super::KIND_IPV6), or 0.
    pub kind: u8,
    /// TCP sequence number of the first byte of the payload; 0 for UDP.
    pub sequence: u32,
    /// Length of the payload in the packet, bytes.
    pub length: u16,
    /// Length of the payload that follows, bytes.
    pub captured: u16,
    /// Interface slot.
    pub interface: u8,
    /// 1 if the packet was dropped.
    pub dropped: u8,
    /// Flags of the TCP header; 0 for UDP.
    pub flags: u8,
    /// Always 0.
    pub zero: u8,
}

/// Payload bytes that are sampled of one connection.
pub const CONNECTION_BYTES: u16 = 4096;

/// A sample with its payload. A record in the ring buffer ends after the captured bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SampleRecord {
    /// Everything but the payload.
    pub header: SampleHeader,
    /// The first `header.captured` bytes are used.
    pub payload: [u8; CONNECTION_BYTES as usize],
}

/// Packets with payload that are sampled of one connection.
pub const CONNECTION_PACKETS: u8 = 4;

/// Connections of one line of [`ConnectionLine`].
pub const LINE_CONNECTIONS: usize = 4;

/// Lines of each CPU, a power of two.
pub const CONNECTION_LINES: u32 = 4096;

/// What was sampled of a connection. Connections that share a line push each other out, the
/// oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Connection {
    /// Keyed hash of addresses, ports and protocol; 0 if the place is free.
    pub tag: u64,
    /// Time of the first sample, in ticks modulo 2^32.
    pub since: u32,
    /// Sampled bytes.
    pub bytes: u16,
    /// Sampled packets.
    pub packets: u8,
    /// Always 0.
    pub zero: u8,
}

/// The connections that share a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ConnectionLine {
    /// The connections.
    pub connections: [Connection; LINE_CONNECTIONS],
}

/// Bytes of the ring buffer of samples, a power of two and a multiple of the page size.
pub const SAMPLE_RING_BYTES: u32 = 1 << 20;

/// Bytes of the ring buffer of DNS answers, a power of two and a multiple of the page size.
pub const DNS_RING_BYTES: u32 = 512 << 10;

/// The most addresses of servers that offer DNS over HTTPS.
pub const MAX_RESOLVERS: u32 = 256;

/// DNS answers that were not copied, or not whole. Each CPU has its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DnsLosses {
    /// Answers for which the ring buffer had no room.
    pub full: u64,
    /// Answers beyond what one CPU may copy in a second.
    pub rate: u64,
    /// Answers that were longer than a copy.
    pub cut: u64,
    /// Always 0.
    pub reserved: u64,
}
