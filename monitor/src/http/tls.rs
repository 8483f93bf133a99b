//! TLS for endpoints that other machines reach: a certificate that the operator gives, or one of
//! the daemon's own.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::server::Accept;
use crate::{
    new_file,
    regular_file::{self, Purpose},
    secret_file::{self, SecretFileError},
};

/// Files of the own certificate in the state directory.
const CERTIFICATE: &str = "page-certificate.pem";
const KEY: &str = "page-key.pem";

/// How long an own certificate is valid. Browsers refuse more than 398 days.
const VALID: SignedDuration = SignedDuration::from_hours(397 * 24);

/// Time before its end at which a start makes a new one.
const RENEW: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Begin of the first line of an own certificate, which says what it is for.
const FOR: &str = "# monitor, for ";

/// Why an endpoint has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate cannot be read.
    #[error("read the certificate {}: {source}", crate::printable::path(path))]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The key cannot be read, or other users can read it.
    #[error(transparent)]
    Key(#[from] SecretFileError),
    /// A file has no certificate or key, or the two do not fit.
    #[error(
        "{} has no {what}; write PEM, as `openssl` does",
        crate::printable::path(path)
    )]
    Content {
        /// Path of the file.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
    },
    /// The certificate and the key do not fit.
    #[error("the certificate and the key cannot be used: {0}; are they of one pair?")]
    Pair(#[from] rustls::Error),
    /// The own certificate cannot be made.
    #[error("make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The own certificate cannot be stored.
    #[error("store the certificate in {}: {source}", crate::printable::path(path))]
    Store {
        /// Path of the state directory.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
}

/// A certificate with its key, ready to serve.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    /// SHA-256 of the certificate, as browsers show it.
    pub fingerprint: String,
}

impl Tls {
    /// Uses the operator's certificate, with its chain, and key.
    ///
    /// # Errors
    ///
    /// Returns which file is wrong, and how to fix it.
    pub fn given(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |source| TlsError::Read {
            path: certificate.to_owned(),
            source,
        };
        let chain = regular_file::read_text(certificate, Purpose::Certificates).map_err(read)?;
        let secret = secret_file::read(key)?;
        Self::new(&chain, &secret, certificate, key)
    }

    /// Uses the daemon's own certificate for these addresses. Makes one if there is none, if it is
    /// for other addresses, or if it ends soon.
    ///
    /// # Errors
    ///
    /// Returns an error if it can neither be read nor made.
    pub fn own(state_dir: &Path, addresses: &[IpAddr], now: Timestamp) -> Result<Self, TlsError> {
        let (certificate, key) = (state_dir.join(CERTIFICATE), state_dir.join(KEY));
        if let Ok(chain) = regular_file::read_text(&certificate, Purpose::Certificates)
            && is_for(&chain, addresses, now)
            && let Ok(secret) = secret_file::read(&key)
            && let Ok(tls) = Self::new(&chain, &secret, &certificate, &key)
        {
            return Ok(tls);
        }
        let (chain, secret) = made(addresses, now)?;
        let store = |source| TlsError::Store {
            path: state_dir.to_owned(),
            source,
        };
        new_file::replace(&key, secret.as_bytes()).map_err(store)?;
        new_file::replace(&certificate, chain.as_bytes()).map_err(store)?;
        Self::new(&chain, secret.as_bytes(), &certificate, &key)
    }

    fn new(chain: &str, key: &[u8], at: &Path, key_at: &Path) -> Result<Self, TlsError> {
        let content = |path: &Path, what| TlsError::Content {
            path: path.to_owned(),
            what,
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let chain = chain.map_err(|_| content(at, "certificate"))?;
        let Some(first) = chain.first() else {
            return Err(content(at, "certificate"));
        };
        let fingerprint = Sha256::digest(first);
        let fingerprint: Vec<_> = fingerprint
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| content(key_at, "private key"))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            fingerprint: fingerprint.join(":"),
        })
    }
}

