//! The HTTP endpoint: metrics, health and a page for people. It is read-only, unless the
//! operator switched the page's login on (`changes`).

mod accept;
mod access;
mod changes;
mod health;
mod page;
mod request_check;
mod routes;
mod server;
mod tls;

use std::sync::Arc;

use tokio::sync::Mutex;

pub use access::{Access, Token, TokenError};
pub use changes::{
    Author, BadLink, Desk, LINK_LIFE, Login, Secret, Session, Sessions, Subject, actions,
};
pub use health::{Health, health};
pub use server::{Accept, Limits, serve};
pub use tls::{Tls, TlsError, TlsListener};

use crate::{metrics::DeviceLabels, page_facts::PageFacts, snapshot::Snapshot};

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
    /// Who answers the questions of the pages.
    pub pages: PageSource,
    /// The login of operators; `None`: nothing can be changed.
    pub login: Option<Login>,
    /// Limits on connections, sizes and times.
    pub limits: Limits,
}

/// Where the pages get devices and contacts.
#[derive(Clone)]
pub enum PageSource {
    /// From the store.
    Shown(Arc<dyn PageFacts>),
    /// From the store, for requests that show a session. The others get the reason.
    InSession(Arc<dyn PageFacts>, &'static str),
    /// Nowhere, for this reason. The pages then show counters only, and no MAC.
    Withheld(&'static str),
}

impl PageSource {
    /// The facts for a request, or why it gets none.
    fn of_request(&self, is_signed: bool) -> Result<&dyn PageFacts, &'static str> {
        match self {
            Self::Shown(facts) => Ok(facts.as_ref()),
            Self::InSession(facts, _) if is_signed => Ok(facts.as_ref()),
            Self::InSession(_, why) | Self::Withheld(why) => Err(why),
        }
    }

    /// The daemon, also for requests that get no facts.
    fn daemon(&self) -> Option<&dyn PageFacts> {
        match self {
            Self::Shown(facts) | Self::InSession(facts, _) => Some(facts.as_ref()),
            Self::Withheld(_) => None,
        }
    }
}
