//! Asks an RDAP server about an address (RFC 9082, RFC 9083), only when the operator says
//! so: the question tells the server's operator which address is of interest.
//!
//! ```text
//! address → bootstrap (which server) → client (one answer, bounded) → object → statements
//! ```

mod bootstrap;
mod object;

use std::{fmt, net::IpAddr, path::Path, str::FromStr, time::Duration};

use http::StatusCode;
use jiff::{Timestamp, civil::Date, tz::Offset};
use serde::Serialize;

pub use self::object::InvalidObject;
use self::object::Network;
use super::{AsOf, DatedBy, Source, SourceKind, Statements};
use crate::{
    feeds::{Answer as Fetch, FetchError, Fetcher, LeadsInside, Limits, Own, TrustError},
    lists::{FeedUrl, InvalidFeedUrl},
    printable,
};

/// The limits of one question.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(10),
    connect: Duration::from_secs(5),
    size: 256 * 1024,
    redirects: 5,
};

/// The media types of RDAP (RFC 7480, section 4.2).
const ACCEPT: &str = "application/rdap+json, application/json";

/// A client for RDAP servers. It waits for a server at most 10 s, reads at most 256 KiB,
/// follows at most 5 redirects, and none of them into the gateway's networks.
#[derive(Clone, Debug)]
pub struct Client {
    fetcher: Fetcher,
    own: Own,
}

/// The base URL of an RDAP server, as the operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server(FeedUrl);

/// A text is not the base URL of an RDAP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServer {
    /// The text is not a URL.
    #[error("this is not the URL of a server; write it as in https://rdap.apnic.net/")]
    Url,
    /// The connection would not be encrypted, and leads to another machine.
    #[error("an answer over http can be changed on the way; write an https URL")]
    Exposed,
    /// The URL contains a user or a password.
    #[error("remove the user name or password from the URL")]
    Credentials,
    /// The URL has a query.
    #[error("remove the part of the URL from its `?` on")]
    Query,
}

impl FromStr for Server {
    type Err = InvalidServer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = |text: &str| {
            text.parse::<FeedUrl>().map_err(|error| match error {
                InvalidFeedUrl::Unreadable | InvalidFeedUrl::Scheme => InvalidServer::Url,
                InvalidFeedUrl::Credentials => InvalidServer::Credentials,
            })
        };
        let mut url = parse(text)?;
        if url.as_str().contains('?') {
            return Err(InvalidServer::Query);
        }
        if url.is_exposed() {
            return Err(InvalidServer::Exposed);
        }
        if !url.as_str().ends_with('/') {
            url = parse(&format!("{}/", url.as_str()))?;
        }
        Ok(Self(url))
    }
}

/// The reason why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RdapError {
    /// The address is not on the public internet. The question would only tell the server
    /// about the gateway's networks.
    #[error("{address} is {what}: no registry delegates it, so no server is asked")]
    NotPublic {
        /// The address.
        address: IpAddr,
        /// The kind of address, as a phrase such as "a private address".
        what: String,
    },
    /// IANA's table names no server for the address.
    #[error(
        "IANA's table of {published} names no RDAP server for {address}; name one with --rdap-server URL"
    )]
    NoServer {
        /// The address.
        address: IpAddr,
        /// Date of the table.
        published: Date,
    },
    /// The server has no object for the address.
    #[error("{server} has no object for {address}")]
    NotFound {
        /// Host of the server.
        server: String,
        /// The address.
        address: IpAddr,
    },
    /// The server refuses because of too many questions.
    #[error("{server} refuses because it was asked too often; try again later")]
    Busy {
        /// Host of the server.
        server: String,
    },
    /// The server leads to an inside address.
    #[error("`{}` is {}, {}: no RDAP server may lead there", .0.host, .0.address, .0.what)]
    Inside(LeadsInside),
    /// The server did not answer, or not with valid HTTP.
    #[error("ask {server}: {source}")]
    Fetch {
        /// Host of the server.
        server: String,
        /// The reason.
        source: FetchError,
    },
    /// The answer is not an object about the address.
    #[error("the answer of {server} cannot be used: {source}")]
    Object {
        /// Host of the server.
        server: String,
        /// The reason.
        source: InvalidObject,
    },
}

