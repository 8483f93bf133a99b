//! Resolves the `Location` of a redirect to a URL (RFC 3986, section 5.2), and
//! refuses redirects that the daemon must not follow.

use std::fmt::Write as _;

use fluent_uri::{Uri, UriRef};

use crate::{
    lists::{FeedUrl, InvalidFeedUrl},
    quoted::quoted,
};

/// The maximum length of a `Location` that the daemon follows, in bytes.
const MAX_LOCATION: usize = 8 * 1024;

/// A redirect that the daemon does not follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRedirect {
    /// The answer has no `Location`.
    #[error("the server redirects to nowhere: its answer has no `Location`")]
    Nowhere,
    /// The value is not a reference as RFC 3986 defines it. The message does not
    /// show it, because an unparsed text may contain a password at any position.
    #[error("the server redirects to nowhere: its `Location` is not a URL")]
    Unreadable,
    /// The value is longer than the limit.
    #[error("the server redirects to nowhere: its `Location` has more than {MAX_LOCATION} bytes")]
    TooLong,
    /// The daemon fetches no URL of this kind.
    #[error("the server redirects to {to}: {why}")]
    Unfetchable {
        /// Scheme, host, port and path.
        to: String,
        /// The reason.
        why: InvalidFeedUrl,
    },
    /// The redirect leads from an encrypted connection to an unencrypted one.
    #[error(
        "the server redirects from https to {to}, an unencrypted URL whose content could be changed on the way"
    )]
    Downgrade {
        /// Scheme, host, port and path.
        to: String,
    },
}

/// Returns the URL to which an answer from `from` redirects. `location` holds the
/// bytes of the header, if the answer has one.
pub(super) fn resolve(from: &FeedUrl, location: Option<&[u8]>) -> Result<FeedUrl, BadRedirect> {
    let location = location.ok_or(BadRedirect::Nowhere)?;
    if location.len() > MAX_LOCATION {
        return Err(BadRedirect::TooLong);
    }
    let base = Uri::parse(escape(from.as_str().as_bytes())).map_err(|_| BadRedirect::Unreadable)?;
    let reference = UriRef::parse(escape(location)).map_err(|_| BadRedirect::Unreadable)?;
    let target = reference
        .resolve_against(&base)
        .map_err(|_| BadRedirect::Unreadable)?;
    let url: FeedUrl = target
        .as_str()
        .parse()
        .map_err(|why| BadRedirect::Unfetchable {
            to: shown(&target),
            why,
        })?;
    if from.is_encrypted() && !url.is_encrypted() {
        return Err(BadRedirect::Downgrade { to: shown(&target) });
    }
    Ok(url)
}

/// Returns the URL without user, password, query and fragment, because they may be
/// secrets.
fn shown(url: &Uri<String>) -> String {
    let mut text = format!("{}:", url.scheme());
    if let Some(authority) = url.authority() {
        let _ = write!(text, "//{}", authority.host());
        if let Some(port) = authority.port() {
            let _ = write!(text, ":{port}");
        }
        text.push_str(url.path().as_str());
    }
    quoted(&text)
}

/// Returns `text` with each byte that is not allowed in a URL written as `%XX`.
/// Browsers do the same, because servers write spaces, quotes and UTF-8 into
/// `Location`.
fn escape(text: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    let host = host_of(text);
    for (at, &byte) in text.iter().enumerate() {
        let allowed = match byte {
            b'%' => is_escape(&text[at..]),
            b'[' | b']' => host.contains(&at),
            _ => byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=".contains(&byte),
        };
        if allowed {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

fn is_escape(text: &[u8]) -> bool {
    let digits = text.get(1..3);
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Returns the position of the authority (user, host and port) in `text`. It is the
/// only part of a URL that may contain brackets.
fn host_of(text: &[u8]) -> std::ops::Range<usize> {
    let ends = |byte: &u8| b"/?#".contains(byte);
    let first = text.iter().position(ends).unwrap_or(text.len());
    if !text[first..].starts_with(b"//") {
        return 0..0;
    }
    let start = first + 2;
    let length = text[start..].iter().position(ends);
    start..length.map_or(text.len(), |length| start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(base: &str, location: &str) -> Result<String, BadRedirect> {
        let url = resolve(&base.parse().unwrap(), Some(location.as_bytes()))?;
        Ok(url.as_str().to_owned())
    }

    /// The examples of RFC 3986, sections 5.4.1 and 5.4.2, that lead to a URL with a
    /// host. The expected URLs have no fragment, because no request carries one.
    #[test]
    fn the_examples_of_rfc_3986_resolve_as_it_says() {
        for (location, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("g;x", "http://a/b/c/g;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
        ] {
            let found = from("http://a/b/c/d;p?q", location);
            assert_eq!(found.as_deref(), Ok(expected), "{location}");
        }
    }

    #[test]
    fn a_url_in_the_query_is_not_taken_for_the_target() {
        for (location, expected) in [
            (
                "/get?u=https://mirror.example/x",
                "http://a.example/get?u=https://mirror.example/x",
            ),
            (
                "get?u=ftp://mirror.example/",
                "http://a.example/lists/get?u=ftp://mirror.example/",
            ),
            ("HTTP://B.example/x#y", "http://b.example/x"),
            ("http://[2001:db8::1]:8080/x", "http://[2001:db8::1]:8080/x"),
        ] {
            let found = from("http://a.example/lists/drop", location);
            assert_eq!(found.as_deref(), Ok(expected), "{location}");
        }
    }

    #[test]
    fn bytes_that_are_not_allowed_in_a_url_are_escaped() {
        for (location, expected) in [
            ("/a b", "http://a.example/a%20b"),
            (
                "/l?x=a|b&y=\"[1]\"",
                "http://a.example/l?x=a%7Cb&y=%22%5B1%5D%22",
            ),
            ("/é", "http://a.example/%C3%A9"),
            ("/100%", "http://a.example/100%25"),
            ("/%41", "http://a.example/%41"),
        ] {
            let found = from("http://a.example/", location);
            assert_eq!(found.as_deref(), Ok(expected), "{location}");
        }
        let base = "http://a.example/x?f={1|2}";
        assert_eq!(from(base, "y").as_deref(), Ok("http://a.example/y"));
    }

    #[test]
    fn the_error_for_a_refused_redirect_shows_no_secret() {
        let long = format!("/{}", "a".repeat(MAX_LOCATION));
        for (location, why) in [
            (
                "https://me:secret@b.example/x",
                "to https://b.example/x: this URL holds a user",
            ),
            (
                "gopher://me:secret@b.example/x?secret#secret",
                "to gopher://b.example/x: ",
            ),
            ("mailto:secret@b.example", "to mailto:: "),
            ("file:///etc/secret?secret", "to file:///etc/"),
            ("http:g", "to http:: "),
            ("http://", "to http://: "),
            ("http://me:secret@[::1/", "is not a URL"),
            ("//me:secret@b.example/", "to https://b.example/: "),
            (
                "http://b.example/x?secret",
                "from https to http://b.example/x,",
            ),
            (&long, "more than 8192 bytes"),
        ] {
            let error = from("https://a.example/x", location)
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{location}: {error}");
            let shown = error.replace("/etc/secret", "/etc/");
            assert!(!shown.contains("secret"), "{location}: {error}");
        }
        let scheme = format!("{}://b.example/", "a".repeat(5000));
        let error = from("https://a.example/x", &scheme)
            .unwrap_err()
            .to_string();
        assert!(error.len() < 300, "{error}");
        assert_eq!(
            resolve(&"https://a.example/".parse().unwrap(), None),
            Err(BadRedirect::Nowhere)
        );
    }
}
