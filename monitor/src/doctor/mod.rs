//! `monitor doctor`: what this gateway does not see, and why.
//!
//! ```text
//! netlink, /proc, daemon, store ─► read ─► Facts ─► checks ─► Diagnosis ─► text, JSON, metrics
//! ```
//!
//! The daemon runs the same checks once a minute for `monitor_blind`.

pub mod canary;
mod checks;
pub mod facts;
mod finding;
mod notes;
mod read;
mod text;

pub use checks::diagnose;
pub use finding::{Accepted, CheckName, Diagnosis, Finding, FindingStatus, Remark};
pub use read::{Filters, Known, filters, network, read};
