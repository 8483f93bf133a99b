//! Benchmarks.

pub(crate) mod flood;
pub(crate) mod lookup;
mod sets;
