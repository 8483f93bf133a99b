//! What a policy file or a list can say about addresses.

mod destination;
mod network;

pub use destination::{Destination, InvalidDestination};
pub use network::{Address, Interval, Network};
