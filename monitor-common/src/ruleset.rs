//! The compiled ruleset as the kernel reads it.

/// Policy slots: every policy that ever ran on these counters takes one.
pub const MAX_POLICIES: u32 = 4096;

/// Match sets of one ruleset, [`NO_MATCH`] not counted.
pub const MAX_MATCH_SETS: u32 = 32_767;

/// Policies that may cover one address.
pub const MAX_COVERING_POLICIES: usize = 32;

/// The match set of an address that no policy covers.
pub const NO_MATCH: u32 = 0;

/// Action of a policy: exempt from this filter.
pub const ACTION_ALLOW: u32 = 0;
/// Action of a policy: drop, unless an `allow` applies.
pub const ACTION_DROP: u32 = 1;
/// Action of a policy: count and let pass.
pub const ACTION_COUNT: u32 = 2;

/// One policy of a match set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MatchEntry {
    /// Policy slot, host order.
    pub policy: u16,
    /// Which packets to the prefix it is about: a scope of the generation, host order.
    pub scope: u16,
}

/// The policies that cover a prefix. Bit `n` of a mask stands for entry `n`.
///
/// The entries that apply to a packet are those of `unscoped` and those whose
/// scope the packet meets. An `allow` among them lets the packet pass, else a
/// `drop` among them drops it; every one of them counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MatchSet {
    /// Used entries, at most [`MAX_COVERING_POLICIES`], host order.
    pub len: u32,
    /// What has to be known of a packet: any of the `NEEDS_*` constants.
    pub needs: u32,
    /// Entries that apply to every packet.
    pub unscoped: u32,
    /// Entries whose action is `allow`.
    pub allows: u32,
    /// Entries whose action is `drop`.
    pub drops: u32,
    /// Entries from 0 to `len`; the rest is zero.
    pub entries: [MatchEntry; MAX_COVERING_POLICIES],
}

/// Some entry has a scope.
pub const NEEDS_SCOPES: u32 = 1 << 0;
/// Some scope names MACs.
pub const NEEDS_MAC: u32 = 1 << 1;
/// Some scope names source addresses.
pub const NEEDS_SOURCE: u32 = 1 << 2;
/// Some scope names services.
pub const NEEDS_SERVICE: u32 = 1 << 3;

/// What one class of MACs, sources, services or interfaces says of 32 scopes,
/// a bit for each. A packet meets a scope where one of its four classes says
/// `within` and none says `except`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ScopeWord {
    /// The packet comes from one of the scope's devices.
    pub within: u32,
    /// Whatever else it is, the scope does not hold for it.
    pub except: u32,
}

/// The class of MACs and sources that no scope names: it says nothing.
pub const NO_CLASS: u32 = 0;

/// Length of a service's key in the trie of services: a zero byte, the
/// protocol, and the destination port in network order.
pub const SERVICE_KEY_BYTES: usize = 4;

/// What a generation is, for whoever finds it pinned. The kernel never reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GenerationRecord {
    /// Hash of the ruleset it was made from.
    pub ruleset_hash: u64,
    /// Elements in use of the array of [`GenerationPolicy`].
    pub policies: u64,
    /// Until when it is to be confirmed, in nanoseconds since boot, suspend
    /// included (`CLOCK_BOOTTIME`); 0 where it need not be.
    pub deadline: u64,
    /// How long that was when it was made, in seconds.
    pub within: u64,
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

/// Names of the read-only constants that a load sets; `u32` where nothing else
/// is said, host order.
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
    /// 1 where any policy of the ruleset drops.
    pub const HAS_DROPS: &str = "HAS_DROPS";
    /// Bits that all prefixes of the IPv4 trie share.
    pub const SKIP_V4: &str = "SKIP_V4";
    /// Those bits, left aligned in a `u64`.
    pub const COMMON_V4: &str = "COMMON_V4";
    /// Match set of IPv4 addresses that begin otherwise.
    pub const OUTSIDE_V4: &str = "OUTSIDE_V4";
    /// Bits that index the first slots or nodes of the IPv4 trie.
    pub const DIRECT_V4: &str = "DIRECT_V4";
    /// Which of the two the IPv4 trie begins with, as a kind of pointer.
    pub const FIRST_V4: &str = "FIRST_V4";
    /// Bits that all prefixes of the IPv6 trie share.
    pub const SKIP_V6: &str = "SKIP_V6";
    /// Those bits, left aligned in a `u64`.
    pub const COMMON_V6: &str = "COMMON_V6";
    /// Match set of IPv6 addresses that begin otherwise.
    pub const OUTSIDE_V6: &str = "OUTSIDE_V6";
    /// Bits that index the first slots or nodes of the IPv6 trie.
    pub const DIRECT_V6: &str = "DIRECT_V6";
    /// Which of the two the IPv6 trie begins with, as a kind of pointer.
    pub const FIRST_V6: &str = "FIRST_V6";
    /// 1 where bits after the first 64 make a difference in the IPv6 trie.
    pub const LOW_V6: &str = "LOW_V6";
    /// Entries of the longest match set: the verifier follows no loop further.
    pub const LONGEST_SET: &str = "LONGEST_SET";
    /// The `NEEDS_*` that any match set has.
    pub const NEEDS: &str = "NEEDS";
    /// Words of each class; scope `s` has bit `s % 32` of word `s / 32`.
    pub const CLASS_WORDS: &str = "CLASS_WORDS";
    /// Class of this program's interface.
    pub const INTERFACE_CLASS: &str = "INTERFACE_CLASS";
    /// Class of packets whose service cannot be read, and of services that no
    /// scope names.
    pub const NO_SERVICE_CLASS: &str = "NO_SERVICE_CLASS";
    /// `u64`: from when on the generation before decides, unless this one is
    /// confirmed, in nanoseconds since boot, suspend included; 0 for never.
    pub const DEADLINE: &str = "DEADLINE";
    /// 1 to write every matched packet to the log.
    pub const LOG_PACKETS: &str = "LOG_PACKETS";
}

#[cfg(feature = "user")]
mod user {
    // SAFETY: `repr(C)`, integers only, no implicit padding (checked in
    // `tests/layout.rs`), valid for every bit pattern.
    unsafe impl aya::Pod for super::MatchSet {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::ScopeWord {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::GenerationRecord {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::GenerationPolicy {}
}
