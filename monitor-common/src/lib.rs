//! The ABI between the kernel program and user space: every type and constant
//! that both sides read, and nothing else.
//!
//! All types are `repr(C)` with explicit padding and no invalid bit patterns,
//! so a value read from a map is always a valid value. Addresses and MACs are
//! in network order, except in the trie, where addresses are numbers in host
//! order, as counts and identifiers are everywhere.

#![no_std]

mod abi;
mod counters;
mod names;
mod places;
mod ruleset;
pub mod trie;

pub use abi::{ABI_HASH, ABI_VERSION};
pub use counters::{
    Count, DeviceCounters, DeviceKey, InterfaceCounters, MAX_DEVICE_CELLS, NEAR_CELLS, NEAR_PROBES,
    NearDevice, PolicyCounters, Reason,
};
pub use names::{InterfaceRecord, MAX_INTERFACES, NAME_BYTES, PolicyRecord};
pub use places::{
    KNOWN_NAMED, KNOWN_NEIGHBOUR, MAX_KNOWN, MAX_LEAVING, MAX_NAMED_CELLS, MAX_NEIGHBOUR_CELLS,
    Moves, PastCounters,
};
pub use ruleset::{
    ACTION_ALLOW, ACTION_COUNT, ACTION_DROP, GenerationPolicy, GenerationRecord,
    MAX_COVERING_POLICIES, MAX_MATCH_SETS, MAX_POLICIES, MatchEntry, MatchSet, NEEDS_MAC,
    NEEDS_SCOPES, NEEDS_SERVICE, NEEDS_SOURCE, NO_CLASS, NO_MATCH, SERVICE_KEY_BYTES, ScopeWord,
    global,
};
