//! What a policy file or a list can say about addresses.

mod destination;
mod embedding;
mod network;
mod without;

pub use destination::{Destination, InvalidDestination};
pub use embedding::{Derivation, DerivedFrom, Embedding, InvalidNat64};
pub use network::{Address, Interval, Network};
pub use without::united_size;
