//! Places in the device tables: which ones are kept for known devices, and how
//! user space takes the place of a device back while programs count.
//!
//! The daemon moves the counts of devices that left to the `past` cells of their
//! policies. [`Moves::sequence`] says where a move is:
//!
//! ```text
//! even   readers count every device, and the `even` half of `past`;
//!        the daemon writes the `odd` half: the past after the move
//! odd    readers skip the devices in the map LEAVING and the marked near cells,
//!        and count the `odd` half of `past`; the daemon removes what is skipped,
//!        and copies the `odd` half to the `even` half
//! even   the move is done
//! ```
//!
//! So one store of eight bytes moves all counts at once, and a reader that finds
//! the same number before and after its reading saw one side of it.

use crate::{DeviceCounters, DeviceKey, MAX_POLICIES};

/// Entries of the device table that is kept for devices with a name.
pub const MAX_NAMED_CELLS: u32 = 4096;

/// Entries of the device table that is kept for neighbours of the gateway.
pub const MAX_NEIGHBOUR_CELLS: u32 = 4096;

/// MACs that the daemon can tell the kernel as known.
pub const MAX_KNOWN: u32 = 4096;

/// Places that one move can take back.
pub const MAX_LEAVING: u32 = 4096;

/// Value of a known MAC: the operator gave the device a name.
pub const KNOWN_NAMED: u32 = 1;

/// Value of a known MAC: the device is in the kernel's neighbour table.
pub const KNOWN_NEIGHBOUR: u32 = 2;

/// What devices of one policy slot counted before their places were taken back.
/// Only user space writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PastCounters {
    /// In force while [`Moves::sequence`] is even.
    pub even: DeviceCounters,
    /// In force while [`Moves::sequence`] is odd.
    pub odd: DeviceCounters,
}

/// Where a move of counts to [`PastCounters`] is. Only user space writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Moves {
    /// Steps taken; odd while the devices in the map LEAVING are in the past.
    pub sequence: u64,
    /// Not 0 while the map LEAVING may hold an entry.
    pub leaving: u64,
}

// The mark below is a bit that no slot of a policy reaches.
const _: () = assert!(MAX_POLICIES < 1 << 15);

impl DeviceKey {
    /// The bit of [`to_bits`](Self::to_bits) that marks the near cell of a device
    /// whose place is being taken back: no key of a packet has it.
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
