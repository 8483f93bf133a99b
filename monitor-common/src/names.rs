//! Which name a slot stands for. The kernel never reads these; they are pinned
//! beside the counters so that names and counts live and die together.

/// Bytes of a policy name, padded with zeros.
pub const NAME_BYTES: usize = 64;

/// Interfaces that one set of counters can hold.
pub const MAX_INTERFACES: u32 = 32;

/// The policy that owns a slot; all zero where the slot is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PolicyRecord {
    /// UTF-8, padded with zeros.
    pub name: [u8; NAME_BYTES],
}

/// The interface that owns a slot; all zero where the slot is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct InterfaceRecord {
    /// Name as the kernel gives it (`IFNAMSIZ`), padded with zeros.
    pub name: [u8; 16],
    /// Attach mode of its link: 0 not attached, 1 native, 2 generic.
    pub mode: u32,
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
