//! The compiled ruleset as the kernel reads it.

/// Policy slots. Every policy that was ever in force on these counters has one.
pub const MAX_POLICIES: u32 = 4096;

/// Cells of policies: those of packets `out` by slot, then those of packets `in`.
pub const POLICY_CELLS: u32 = 2 * MAX_POLICIES;

/// The packet goes to the policy's destination.
pub const DIRECTION_OUT: u32 = 0;
/// The packet comes from the policy's destination.
pub const DIRECTION_IN: u32 = 1;

/// The interface is on the devices' side.
pub const ROLE_LAN: u32 = 0;
/// The interface leads to the internet.
pub const ROLE_WAN: u32 = 1;

/// Match sets of one ruleset, [`NO_MATCH`] not counted.
pub const MAX_MATCH_SETS: u32 = 32_767;

/// The most policies that may cover one address.
pub const MAX_COVERING_POLICIES: usize = 32;

/// The match set of an address that no policy covers.
pub const NO_MATCH: u32 = 0;

/// Action of a policy: exempt from this filter.
pub const ACTION_ALLOW: u32 = 0;
/// Action of a policy: drop, unless an `allow` applies.
pub const ACTION_DROP: u32 = 1;
/// Action of a policy: count and let pass.
pub const ACTION_COUNT: u32 = 2;
/// Action of a policy: drop and answer, unless an `allow` applies.
pub const ACTION_REJECT: u32 = 3;

/// One policy of a match set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MatchEntry {
    /// Policy slot, host order.
    pub policy: u16,
    /// Index of the scope that tells which packets to the prefix the policy applies
    /// to, host order.
    pub scope: u16,
}

/// The policies that cover a prefix. Bit `n` of a mask stands for entry `n`.
///
/// An entry applies to a packet if it is in `unscoped` or if the packet meets its
/// scope. If an `allow` applies, the packet passes. Else, if a `drop` or a `reject` applies,
/// the packet is dropped. The first of these that applies decides if the packet is answered.
/// Every entry that applies counts the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MatchSet {
    /// Number of used entries, at most [`MAX_COVERING_POLICIES`], host order.
    pub len: u32,
    /// The properties of a packet that the scopes of this set ask for: a bitwise OR of
    /// `NEEDS_*` constants.
    pub needs: u32,
    /// Entries that apply to every packet.
    pub unscoped: u32,
    /// Entries whose action is `allow`.
    pub allows: u32,
    /// Entries whose action is `drop` or `reject`.
    pub drops: u32,
    /// Entries whose action is `reject`. Subset of `drops`.
    pub rejects: u32,
    /// Entries whose flows are recorded.
    pub flows: u32,
    /// Entries for which names are learnt from what devices send. Subset of `flows`.
    pub names: u32,
    /// Entries that let TCP segments without data pass. Subset of `drops`.
    pub handshakes: u32,
    /// The first `len` entries are used, the rest is zero.
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
/// Some entry lets TCP segments without data pass.
pub const NEEDS_SEGMENT: u32 = 1 << 4;

/// What one class of MACs, sources, services or interfaces says about 32 scopes, one
/// bit for each scope. A packet has four classes. It meets a scope if at least one of
/// its classes has the bit in `within` and no class has it in `except`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ScopeWord {
    /// The packet comes from one of the scope's devices.
    pub within: u32,
    /// The packet is excluded from the scope.
    pub except: u32,
}

/// The class of MACs and sources that no scope names. Its words are zero.
pub const NO_CLASS: u32 = 0;

/// Bytes of a key of the map SERVICES: a zero byte, the protocol, and the destination
/// port in network order.
pub const SERVICE_KEY_BYTES: usize = 4;

/// Description of a pinned generation for a later daemon. The kernel program does not
/// read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GenerationRecord {
    /// Hash of the ruleset of the generation.
    pub ruleset_hash: u64,
    /// Number of used elements of the array of [`GenerationPolicy`].
    pub policies: u64,
    /// When the generation ends if it is not confirmed, in nanoseconds since boot,
    /// suspend included (`CLOCK_BOOTTIME`); 0 if it needs no confirmation.
    pub deadline: u64,
    /// Seconds from the creation of the generation to the deadline.
    pub within: u64,
}

/// One policy of a generation. The kernel program does not read it.
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

