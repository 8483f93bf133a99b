//! Downloads the content of a URL over HTTP, within limits. The calls block.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Response, StatusCode, Uri, header};
use ureq::{
    Agent, Body,
    config::Config,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
    unversioned::transport::DefaultConnector,
};

use super::{
    inside::{LeadsInside, OutsideResolver, Own},
    meta::is_validator,
    redirect::{self, BadRedirect},
};
use crate::{
    lists::{FeedUrl, MAX_FEED_BYTES},
    quoted::{message, quoted},
    regular_file::{self, Purpose},
};

/// The limits of one fetch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum time of the whole fetch, with redirects.
    pub time: Duration,
    /// Maximum time to open a connection.
    pub connect: Duration,
    /// Maximum size of the content, in bytes.
    pub size: u64,
    /// Maximum number of redirects.
    pub redirects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_mins(1),
            connect: Duration::from_secs(10),
            size: MAX_FEED_BYTES,
            redirects: 5,
        }
    }
}

/// A limit in MiB, or else in KiB.
fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    if bytes.is_multiple_of(KIB * KIB) {
        return format!("{} MiB", bytes / KIB / KIB);
    }
    format!("{} KiB", bytes.div_ceil(KIB))
}

/// A client that fetches one URL at a time.
#[derive(Clone, Debug)]
pub struct Fetcher {
    pub(super) limits: Limits,
    roots: RootCerts,
    own: Own,
    /// Value of the header `Accept`, if the server needs one.
    accept: Option<&'static str>,
}

/// The answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The content has not changed since the last fetch (status 304).
    NotModified,
    /// The server sent content (status 200).
    Content(Fetched),
}

/// A downloaded content with its validators, the headers that identify its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes as received.
    pub content: Vec<u8>,
    /// The value of the header `ETag`.
    pub etag: Option<String>,
    /// The value of the header `Last-Modified`.
    pub last_modified: Option<String>,
}

/// The reason why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server did not answer, or not with valid HTTP.
    #[error("{}", message(.0.to_string()))]
    Http(#[from] ureq::Error),
    /// The TLS connection failed, for example because of an untrusted certificate.
    #[error("{0}")]
    Tls(String),
    /// The body ended early, or reading it failed.
    #[error("read the answer: {}", message(.0.to_string()))]
    Body(#[source] io::Error),
    /// The server answered with a status other than 200, 304 and redirects.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// The body is larger than the limit.
    #[error("the answer is larger than {}", size(*limit))]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The fetch took longer than the limit.
    #[error("the answer did not arrive within {} s", limit.as_secs())]
    TooSlow {
        /// The limit for the whole fetch.
        limit: Duration,
    },
    /// The server sent a redirect that the client does not follow.
    #[error(transparent)]
    Redirect(#[from] BadRedirect),
    /// The server redirects a request whose body goes to the named server only.
    #[error("the server redirects to {to}: if you trust that server, name this URL")]
    NotFollowed {
        /// URL of the redirect, without its query.
        to: String,
    },
    /// A name or a redirect led to this machine or into its networks.
    #[error(transparent)]
    Inside(#[from] LeadsInside),
    /// The HTTP client cannot parse the URL.
    #[error("`{0}` cannot be fetched")]
    Url(String),
    /// The server sent more redirects than the limit, most likely in a circle.
    #[error("the server redirects more than {limit} times")]
    Redirects {
        /// Maximum number of redirects.
        limit: usize,
    },
}

/// The reason why the configured certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error(
        "read the certificates to trust, {}: {source}",
        crate::printable::path(path)
    )]
    Read {
        /// Path of the file, as configured.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The file contains no certificate.
    #[error(
        "{} contains no certificate in PEM format",
        crate::printable::path(path)
    )]
    None {
        /// Path of the file, as configured.
        path: PathBuf,
    },
}

impl Fetcher {
    /// Creates a client that trusts the certificates in `ca_file`. Without it, the
    /// client trusts those of the system, or those in `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` if these variables are set.
    pub fn new(ca_file: Option<&Path>, limits: Limits) -> Result<Self, TrustError> {
        let certificates = match ca_file {
            Some(path) => read_certificates(path)?,
            None => rustls_native_certs::load_native_certs()
                .certs
                .iter()
                .map(|der| Certificate::from_der(der).to_owned())
                .collect(),
        };
        let roots = RootCerts::from(certificates);
        Ok(Self {
            limits,
            roots,
            own: Own::default(),
            accept: None,
        })
    }

    /// Sets the gateway's own addresses and networks, to which no server may lead
    /// the client.
    #[must_use]
    pub fn with_own(mut self, own: Own) -> Self {
        self.own = own;
        self
    }

    /// Sets the header `Accept`.
    #[must_use]
    pub fn with_accept(mut self, types: &'static str) -> Self {
        self.accept = Some(types);
        self
    }

