//! Measurements.

pub(crate) mod lookup;
mod sets;
