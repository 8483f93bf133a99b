//! Ruleset → generation → kernel, and counters back. All of aya lives here.

mod attach;
mod confirm;
pub mod decode;
mod detach;
mod dump;
mod error;
mod filter;
mod gateway;
mod generation;
mod holder;
mod interfaces;
mod near;
mod object;
mod pins;
mod presence;
mod read;
mod retire;
mod sandbox;
mod scopes;
mod state;
mod sys;
mod tries;

pub use attach::ModeChoice;
pub use confirm::{Deadline, Tried, confirm, tried};
pub use detach::detach;
pub use dump::{Cell, Counted, Dump, EntryDump, MapDump};
pub use error::Error;
pub use filter::{Applied, Filter, OtherVersions, Request};
pub use gateway::{lan_interfaces, lan_networks, own_addresses};
pub use interfaces::{Interface, list as list_interfaces};
pub use pins::{DEFAULT_PIN_DIR, holder};
pub use presence::{InterfaceState, name_of_alternative, real_names};
pub use read::Reader;
pub use sandbox::{FrameOutcome, Sandbox, SandboxCounters};
