//! The HTTP endpoint: metrics, health and a page to look at. It changes
//! nothing: who can reach it can read and no more.

mod accept;
mod access;
mod guard;
mod health;
mod page;
mod routes;
mod server;

use std::sync::Arc;

use tokio::sync::Mutex;

pub use access::{Access, Token, TokenError};
pub use health::{Health, health};
pub use server::{Accept, Limits, serve};

use crate::{metrics::DeviceLabels, snapshot::Snapshot};

/// Takes a fresh snapshot, or says in one text why it cannot. May block.
pub type ReadSnapshot = Arc<dyn Fn() -> Result<Snapshot, String> + Send + Sync>;

/// Names the interfaces on which the filter should be attached. May block.
pub type Interfaces = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// What the endpoint shows.
#[derive(Clone)]
pub struct Site {
    /// Called once for each request, one at a time.
    pub read_snapshot: ReadSnapshot,
    /// The interfaces on which the filter should be attached, as they are called
    /// now.
    pub interfaces: Interfaces,
    /// Also the lock that puts snapshots in the order in which they are taken.
    pub labels: Arc<Mutex<DeviceLabels>>,
    /// What one client may take.
    pub limits: Limits,
}
