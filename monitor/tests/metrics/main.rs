//! Reads the metrics with a parser that shares no code with the encoder.

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
