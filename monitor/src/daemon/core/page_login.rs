//! The login of the page: links, sessions, and the changes of operators who are signed in.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tracing::{info, warn};

use super::{Core, lock};
use crate::{
    clock,
    clock::to_the_second,
    config::PageContacts,
    control::{ChangeRequest, Changed, PageLink, StandingChange},
    datapath,
    error_text::error_text,
    evidence::page_event::{PageAct, PageEvent},
    http::{Author, Desk, LINK_LIFE, Login, PageSource, Sessions},
    policy::MacAddress,
};

/// The longest reason of a refusal in an event, in characters.
const MOST_WHY: usize = 300;

/// The most addresses of one endpoint that are shown in links.
const MOST_ADDRESSES: usize = 8;

/// The sessions, and what `monitor page --login` says about TLS.
#[derive(Default)]
pub(super) struct PageLogin {
    sessions: Arc<Mutex<Sessions>>,
    fingerprint: Mutex<Option<String>>,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum LinkError {
    #[error(
        "the login of the page is off; write `page: {{login: true}}` into the config file, and start the daemon again"
    )]
    Off,
    #[error(
        "the page is served at no address where operators can sign in; `monitor status` shows the addresses, and `listen: 127.0.0.1:9641` is one"
    )]
    NoAddress,
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("read the addresses of this machine: {0}")]
    Addresses(#[from] datapath::Error),
}

/// Why a request without a session gets no contacts.
const IN_SESSION: &str = "Devices and contacts are shown only to those who are signed in. As root on the gateway, run `monitor page --login`, and open the link that it prints.";

/// Why no request gets contacts.
const NOBODY: &str = "Devices and contacts are not shown on the page, because the config file says `page: {contacts: nobody}`. As root on the gateway, `monitor devices` and `monitor flows` show them.";

impl Core {
    /// Where the pages get devices and contacts.
    #[must_use]
    pub fn pages(self: &Arc<Self>) -> PageSource {
        self.page.hits.belongs_to(self);
        let facts = Arc::clone(self);
        match self.settings.page.contacts {
            PageContacts::Everyone => PageSource::Shown(facts),
            PageContacts::Login => PageSource::InSession(facts, IN_SESSION),
            PageContacts::Nobody => PageSource::Withheld(NOBODY),
        }
    }

    /// The login of an endpoint without TLS; `None` if the login is off.
    #[must_use]
    pub fn login(self: &Arc<Self>) -> Option<Login> {
        let page = &self.settings.page;
        page.login.then(|| Login {
            sessions: Arc::clone(&self.page_login.sessions),
            life: page.session,
            desk: Arc::clone(self) as Arc<dyn Desk>,
            is_tls: false,
        })
    }

    /// Notes the certificate with which the page is served.
    pub(in crate::daemon) fn note_fingerprint(&self, fingerprint: String) {
        *lock(&self.page_login.fingerprint) = Some(fingerprint);
    }

    /// Makes a link that opens one session.
    pub(in crate::daemon) fn new_link(&self) -> Result<PageLink, LinkError> {
        if !self.settings.page.login {
            return Err(LinkError::Off);
        }
        let mut addresses = Vec::new();
        for endpoint in self.endpoints.now() {
            if endpoint.serving {
                addresses.extend(addresses_of(&endpoint.address)?);
            }
        }
        if addresses.is_empty() {
            return Err(LinkError::NoAddress);
        }
        let secret = self.sessions().new_link(clock::boot_time())?.text();
        let until = Timestamp::now() + SignedDuration::try_from(LINK_LIFE).unwrap_or_default();
        let links: Vec<_> = addresses
            .iter()
            .map(|address| format!("{address}login/{secret}"))
            .collect();
        let is_tls = links.iter().any(|link| link.starts_with("https"));
        let fingerprint = lock(&self.page_login.fingerprint).clone();
        info!("a link for the login of the page was made");
        Ok(PageLink {
            links,
            until: to_the_second(until),
            fingerprint: fingerprint.filter(|_| is_tls),
        })
    }

    /// Ends all sessions and links. Returns the number of sessions.
    pub(in crate::daemon) fn end_sessions(&self) -> usize {
        let ended = self.sessions().end_all(clock::boot_time());
        info!("{ended} sessions of the page were ended");
        ended
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.page_login.sessions)
    }

    fn store_act(&self, act: PageAct, author: &Author, device: Option<&str>) {
        let mac: Option<MacAddress> = device.and_then(|text| text.parse().ok());
        let event = PageEvent {
            act,
            session: author.session.clone(),
            address: author.address,
            devices: device.filter(|_| mac.is_none()).map(str::to_owned),
        };
        if let Err(why) = self.evidence.page_event(event, mac) {
            warn!("an event of the page is not stored: {why}");
        }
    }
}

impl Desk for Core {
    fn change(&self, request: &ChangeRequest, author: &Author) -> Result<Changed, String> {
        let changed = Self::change(self, request).map_err(|error| error_text(&error));
        self.tell_reloaded();
        let command = request.effect.command();
        let act = match &changed {
            Ok(changed) if changed.undone => PageAct::Undo { command },
            Ok(changed) => PageAct::Change {
                command,
                until: changed.change.until.clone(),
            },
            Err(why) => PageAct::Refused {
                command,
                why: why.chars().take(MOST_WHY).collect(),
            },
        };
        let session = author.session.as_deref().unwrap_or("none");
        info!("by session {session} of the page: {}", word(&act));
        self.store_act(act, author, request.device.as_deref());
        changed
    }

    fn standing(&self) -> Vec<StandingChange> {
        Self::standing(self)
    }

    fn note(&self, act: PageAct, author: &Author) {
        let session = author.session.as_deref().unwrap_or("none");
        info!(
            "page: {}, session {session}, from {}",
            word(&act),
            author.address
        );
        self.store_act(act, author, None);
    }

    fn now(&self) -> Duration {
        clock::boot_time()
    }

    fn moment(&self) -> (Timestamp, TimeZone) {
        (clock::now().at, TimeZone::system())
    }
}

/// The act for the log, without destinations and devices.
fn word(act: &PageAct) -> &'static str {
    match act {
        PageAct::Login => "login",
        PageAct::Logout => "logout",
        PageAct::LinkUsedAgain => "a link that was used before was shown again",
        PageAct::Change { .. } => "a change is in force",
        PageAct::Undo { .. } => "a change is undone",
        PageAct::Refused { .. } => "a change is refused",
    }
}

/// The addresses under which browsers reach an endpoint where operators can sign in: over TLS, or
/// on this machine.
fn addresses_of(endpoint: &str) -> Result<Vec<String>, datapath::Error> {
    let Some((scheme, rest)) = endpoint.split_once("://") else {
        return Ok(Vec::new());
    };
    let Ok(address) = rest.trim_end_matches('/').parse::<SocketAddr>() else {
        return Ok(Vec::new());
    };
    if scheme != "https" && !address.ip().is_loopback() {
        return Ok(Vec::new());
    }
    if !address.ip().is_unspecified() {
        return Ok(vec![endpoint.to_owned()]);
    }
    let own = datapath::own_addresses()?.into_iter();
    let own = own.filter(|own| own.is_ipv4() == address.is_ipv4() && is_reachable(*own));
    let each = own.take(MOST_ADDRESSES).map(|own| {
        let address = SocketAddr::new(own, address.port());
        format!("{scheme}://{address}/")
    });
    Ok(each.collect())
}

/// True unless the address needs a zone or is only for this machine.
fn is_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}