/// Names of the read-only constants that the loader sets. They are `u32` in host order
/// unless their comment says otherwise.
///
/// Flags are `u32`, not `bool`: the loader writes raw bytes, and a `bool` other than 0
/// or 1 is undefined behaviour.
pub mod global {
    /// Index of the interface counters that this program adds to.
    pub const INTERFACE_SLOT: &str = "INTERFACE_SLOT";
    /// Direction of the packets that the program examines: one of the `DIRECTION_*`
    /// constants.
    pub const DIRECTION: &str = "DIRECTION";
    /// Role of the interface: one of the `ROLE_*` constants.
    pub const ROLE: &str = "ROLE";
    /// 1 if the ruleset has IPv4 prefixes.
    pub const HAS_IPV4: &str = "HAS_IPV4";
    /// 1 if the ruleset has IPv6 prefixes.
    pub const HAS_IPV6: &str = "HAS_IPV6";
    /// 1 if any policy of the ruleset has the action `drop` or `reject`.
    pub const HAS_DROPS: &str = "HAS_DROPS";
    /// 1 if any policy of the ruleset has the action `reject`, and this program answers.
    pub const HAS_REJECTS: &str = "HAS_REJECTS";
    /// Ticks of one second, for the limits of answers; 0 if answers have no limit.
    pub const ANSWER_TICKS: &str = "ANSWER_TICKS";
    /// Number of bits of the common prefix of the IPv4 trie.
    pub const COMMON_BITS_V4: &str = "COMMON_BITS_V4";
    /// `u64`: the common prefix, left aligned.
    pub const COMMON_V4: &str = "COMMON_V4";
    /// Match set of IPv4 addresses outside the common prefix.
    pub const OUTSIDE_V4: &str = "OUTSIDE_V4";
    /// Number of bits that index the first level of the IPv4 trie.
    pub const FIRST_BITS_V4: &str = "FIRST_BITS_V4";
    /// First level of the IPv4 trie: `trie::FIRST_NODES` or `trie::FIRST_SLOTS`.
    pub const FIRST_KIND_V4: &str = "FIRST_KIND_V4";
    /// Number of bits of the common prefix of the IPv6 trie.
    pub const COMMON_BITS_V6: &str = "COMMON_BITS_V6";
    /// `u64`: the common prefix, left aligned.
    pub const COMMON_V6: &str = "COMMON_V6";
    /// Match set of IPv6 addresses outside the common prefix.
    pub const OUTSIDE_V6: &str = "OUTSIDE_V6";
    /// Number of bits that index the first level of the IPv6 trie.
    pub const FIRST_BITS_V6: &str = "FIRST_BITS_V6";
    /// First level of the IPv6 trie: `trie::FIRST_NODES` or `trie::FIRST_SLOTS`.
    pub const FIRST_KIND_V6: &str = "FIRST_KIND_V6";
    /// 1 if any answer of the IPv6 trie depends on bits after the first 64.
    pub const LOW_V6: &str = "LOW_V6";
    /// Entries of the longest match set. It bounds loops over entries, so the verifier
    /// examines fewer rounds.
    pub const LONGEST_SET: &str = "LONGEST_SET";
    /// Bitwise OR of the `needs` of all match sets.
    pub const NEEDS: &str = "NEEDS";
    /// Words of each class. The bit of scope `s` is bit `s % 32` of word `s / 32`.
    pub const CLASS_WORDS: &str = "CLASS_WORDS";
    /// Class of this program's interface.
    pub const INTERFACE_CLASS: &str = "INTERFACE_CLASS";
    /// Class of packets whose service cannot be read, and of services that no scope
    /// names.
    pub const NO_SERVICE_CLASS: &str = "NO_SERVICE_CLASS";
    /// `u64`: when the previous generation takes over if this one is not confirmed, in
    /// nanoseconds since boot, suspend included; 0 for never.
    pub const DEADLINE: &str = "DEADLINE";
    /// Number of this generation, modulo 2^32.
    pub const GENERATION: &str = "GENERATION_NUMBER";
    /// Buckets of one table of flows, a power of two; 0 if no flow is recorded.
    pub const FLOW_BUCKETS: &str = "FLOW_BUCKETS";
    /// 1 if payload of matched packets is sampled.
    pub const SAMPLES: &str = "SAMPLES";
    /// 1 if the program reads frames in several buffers (Linux 5.18, commit
    /// c2f2cdbeffda).
    pub const FRAGS: &str = "FRAGS";
    /// 1 if time and length of a packet are those of a replay.
    pub const REPLAY: &str = "REPLAY";
    /// What is copied for a capture: one of the `CAPTURE_*` constants of
    /// [`crate::capture`].
    pub const CAPTURE: &str = "CAPTURE";
    /// Policy slot of the capture.
    pub const CAPTURE_SLOT: &str = "CAPTURE_SLOT";
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
