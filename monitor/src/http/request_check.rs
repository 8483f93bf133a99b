//! Checks the `Host` header and the token of each request, and adds the security
//! headers to each answer.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, WWW_AUTHENTICATE,
            X_CONTENT_TYPE_OPTIONS,
        },
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    Access, Login,
    changes::{Signed, pages},
};

const NO_TOKEN: &str = "\
This endpoint needs a token: send the header `Authorization: Bearer TOKEN`.
For Prometheus, use the setting `authorization: {credentials_file: …}`.
";

const FOREIGN_HOST: &str = "\
This endpoint answers only requests for an IP address (http://192.0.2.1:9641/) or for localhost.
A web page could point its own host name at this address and read the data (DNS rebinding).
To fix this, put the address in place of the name.
";

const SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // With `no-referrer`, browsers would send forms without an origin.
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The reason why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The request has no `Host` header, several, or one with a byte that is not
    /// visible ASCII.
    Unclear,
    /// The request names a host other than an address or `localhost`.
    Foreign,
    /// The request shows no token or a wrong one.
    NoToken,
    /// The request needs a session, and has none.
    NoSession,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let unclear = "Exactly one Host header is needed.\n";
        match self {
            Self::Unclear => (StatusCode::BAD_REQUEST, unclear).into_response(),
            Self::Foreign => (StatusCode::MISDIRECTED_REQUEST, FOREIGN_HOST).into_response(),
            Self::NoSession => pages::not_signed_in(),
            Self::NoToken => {
                let challenge = [(WWW_AUTHENTICATE, "Bearer realm=\"monitor\"")];
                (StatusCode::UNAUTHORIZED, challenge, NO_TOKEN).into_response()
            }
        }
    }
}

/// The conditions of an endpoint.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) access: Access,
    pub(super) login: Option<Login>,
}

impl Door {
    /// True for the paths by which an operator signs in, and for the files of every page.
    fn is_open(&self, path: &str) -> bool {
        self.login.is_some()
            && (path == "/login"
                || path == "/manifest.webmanifest"
                || path.starts_with("/login/")
                || path.starts_with("/assets/"))
    }

    fn speaks_tls(&self) -> bool {
        self.login.as_ref().is_some_and(|login| login.is_tls)
    }
}

/// Passes a request on if `access` allows it, otherwise answers with the refusal.
/// Adds the security headers to both answers.
pub(super) async fn check_request(
    State(door): State<Door>,
    mut request: Request,
    next: Next,
) -> Response {
    let login = door.login.as_ref();
    let session = login.and_then(|login| login.session(request.headers()));
    let checked = check_access(&door, session.is_some(), request.uri(), request.headers());
    let mut response = match checked {
        Ok(()) => {
            request.extensions_mut().insert(Signed(session));
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        // Files with a hash in their name say how long they can be kept.
        headers.entry(name).or_insert(value);
    }
    response
}

fn check_access(
    door: &Door,
    is_signed: bool,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let Access::Network(token) = &door.access else {
        return Ok(());
    };
    check_host(uri, headers)?;
    let shows_token = token.as_ref().map(|token| token.is_shown_by(headers));
    let path = uri.path();
    if is_signed || shows_token == Some(true) || door.is_open(path) {
        return Ok(());
    }
    match shows_token {
        Some(_) => Err(Refusal::NoToken),
        // Other machines reach what speaks TLS.
        None if door.speaks_tls() && !is_for_programs(path) => Err(Refusal::NoSession),
        None => Ok(()),
    }
}

/// True for the paths that programs ask for. They show no person's data.
fn is_for_programs(path: &str) -> bool {
    matches!(path, "/metrics" | "/healthz")
}

/// Checks the `Host` header and the host in the request line, if it has one
/// (`GET http://host/ HTTP/1.1`).
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Refusal::Unclear);
    };
    let host = host.to_str().map_err(|_| Refusal::Unclear)?;
    let target = uri.authority().map(Authority::as_str);
    let own = [Some(host), target].into_iter().flatten().all(is_own);
    if own { Ok(()) } else { Err(Refusal::Foreign) }
}

/// Returns true if `host` is an address literal or `localhost`. DNS cannot point
/// either of them elsewhere: a literal is not resolved, and browsers resolve
/// `localhost` themselves. Every port is accepted, because a tunnel may forward
/// another port to this one.
fn is_own(host: &str) -> bool {
    let ipv6 = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    host.parse::<SocketAddr>().is_ok()
        || host.parse::<Ipv4Addr>().is_ok()
        || ipv6.is_some_and(|h| h.parse::<Ipv6Addr>().is_ok())
        || is_localhost(host)
}

fn is_localhost(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    name.eq_ignore_ascii_case("localhost") && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, hosts: &[&str]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().unwrap());
        }
        check_host(&target.parse().unwrap(), &headers)
    }

    #[test]
    fn addresses_and_localhost_are_own() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9641",
            "192.168.1.1:80",
            "[::1]:9641",
            "[fe80::1]",
            "localhost",
            "LocalHost:1",
        ] {
            assert_eq!(check("/metrics", &[host]), Ok(()), "{host}");
        }
    }

    #[test]
    fn names_are_foreign() {
        for host in [
            "evil.example",
            "evil.example:9641",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "127.1",
            "0x7f000001",
            "[::1].example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "localhost:80:evil.example",
            "",
        ] {
            assert_eq!(check("/", &[host]), Err(Refusal::Foreign), "{host}");
        }
    }

    #[test]
    fn a_foreign_host_in_the_request_line_is_refused() {
        assert_eq!(
            check("http://evil.example/", &["127.0.0.1"]),
            Err(Refusal::Foreign)
        );
        assert_eq!(check("http://127.0.0.1/", &["127.0.0.1"]), Ok(()));
    }

    #[test]
    fn exactly_one_host_is_needed() {
        assert_eq!(check("/", &[]), Err(Refusal::Unclear));
        assert_eq!(
            check("/", &["127.0.0.1", "127.0.0.1"]),
            Err(Refusal::Unclear)
        );
    }
}
