//! `monitor doctor`: what this gateway does not see, and why.
//!
//! ```text
//! netlink, /proc, daemon, store ─► read ─► Facts ─► checks ─► Diagnosis ─► text, JSON, metrics
//! ```
//!
//! The daemon runs the same checks once a minute for `monitor_blind`.

mod checks;
pub mod facts;
mod finding;
mod read;
mod text;

pub use checks::diagnose;
pub use finding::{CheckName, Diagnosis, Finding, FindingStatus, Remark};
pub use read::{Known, read};
