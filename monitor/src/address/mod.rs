//! Addresses, networks, ranges and sets of them, as policy files and lists write
//! them.

mod destination;
mod embedding;
mod interval_set;
mod invalid_destination;
mod network;
mod region;
mod special;

pub use destination::Destination;
pub use embedding::{Derivation, DerivedFrom, Embedding, InvalidNat64};
pub use interval_set::IntervalSet;
pub use invalid_destination::InvalidDestination;
pub use network::{Address, Interval, Network};
pub(crate) use region::Region;
pub use special::{LOCAL_TRANSLATION, Purpose, SpecialNetwork};
