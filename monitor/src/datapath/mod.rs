//! Turns a ruleset into a generation of maps and programs, puts it in force in the
//! kernel, and reads the counters back. Almost all code that uses aya is here.

mod attach;
mod capture;
mod confirm;
mod constants;
mod deadline;
pub mod decode;
mod detach;
mod devices;
mod error;
mod evidence;
mod filter;
mod gateway;
mod generation;
mod give_back;
mod grace;
mod holder;
mod in_force;
mod interfaces;
mod link;
mod lock;
mod maps;
mod near;
mod neighbours;
mod netlink;
mod object;
mod other_version;
mod pins;
mod presence;
mod read;
mod retire;
mod sandbox;
mod sandbox_flows;
mod scopes;
mod shared_array;
mod state;
mod surroundings;
mod swap;
mod sys;
mod table_size;
mod test_run;
mod tries;

pub use attach::ModeChoice;
pub use capture::{CaptureNames, CaptureReader, CaptureRequest, CapturedPacket};
pub use confirm::{UnconfirmedGeneration, confirm, unconfirmed_generation};
pub use deadline::Deadline;
pub use detach::detach;
pub use devices::{DeviceCounts, KnownKind, Places};
pub use error::Error;
pub use evidence::{
    DnsCopies, EffectivePolicy, FlowRings, FlowTables, TakenFlows, classifier_sha256,
};
pub use filter::{Filter, OtherVersions};
pub use gateway::{lan_interfaces, lan_networks, own_addresses};
pub use give_back::GivenBack;
pub use interfaces::{Interface, list as list_interfaces};
pub use lock::holder;
pub use neighbours::{Neighbour, neighbour_entries, neighbours};
pub use object::program_sha256;
pub use other_version::OtherVersionCounters;
pub use pins::{DEFAULT_PIN_DIR, check_directory};
pub use presence::{InterfaceState, name_of_alternative, real_names};
pub use read::Reader;
pub use sandbox::{FrameOutcome, Sandbox, SandboxCounters};
pub use surroundings::{kernel_features, linked_classifiers};
pub use swap::{Applied, Request};