    /// Fetches `url`. `known` holds the `ETag` and the `Last-Modified` of the content
    /// that is already there.
    pub fn fetch(
        &self,
        url: &FeedUrl,
        known: (Option<&str>, Option<&str>),
    ) -> Result<Answer, FetchError> {
        self.fetch_from(&mut url.clone(), known)
    }

    /// Fetches `url` as [`Self::fetch`] does. After redirects, `url` is the URL that gave the
    /// answer or the error.
    pub fn fetch_from(
        &self,
        url: &mut FeedUrl,
        known: (Option<&str>, Option<&str>),
    ) -> Result<Answer, FetchError> {
        let end = Instant::now() + self.limits.time;
        let agent = self.agent(url);
        for _ in 0..=self.limits.redirects {
            let left = end.saturating_duration_since(Instant::now());
            let uri = url.as_str().parse();
            let uri: Uri = uri.map_err(|_| FetchError::Url(quoted(&url.to_string())))?;
            let response = self.get(&agent, &uri, known, left)?;
            let status = response.status();
            match status {
                StatusCode::OK => {
                    let content = self.content(response)?;
                    return Ok(Answer::Content(content));
                }
                StatusCode::NOT_MODIFIED if known != (None, None) => {
                    return Ok(Answer::NotModified);
                }
                _ if status.is_redirection() => {
                    let location = response.headers().get(header::LOCATION);
                    *url = redirect::resolve(url, location.map(HeaderValue::as_bytes))?;
                }
                _ => return Err(FetchError::Status(status)),
            }
        }
        Err(FetchError::Redirects {
            limit: self.limits.redirects,
        })
    }

    /// Returns an HTTP client for one feed.
    pub(super) fn agent(&self, feed: &FeedUrl) -> Agent {
        let resolver = OutsideResolver::new(feed, self.own.clone());
        Agent::with_parts(self.config(), DefaultConnector::default(), resolver)
    }

    /// Returns the configuration of a client. It uses no proxy, because a proxy would
    /// connect to addresses that this program has not checked. `proxy(None)` is
    /// needed: by default, `ureq` takes a proxy from the environment.
    pub(super) fn config(&self) -> Config {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(self.roots.clone())
            .unversioned_rustls_crypto_provider(provider)
            .build();
        Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .user_agent(concat!("monitor/", env!("CARGO_PKG_VERSION")))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(self.limits.connect))
            .build()
    }

    fn get(
        &self,
        agent: &Agent,
        uri: &Uri,
        (etag, last_modified): (Option<&str>, Option<&str>),
        left: Duration,
    ) -> Result<Response<Body>, FetchError> {
        let mut request = agent.get(uri);
        for (name, value) in [
            (header::ACCEPT, self.accept),
            (header::IF_NONE_MATCH, etag),
            (header::IF_MODIFIED_SINCE, last_modified),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let request = request.config().timeout_global(Some(left)).build();
        request.call().map_err(|error| self.explain(error))
    }

    pub(super) fn content(&self, response: Response<Body>) -> Result<Fetched, FetchError> {
        let limit = self.limits.size;
        let text = |name| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let validator = |name| text(name).filter(|value| is_validator(value));
        let (etag, last_modified) = (validator(header::ETAG), validator(header::LAST_MODIFIED));
        let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > limit) {
            return Err(FetchError::TooLarge { limit });
        }
        let mut content = Vec::new();
        let mut reader = response.into_body().into_reader().take(limit + 1);
        reader.read_to_end(&mut content).map_err(|error| {
            let timed_out = error.kind() == io::ErrorKind::TimedOut
                || error.get_ref().is_some_and(|inner| {
                    matches!(inner.downcast_ref(), Some(ureq::Error::Timeout(_)))
                });
            if timed_out {
                return self.too_slow();
            }
            FetchError::Body(error)
        })?;
        if content.len() as u64 > limit {
            return Err(FetchError::TooLarge { limit });
        }
        Ok(Fetched {
            content,
            etag,
            last_modified,
        })
    }

    pub(super) fn explain(&self, error: ureq::Error) -> FetchError {
        match error {
            ureq::Error::Timeout(_) => self.too_slow(),
            ureq::Error::Rustls(error) => {
                FetchError::Tls(format!("no trusted connection to the server: {error}"))
            }
            ureq::Error::Io(error) => match error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            {
                Some(tls) => FetchError::Tls(format!("no trusted connection to the server: {tls}")),
                None => ureq::Error::Io(error).into(),
            },
            ureq::Error::Other(error) => match error.downcast::<LeadsInside>() {
                Ok(inside) => FetchError::Inside(*inside),
                Err(error) => ureq::Error::Other(error).into(),
            },
            other => other.into(),
        }
    }

    const fn too_slow(&self) -> FetchError {
        FetchError::TooSlow {
            limit: self.limits.time,
        }
    }
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, TrustError> {
    let pem =
        regular_file::read(path, Purpose::Certificates).map_err(|source| TrustError::Read {
            path: path.to_owned(),
            source,
        })?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            Ok(_) | Err(_) => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(TrustError::None {
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}
