//! The log of evidence: an append-only list of lines under a Merkle tree (RFC 6962), so that
//! another person can check that a line was in the log, and that no line before it changed.
//!
//! ```text
//! lines ─► leaves ─► tree ─► root ─► checkpoint, signed by the gateway
//!    └─────── path ──────────┘
//! ```
//!
//! The modules are pure: they have no clock, no file system and no store.

mod checkpoint;
mod line;
mod proof;
mod tree;

pub use checkpoint::{
    Checkpoint, CheckpointError, InvalidKey, InvalidPublicKey, PublicKey, SigningKey,
};
pub use line::{Entry, InvalidLine, Line, SALT_BYTES, SumOfList};
pub use proof::{Head, Proof, Proven};
pub use tree::{
    Collector, Frontier, Hash, Range, consistency_holds, consistency_ranges, leaf_hash,
    path_ranges, root_by_path,
};

#[cfg(test)]
mod tests;
