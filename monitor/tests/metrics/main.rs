//! Metrics, read by a parser that is not the encoder.

#![expect(
    clippy::unwrap_used,
    reason = "a test panics where it fails, helpers included"
)]

mod devices;
mod exposition;
mod labels;
mod series;
#[path = "../snapshots/mod.rs"]
mod snapshots;
