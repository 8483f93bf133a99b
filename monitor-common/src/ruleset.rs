//! The compiled ruleset as the kernel reads it.

/// Policy slots: every policy that ever ran on these counters takes one.
pub const MAX_POLICIES: u32 = 4096;

/// Match sets of one ruleset, [`NO_MATCH`] not counted.
pub const MAX_MATCH_SETS: u32 = 32_767;

/// Policies that may cover one address.
pub const MAX_COVERING_POLICIES: usize = 32;

/// The match set of an address that no policy covers.
pub const NO_MATCH: u32 = 0;

/// An `allow` that matches always wins.
pub const ACTION_ALLOW: u8 = 0;
/// Else any `drop` drops.
pub const ACTION_DROP: u8 = 1;
/// Else the packet is counted.
pub const ACTION_COUNT: u8 = 2;

/// One policy of a match set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MatchEntry {
    /// Policy slot, host order.
    pub policy: u16,
    /// One of the `ACTION_*` constants; lower is stronger.
    pub action: u8,
    /// Always zero.
    pub padding: u8,
}

/// The policies that cover a prefix, strongest action first: the first entry
/// that applies to a packet decides, every entry that applies counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MatchSet {
    /// Used entries, at most [`MAX_COVERING_POLICIES`], host order.
    pub len: u32,
    /// Entries from 0 to `len`; the rest is zero.
    pub entries: [MatchEntry; MAX_COVERING_POLICIES],
}

/// What a generation is, for whoever finds it pinned. The kernel never reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GenerationRecord {
    /// Hash of the ruleset it was made from.
    pub ruleset_hash: u64,
    /// Elements in use of the array of [`GenerationPolicy`].
    pub policies: u64,
}

/// One policy of a generation. The kernel never reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GenerationPolicy {
    /// Policy slot.
    pub slot: u32,
    /// One of the `ACTION_*` constants.
    pub action: u32,
    /// Distinct IPv4 prefixes.
    pub prefixes_v4: u32,
    /// Distinct IPv6 prefixes.
    pub prefixes_v6: u32,
}

/// Names of the read-only constants that a load sets; `u32`, host order.
///
/// A `u32` rather than a `bool`, because the loader writes raw bytes and a
/// `bool` other than 0 or 1 is undefined behaviour.
pub mod global {
    /// Which element of the interface counters this program adds to.
    pub const INTERFACE_SLOT: &str = "INTERFACE_SLOT";
    /// 1 where the ruleset has IPv4 prefixes.
    pub const HAS_IPV4: &str = "HAS_IPV4";
    /// 1 where the ruleset has IPv6 prefixes.
    pub const HAS_IPV6: &str = "HAS_IPV6";
    /// 1 to write every matched packet to the log.
    pub const LOG_PACKETS: &str = "LOG_PACKETS";
}

#[cfg(feature = "user")]
mod user {
    // SAFETY: `repr(C)`, integers only, no implicit padding (checked in
    // `tests/layout.rs`), valid for every bit pattern.
    unsafe impl aya::Pod for super::MatchSet {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::GenerationRecord {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::GenerationPolicy {}
}
