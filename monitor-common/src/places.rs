//! How user space takes devices out of the device tables while programs count.
//!
//! A (device, policy) that has counters in a device table has a *place*. The daemon
//! takes places back by a *move*: it adds the counts of the leaving devices to the
//! [`PastCounters`] of their policies, then frees the places. [`Moves::sequence`] tells
//! how far a move is:
//!
//! ```text
//! even   no move is in force. Readers sum all devices and `past.even`.
//!        The daemon writes `past.odd`: `past.even` and the counts that leave.
//! odd    the move is in force. Readers sum `past.odd` and all devices except those
//!        in the map LEAVING and those with a marked near cell. The daemon deletes
//!        these devices and copies `past.odd` to `past.even`.
//! even   the move is complete.
//! ```
//!
//! One store of eight bytes changes the sequence, and so moves all counts at once. A
//! reader reads the sequence before and after the counters. If both are equal, the
//! counters are consistent.

use crate::{DeviceCounters, DeviceKey, MAX_POLICIES};

/// Entries of the device table that is reserved for devices with a name.
pub const MAX_NAMED_CELLS: u32 = 4096;

/// Entries of the device table that is reserved for neighbours of the gateway.
pub const MAX_NEIGHBOUR_CELLS: u32 = 4096;

/// Entries of the map KNOWN: MACs that may use a reserved device table.
pub const MAX_KNOWN: u32 = 4096;

/// The most places that one move takes back.
pub const MAX_LEAVING: u32 = 4096;

/// Value in the map KNOWN: the operator gave the device a name.
pub const KNOWN_NAMED: u32 = 1;

/// Value in the map KNOWN: the device is in the kernel's neighbour table.
pub const KNOWN_NEIGHBOUR: u32 = 2;

/// Counts of one policy slot by devices whose places were taken back. Only user space
/// writes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PastCounters {
    /// Valid while [`Moves::sequence`] is even.
    pub even: DeviceCounters,
    /// Valid while [`Moves::sequence`] is odd.
    pub odd: DeviceCounters,
}

/// State of the move of counts to [`PastCounters`]. Only user space writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Moves {
    /// Number of changes; odd while a move is in force.
    pub sequence: u64,
    /// 0 only if the map LEAVING is empty. Then programs do not look into it.
    pub leaving: u64,
}

// `DeviceKey::LEAVING` is a bit that no policy slot has.
const _: () = assert!(MAX_POLICIES < 1 << 15);

impl DeviceKey {
    /// A bit of [`to_bits`](Self::to_bits) that no packet's key has. It marks the near
    /// cell of a device whose place is being taken back.
    pub const LEAVING: u64 = {
        let [first, second] = (1_u16 << 15).to_ne_bytes();
        u64::from_ne_bytes([0, 0, 0, 0, 0, 0, first, second])
    };
}

#[cfg(feature = "user")]
mod user {
    use super::{Moves, PastCounters};

    // SAFETY: `repr(C)`, integers only, no implicit padding (checked in
    // `tests/layout.rs`), valid for every bit pattern.
    unsafe impl aya::Pod for PastCounters {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Moves {}
}
