//! The HTTP endpoint: metrics, health and a page for people. It is read-only: no
//! request changes the filter or the daemon.

mod accept;
mod access;
mod health;
mod page;
mod request_check;
mod routes;
mod server;

use std::sync::Arc;

use tokio::sync::Mutex;

pub use access::{Access, Token, TokenError};
pub use health::{Health, health};
pub use server::{Accept, Limits, serve};

use crate::{metrics::DeviceLabels, snapshot::Snapshot};

/// Takes a new snapshot. Returns the reason as a text if that fails. May block.
pub type ReadSnapshot = Arc<dyn Fn() -> Result<Snapshot, String> + Send + Sync>;

/// Returns the names of the interfaces on which the filter should be attached. May
/// block.
pub type Interfaces = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// The sources of the data that the endpoint shows, and the limits on its clients.
#[derive(Clone)]
pub struct Site {
    /// The server calls it once for each request, and never twice at the same time.
    pub read_snapshot: ReadSnapshot,
    /// The interfaces on which the filter should be attached, by their current
    /// names.
    pub interfaces: Interfaces,
    /// The labels of devices. A request holds this lock while it takes its
    /// snapshot, so devices get labels in the order of the snapshots.
    pub labels: Arc<Mutex<DeviceLabels>>,
    /// Limits on connections, sizes and times.
    pub limits: Limits,
}