/// The first line of an own certificate: addresses, and its end in seconds.
fn first_line(addresses: &[IpAddr], until: Timestamp) -> String {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!("{FOR}{}, until {}", addresses.join(" "), until.as_second())
}

/// True if an own certificate is for these addresses and does not end soon.
fn is_for(chain: &str, addresses: &[IpAddr], now: Timestamp) -> bool {
    let line = chain.lines().next().unwrap_or_default();
    let until = line.rsplit_once(", until ");
    let until = until.and_then(|(_, until)| Timestamp::from_second(until.parse().ok()?).ok());
    until.is_some_and(|until| {
        line == first_line(addresses, until)
            && until.duration_since(now) > RENEW
            && until.duration_since(now) <= VALID
    })
}

/// Makes a certificate and its key, both PEM.
fn made(addresses: &[IpAddr], now: Timestamp) -> Result<(String, String), TlsError> {
    let until = now + VALID;
    let names = addresses.iter().map(ToString::to_string);
    let names = names.chain(["localhost".to_owned()]);
    let mut parameters = rcgen::CertificateParams::new(names.collect::<Vec<_>>())?;
    let date = |at: Timestamp| {
        let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(
            day.year().into(),
            day.month().unsigned_abs(),
            day.day().unsigned_abs(),
        )
    };
    // A browser's clock may be behind.
    parameters.not_before = date(now - SignedDuration::from_hours(24));
    parameters.not_after = date(until);
    let name = rcgen::DnType::CommonName;
    parameters.distinguished_name.push(name, "monitor");
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    let chain = format!("{}\n{}", first_line(addresses, until), certificate.pem());
    Ok((chain, key.serialize_pem()))
}

/// A listening socket whose connections speak TLS.
pub struct TlsListener {
    tcp: TcpListener,
    tls: Tls,
}

impl TlsListener {
    /// Speaks TLS on the connections of `tcp`.
    #[must_use]
    pub fn new(tcp: TcpListener, tls: Tls) -> Self {
        Self { tcp, tls }
    }
}

impl Accept for TlsListener {
    type Accepted = (TcpStream, TlsAcceptor);
    type Stream = TlsStream<TcpStream>;

    async fn accept_next(&self) -> io::Result<Self::Accepted> {
        let (stream, _) = self.tcp.accept().await?;
        Ok((stream, self.tls.acceptor.clone()))
    }

    async fn open((stream, acceptor): Self::Accepted) -> io::Result<Self::Stream> {
        acceptor.accept(stream).await
    }

    fn peer(stream: &Self::Stream) -> Option<IpAddr> {
        TcpListener::peer(stream.get_ref().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_certificate_is_kept_until_it_ends_or_the_addresses_change() {
        let directory = tempfile::tempdir().unwrap();
        let here: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "::1".parse().unwrap()];
        let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        let fingerprint = |addresses: &[IpAddr], now| {
            let tls = Tls::own(directory.path(), addresses, now).unwrap();
            tls.fingerprint
        };
        let first = fingerprint(&here, now);
        assert_eq!(first.len(), 95, "{first}");
        let day = SignedDuration::from_hours(24);
        assert_eq!(fingerprint(&here, now + day * 366), first);
        let renewed = fingerprint(&here, now + day * 367);
        assert_ne!(renewed, first);
        // A clock that was wrong made a certificate of the future.
        let back = fingerprint(&here, now);
        assert_ne!(back, renewed);
        assert_ne!(fingerprint(&here[..1], now), back);
        std::fs::write(directory.path().join(KEY), "no key").unwrap();
        assert_ne!(fingerprint(&here[..1], now), back, "made again");
        let given = Tls::given(
            &directory.path().join(CERTIFICATE),
            &directory.path().join(KEY),
        );
        assert!(given.is_ok());
        let swapped = Tls::given(&directory.path().join(KEY), &directory.path().join(KEY));
        let error = swapped.err().map(|error| error.to_string()).unwrap();
        assert!(error.contains("no certificate"), "{error}");
    }
}
