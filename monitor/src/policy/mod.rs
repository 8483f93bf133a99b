//! Policies: what the operator typed, and what it means.
//!
//! ```text
//! text → yaml (values and places) → source (what was typed) → builder → model
//! ```

mod about;
mod action;
mod builder;
mod by_command;
mod changed;
mod conditions;
mod derive;
mod destinations;
mod device;
mod device_text;
mod devices;
mod diagnostic;
mod difference;
mod direction;
mod evidence_level;
mod feed;
mod feed_uses;
mod files;
mod keys;
mod lines;
mod list;
mod load;
mod model;
mod names;
mod observed;
mod overlay;
mod place;
mod risk;
mod runtime;
mod schedule;
mod scope;
mod service;
mod source;
mod yaml;
pub(crate) mod yaml_limits;

pub use about::About;
pub use action::{Action, InvalidAction, Strength};
pub use by_command::Pause;
pub use changed::Override;
pub use destinations::{Destinations, Entry, Hole};
pub use device::{Device, MacPrefix};
pub use device_text::UnknownDevice;
pub use devices::DeviceNames;
pub use diagnostic::{Diagnostic, Diagnostics, Severity, SourceFile, SourcePlace};
pub use direction::{Direction, Role};
pub use evidence_level::{EvidenceLevel, InvalidEvidenceLevel};
pub use feed::{Feed, InForce, InvalidShare, ReservedRule, Share};
pub use files::{Disk, Files};
pub use list::{KnownLists, ListSummary};
pub(crate) use load::is_policy_file;
pub use load::{Loaded, load, load_after, load_for};
pub use model::{LongestMatch, Policy};
pub use names::{InvalidMacAddress, InvalidPolicyName, MacAddress, PolicyName};
pub use observed::{InvalidObserved, Observed};
pub use place::Texts;
pub use risk::{Acceptance, Risk};
pub use runtime::{ChangeEnd, Effect, RuntimeChange, RuntimeOverlay, closest_policy};
pub use schedule::{Moment, Outside, Rest, Schedule, SinceBoot};
pub use scope::{Packet, Scope, ScopeMatch};
pub use service::{InvalidService, Ports, Service};
pub use yaml_limits::Excess;
