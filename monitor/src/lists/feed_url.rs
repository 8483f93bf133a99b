//! The URL of a feed.

use std::{fmt, net::IpAddr, str::FromStr};

use http::{Uri, uri::Scheme};

/// A URL with the scheme http or https. Scheme and host are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedUrl(String);

/// The reason why a text is not the URL of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFeedUrl {
    /// The text is not a URL, or the URL has no host.
    #[error("this is not a URL that can be fetched")]
    Unreadable,
    /// The URL has another scheme.
    #[error("a list is fetched with `https` or `http` only")]
    Scheme,
    /// The URL contains a user or a password.
    #[error(
        "this URL holds a user name or a password, which would appear in files, logs and the store"
    )]
    Credentials,
}

impl InvalidFeedUrl {
    /// Returns the fix: what to write instead.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::Unreadable => "write it as in `{list: https://lists.example.net/drop.txt}`",
            Self::Scheme => "fetch the list into a file with another program, and name that file",
            Self::Credentials => {
                "remove the part before the `@`; if the list needs a password, fetch it into a file with another program"
            }
        }
    }
}

impl FeedUrl {
    /// Returns the URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if a text in a policy is a URL and not a path.
    #[must_use]
    pub fn is_meant_by(text: &str) -> bool {
        text.contains("://")
    }

    /// Returns true if the answer can be changed on the way: it is not encrypted and does
    /// not come from this machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.0.starts_with("http:") && !self.is_loopback()
    }

    /// Returns true if the connection is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Returns true if the host is `localhost` or a loopback address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host() == "localhost" || self.address().is_some_and(|address| address.is_loopback())
    }

    /// Returns the host. An IPv6 address is in brackets.
    #[must_use]
    pub fn host(&self) -> String {
        let uri = self.uri();
        let host = uri.as_ref().and_then(Uri::host);
        host.unwrap_or_default().to_owned()
    }

    /// Returns the address if the host is an address and not a name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let host = self.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse().ok()
    }

    /// Returns host, port and path. Leaves out the query, which may contain a secret.
    #[must_use]
    pub fn label(&self) -> String {
        let Some(uri) = self.uri() else {
            return String::new();
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        format!("{authority}{}", uri.path())
    }

    fn uri(&self) -> Option<Uri> {
        self.0.parse().ok()
    }
}

/// Writes the URL for messages, with `?…` in place of the query, which may contain a
/// secret. [`FeedUrl::as_str`] returns the whole URL.
impl fmt::Display for FeedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once('?') {
            None => f.pad(&self.0),
            Some((before, _)) => f.pad(&format!("{before}?…")),
        }
    }
}

impl FromStr for FeedUrl {
    type Err = InvalidFeedUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| InvalidFeedUrl::Unreadable)?;
        let scheme = uri.scheme().ok_or(InvalidFeedUrl::Unreadable)?;
        if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
            return Err(InvalidFeedUrl::Scheme);
        }
        let authority = uri.authority().ok_or(InvalidFeedUrl::Unreadable)?;
        if authority.as_str().contains('@') {
            return Err(InvalidFeedUrl::Credentials);
        }
        if authority.host().is_empty() {
            return Err(InvalidFeedUrl::Unreadable);
        }
        let authority = authority.as_str().to_ascii_lowercase();
        let rest = uri.path_and_query().map_or("/", |rest| rest.as_str());
        Ok(Self(format!("{scheme}://{authority}{rest}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_url() {
        let url: FeedUrl = "HTTPS://Lists.Example.net:8443/Drop.txt?key=s#x"
            .parse()
            .unwrap();
        assert_eq!(
            url.as_str(),
            "https://lists.example.net:8443/Drop.txt?key=s"
        );
        assert_eq!(url.label(), "lists.example.net:8443/Drop.txt");
        assert!(!url.is_exposed());
        for (text, exposed) in [
            ("http://example.net/x", true),
            ("http://127.0.0.1:80/x", false),
            ("http://[::1]/x", false),
            ("http://localhost", false),
            ("http://localhost.example.net/x", true),
        ] {
            assert_eq!(
                text.parse::<FeedUrl>().unwrap().is_exposed(),
                exposed,
                "{text}"
            );
        }
    }

    #[test]
    fn texts_that_are_not_the_url_of_a_feed() {
        for (text, why) in [
            ("ftp://example.net/x", InvalidFeedUrl::Scheme),
            ("https://", InvalidFeedUrl::Unreadable),
            ("https://exa mple.net/", InvalidFeedUrl::Unreadable),
            (
                "https://me:secret@example.net/",
                InvalidFeedUrl::Credentials,
            ),
            ("https://me@example.net/", InvalidFeedUrl::Credentials),
            ("://x", InvalidFeedUrl::Scheme),
        ] {
            assert_eq!(text.parse::<FeedUrl>(), Err(why), "{text}");
        }
    }
}
