//! Places at which the daemon serves metrics and the page: addresses and socket files.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use serde::Deserialize;

/// Prefix of a socket file, as in `unix:/run/monitor/http.sock`.
const UNIX: &str = "unix:";

/// A place at which the daemon serves metrics and the page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// An address and a port; with port 0, the kernel chooses the port.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

/// A text that is neither an address with a port nor a socket file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an address with a port nor a socket file; write 127.0.0.1:9641, [::1]:9641 or unix:/run/monitor/http.sock"
)]
pub struct ListenError(String);

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if let Some(path) = text.strip_prefix(UNIX).filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let address = text.parse().map(Self::Tcp);
        address.map_err(|_| ListenError(text.chars().take(120).collect()))
    }
}

impl TryFrom<String> for Listen {
    type Error = ListenError;

    fn try_from(text: String) -> Result<Self, ListenError> {
        text.parse()
    }
}

/// Writes the place as clients write it: `http://127.0.0.1:9641/` or `unix:/run/monitor/http.sock`.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}/"),
            Self::Unix(path) => write!(f, "{UNIX}{}", crate::printable::path(path)),
        }
    }
}

impl Listen {
    /// The place as it is written in a config file.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            unix @ Self::Unix(_) => unix.to_string(),
        }
    }

    /// The same place, with an absolute path.
    pub(super) fn absolute(self) -> Self {
        match self {
            Self::Unix(path) => Self::Unix(std::path::absolute(&path).unwrap_or(path)),
            tcp @ Self::Tcp(_) => tcp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_socket_files_are_told_apart() {
        let shown = |text: &str| text.parse::<Listen>().map(|listen| listen.to_string());
        assert_eq!(
            shown("127.0.0.1:9641"),
            Ok("http://127.0.0.1:9641/".to_owned())
        );
        assert_eq!(shown("[::1]:80"), Ok("http://[::1]:80/".to_owned()));
        assert_eq!(shown("unix:/run/a"), Ok("unix:/run/a".to_owned()));
        for wrong in ["", "unix:", "127.0.0.1", "localhost:80", "/run/a", "9641"] {
            let error = shown(wrong).unwrap_err().to_string();
            assert!(error.contains("unix:/run/monitor/http.sock"), "{error}");
        }
    }
}
