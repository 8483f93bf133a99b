//! Answers to packets that a `reject` dropped: their counters and limits.

/// Answers per second to one device (one source MAC).
pub const ANSWER_RATE_DEVICE: u64 = 100;
/// The most answers to one device at once.
pub const ANSWER_BURST_DEVICE: u64 = 100;

/// Answers per second to all known devices together, and as many to all other devices together.
pub const ANSWER_RATE_ALL: u64 = 1000;
/// The most answers to all known devices at once, and as many to all other devices.
pub const ANSWER_BURST_ALL: u64 = 1000;

/// Devices whose limit is remembered. The kernel evicts the one that was seen least recently, and
/// an evicted device begins with a whole burst. The limit of all devices holds in any case.
pub const ANSWER_DEVICES: u32 = 1024;

/// The longest ICMP error, in bytes from the IP header on (RFC 1812, section 4.3.2.3).
pub const LONGEST_ANSWER_V4: usize = 576;
/// The longest `ICMPv6` error, in bytes from the IP header on (RFC 4443, section 2.4 c).
pub const LONGEST_ANSWER_V6: usize = 1280;

/// Why a dropped packet got no answer, although its effective policy is a `reject`. Each such
/// packet has exactly one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Unanswered {
    /// The standards forbid an answer, or the headers cannot be read.
    NotAnswerable = 0,
    /// The device got as many answers as one device may get.
    DeviceRate = 1,
    /// All devices together got as many answers as they may get.
    TotalRate = 2,
    /// The kernel gave no room in the frame for the headers of the answer.
    NoRoom = 3,
}

impl Unanswered {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 4] = [
        Self::NotAnswerable,
        Self::DeviceRate,
        Self::TotalRate,
        Self::NoRoom,
    ];

    /// The name used in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAnswerable => "not_answerable",
            Self::DeviceRate => "device_rate",
            Self::TotalRate => "total_rate",
            Self::NoRoom => "no_room",
        }
    }
}

/// Cells of one interface: dropped packets whose effective policy is a `reject`. Each such packet
/// adds to exactly one cell, so the sum of all cells is their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AnswerCounters {
    /// Packets answered by a TCP reset.
    pub resets: u64,
    /// Packets answered by an ICMP or `ICMPv6` error.
    pub errors: u64,
    /// Packets without an answer, by [`Unanswered`].
    pub unanswered: [u64; Unanswered::ALL.len()],
}

#[cfg(feature = "user")]
mod user {
    // SAFETY: `repr(C)`, integers only, no implicit padding (checked in
    // `tests/layout.rs`), valid for every bit pattern.
    unsafe impl aya::Pod for super::AnswerCounters {}
}
