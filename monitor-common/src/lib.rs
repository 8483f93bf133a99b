//! The ABI between the kernel program and user space: the types and constants that
//! both sides use.
//!
//! All types are `repr(C)` with explicit padding and no invalid bit patterns, so any
//! bytes read from a map are a valid value. Numbers are in host order. MACs and
//! addresses are in network order, except in the trie, which treats addresses as
//! numbers in host order.

#![no_std]

mod abi;
mod answers;
pub mod capture;
mod counters;
pub mod evidence;
mod names;
mod places;
mod ruleset;
pub mod trie;

pub use abi::{ABI_HASH, ABI_VERSION};
pub use answers::{
    ANSWER_BURST_ALL, ANSWER_BURST_DEVICE, ANSWER_DEVICES, ANSWER_RATE_ALL, ANSWER_RATE_DEVICE,
    AnswerCounters, LONGEST_ANSWER_V4, LONGEST_ANSWER_V6, Unanswered,
};
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
    ACTION_ALLOW, ACTION_COUNT, ACTION_DROP, ACTION_REJECT, DIRECTION_IN, DIRECTION_OUT,
    GenerationPolicy, GenerationRecord, MAX_COVERING_POLICIES, MAX_MATCH_SETS, MAX_POLICIES,
    MatchEntry, MatchSet, NEEDS_MAC, NEEDS_SCOPES, NEEDS_SEGMENT, NEEDS_SERVICE, NEEDS_SOURCE,
    NO_CLASS, NO_MATCH, POLICY_CELLS, ROLE_LAN, ROLE_WAN, SERVICE_KEY_BYTES, ScopeWord, global,
};
