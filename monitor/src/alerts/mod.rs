//! Alerts: what the operator is told without looking.
//!
//! ```text
//! events, snapshot, findings ─► detect ─► Alert ─► rules ─► Message ─► queue ─► target
//! ```
//!
//! All of it is pure: facts and times come in as arguments. `store/alert_queue.rs` keeps the queue
//! and what was alerted before, and `daemon/alerts/` sends.

mod alert;
mod detect;
mod home_assistant;
mod mail;
mod quiet;
mod settings;
mod signature;

pub use alert::{Alert, AlertKind, AlertState, Contacted, DeviceOfAlert, Include, Message};
pub use detect::{Condition, Lasting, conditions, first_contacts, losses, new_devices};
pub use home_assistant::{Publication, discovery, publications};
pub use mail::mail;
pub use quiet::Quiet;
pub use settings::{AlertSettings, Command, Mail, Mqtt, Rule, Secret, Target, Webhook};
pub use signature::{SigningKey, signature};