/// The answer of an RDAP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Host of the server that answered, after redirects.
    pub server: String,
    /// The address of the question.
    pub address: IpAddr,
    /// Handle of the object.
    pub handle: Option<String>,
    /// First and last address of the object's range.
    pub range: (IpAddr, IpAddr),
    /// Date of the object's last change.
    pub last_changed: Option<Date>,
    /// What the object states.
    #[serde(skip)]
    pub statements: Statements,
}

impl Client {
    /// Creates a client. `ca_file` holds the certificates to trust, in place of the
    /// system's. `own` are the gateway's own addresses, to which no server may lead.
    ///
    /// # Errors
    ///
    /// Fails if the certificates cannot be read.
    pub fn new(ca_file: Option<&Path>, own: Own) -> Result<Self, TrustError> {
        let fetcher = Fetcher::new(ca_file, LIMITS)?;
        let fetcher = fetcher.with_own(own.clone()).with_accept(ACCEPT);
        Ok(Self { fetcher, own })
    }

    /// Asks `server` about `address`, or else the server that IANA's table names for it.
    /// Blocks for up to 10 s. `now` is the current time.
    ///
    /// # Errors
    ///
    /// Fails if there is no server, no answer, or no object about the address.
    pub fn ask(
        &self,
        address: IpAddr,
        server: Option<&Server>,
        now: Timestamp,
    ) -> Result<Answer, RdapError> {
        let address = address.to_canonical();
        if let Some(what) = self.own.inside(address) {
            return Err(RdapError::NotPublic { address, what });
        }
        let server = match server {
            Some(server) => server.clone(),
            None => bootstrap::server_for(address)?,
        };
        let (content, answered) = self.fetch(address, &server)?;
        let server = answered.host();
        Answer::parse(&content, address, &server, now)
            .map_err(|source| RdapError::Object { server, source })
    }

    /// Returns the content of the answer, and the URL that gave it.
    fn fetch(&self, address: IpAddr, server: &Server) -> Result<(Vec<u8>, FeedUrl), RdapError> {
        let text = format!("{}ip/{address}", server.0.as_str());
        let mut url: FeedUrl = text.parse().map_err(|_| RdapError::Fetch {
            server: server.0.host(),
            source: FetchError::Url(text),
        })?;
        let answer = self.fetcher.fetch_from(&mut url, (None, None));
        // After redirects, this is the last server.
        let server = url.host();
        match answer {
            Ok(Fetch::Content(fetched)) => Ok((fetched.content, url)),
            Ok(Fetch::NotModified) => Err(RdapError::Fetch {
                server,
                source: FetchError::Status(StatusCode::NOT_MODIFIED),
            }),
            Err(FetchError::Status(StatusCode::NOT_FOUND)) => {
                Err(RdapError::NotFound { server, address })
            }
            Err(FetchError::Status(StatusCode::TOO_MANY_REQUESTS)) => {
                Err(RdapError::Busy { server })
            }
            Err(FetchError::Inside(inside)) => Err(RdapError::Inside(inside)),
            Err(source) => Err(RdapError::Fetch { server, source }),
        }
    }
}

impl Answer {
    /// Parses the content of an answer about `address`, which `server` gave at `now`.
    ///
    /// # Errors
    ///
    /// Fails if the content is not an object about the address.
    pub fn parse(
        content: &[u8],
        address: IpAddr,
        server: &str,
        now: Timestamp,
    ) -> Result<Self, InvalidObject> {
        let network = Network::parse(content, address)?;
        let as_of = AsOf {
            date: Offset::UTC.to_datetime(now).date(),
            dated_by: DatedBy::Asked,
        };
        let source = Source {
            name: server.into(),
            kind: SourceKind::Rdap,
            as_of: Some(as_of),
        };
        Ok(Self {
            server: server.to_owned(),
            address,
            handle: network.handle(),
            range: network.range(),
            last_changed: network.last_changed(),
            statements: network.statements(bootstrap::registry_of(server), &source),
        })
    }
}

/// Writes one line about the object.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.range;
        write!(
            f,
            "RDAP {} about {}: {first} - {last}",
            printable::value(&self.server),
            self.address
        )?;
        if let Some(handle) = &self.handle {
            write!(f, ", handle {}", printable::value(handle))?;
        }
        match self.last_changed {
            Some(date) => write!(f, ", last changed {date}"),
            None => Ok(()),
        }
    }
}
