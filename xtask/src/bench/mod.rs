//! Benchmarks.

pub(crate) mod flood;
