//! Copies of the packets that one policy matches, for a capture file.

/// The generation copies no packet.
pub const CAPTURE_OFF: u32 = 0;
/// The generation copies the headers of the packets.
pub const CAPTURE_HEADERS: u32 = 1;
/// The generation copies whole frames.
pub const CAPTURE_FRAMES: u32 = 2;

/// Policy slot of a capture whose policy the ruleset does not hold now. No policy has it.
pub const CAPTURE_NO_SLOT: u32 = u32::MAX;

/// Bytes of the ring buffer of a capture, a power of two and a multiple of the page size.
pub const CAPTURE_RING_BYTES: u32 = 4 << 20;

/// Seconds for which a daemon may copy packets without renewing its lease. It renews the lease
/// each second. If it is killed, copying ends in the kernel after this time.
pub const CAPTURE_LEASE_SECONDS: u64 = 5;

/// The most bytes of headers that are copied of a packet. Ethernet with 28 VLAN tags, IPv4 and
/// TCP with all options have 246 bytes.
pub const CAPTURE_HEADER_BYTES: usize = 256;

/// The most bytes of a frame that are copied. In generic mode, the kernel merges TCP segments
/// to frames of up to 64 KiB.
pub const CAPTURE_FRAME_BYTES: usize = 1 << 16;

/// A copied packet. The bytes of the frame follow. Numbers are in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CaptureHeader {
    /// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`).
    pub time: u64,
    /// Length of the frame, bytes.
    pub length: u32,
    /// Length of the copy, bytes.
    pub captured: u32,
    /// Slot of the effective policy.
    pub effective: u16,
    /// Interface slot.
    pub interface: u8,
    /// 1 if the packet was dropped.
    pub dropped: u8,
    /// Always 0.
    pub zero: u32,
}

/// A record of the ring buffer that has room for `BYTES` bytes of a frame.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CaptureRecord<const BYTES: usize> {
    /// Everything but the frame.
    pub header: CaptureHeader,
    /// The first `header.captured` bytes are used. The others are not initialised.
    pub frame: [u8; BYTES],
}
