//! Benchmarks.

pub(crate) mod control;
pub(crate) mod flood;
pub(crate) mod lookup;
mod machine;
mod report;
mod sets;
