//! Names of policies and interfaces by slot. The kernel program does not read them.
//! They are pinned beside the counters, so that a name and its counts are removed
//! together.

/// Bytes of a policy name, padded with zeros.
pub const NAME_BYTES: usize = 64;

/// Pairs of interface and direction for which the pinned state has counters.
pub const MAX_INTERFACES: u32 = 32;

/// Name of the policy that owns a slot; all zero if the slot is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PolicyRecord {
    /// UTF-8, padded with zeros.
    pub name: [u8; NAME_BYTES],
}

/// Interface and direction that own a slot; the name is all zero if the slot is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct InterfaceRecord {
    /// Name in the kernel (`IFNAMSIZ` bytes), padded with zeros.
    pub name: [u8; 16],
    /// How the program is attached: 0 not attached, 1 XDP native, 2 XDP generic. 3 and 4 are the
    /// same modes with a program that reads frames in several buffers. 5 TCX, 6 clsact.
    pub mode: u32,
    /// Direction of the packets that the cells of the slot count: one of the `DIRECTION_*`
    /// constants.
    pub direction: u32,
}

#[cfg(feature = "user")]
mod user {
    use super::{InterfaceRecord, PolicyRecord};

    // SAFETY: `repr(C)`, integers and byte arrays only, no implicit padding
    // (checked in `tests/layout.rs`), valid for every bit pattern.
    unsafe impl aya::Pod for PolicyRecord {}
    // SAFETY: as above.
    unsafe impl aya::Pod for InterfaceRecord {}
}
