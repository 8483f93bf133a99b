//! Which requests an endpoint answers, by the way they come in.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use nix::unistd::geteuid;

/// The fewest characters of a token.
const MIN_TOKEN: usize = 16;

/// The longest file that is read for a token, in bytes.
const MAX_TOKEN: u64 = 4096;

/// Permission bits of users that are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// What an endpoint asks of a request.
#[derive(Clone, Debug)]
pub enum Access {
    /// Over TCP: the name in `Host` must be this endpoint's own, and where there
    /// is a token the request must show it.
    Network(Option<Token>),
    /// Over a Unix socket: the mode of the socket file decides who may connect.
    /// No web page can reach it, so every `Host` is taken.
    Socket,
}

/// A secret that a request shows as `Authorization: Bearer TOKEN` (RFC 6750,
/// section 2.1). Only its hash is kept.
#[derive(Clone, Debug)]
pub struct Token(blake3::Hash);

/// A token file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("read the token file {}: {source}", crate::printable::path(path))]
    Read {
        /// As given.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error(
        "the token file {} is not a regular file",
        crate::printable::path(path)
    )]
    NotAFile {
        /// As given.
        path: PathBuf,
    },
    /// Others may know the token.
    #[error(
        "the token file {} is open to other users (mode {mode:04o}, user number {owner}); make it your own with `chown` and `chmod 0640 {}`",
        crate::printable::path(path),
        crate::printable::path(path)
    )]
    Exposed {
        /// As given.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Number of its owner.
        owner: u32,
    },
    /// The file holds no token, or a token that is too short.
    #[error(
        "the token file {} must hold one line of {MIN_TOKEN} or more visible ASCII characters; make one with `openssl rand -hex 32`",
        crate::printable::path(path)
    )]
    Content {
        /// As given.
        path: PathBuf,
    },
}

impl Token {
    /// Reads a token from a file of one line. The file must belong to root or to
    /// the user that this program runs as, and other users must not read it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the flag keeps the call from waiting, and the type is looked at next"
    )]
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let read = |source| TokenError::Read {
            path: path.to_owned(),
            source,
        };
        // A pipe without a writer must not keep the daemon waiting.
        let file = fs::File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(read)?;
        let found = file.metadata().map_err(read)?;
        if !found.is_file() {
            return Err(TokenError::NotAFile {
                path: path.to_owned(),
            });
        }
        let is_own = found.uid() == 0 || found.uid() == geteuid().as_raw();
        if !is_own || found.mode() & OTHERS != 0 {
            return Err(TokenError::Exposed {
                path: path.to_owned(),
                mode: found.mode() & 0o7777,
                owner: found.uid(),
            });
        }
        let mut text = Vec::new();
        file.take(MAX_TOKEN).read_to_end(&mut text).map_err(read)?;
        Self::new(text.trim_ascii()).ok_or_else(|| TokenError::Content {
            path: path.to_owned(),
        })
    }

    /// `None` where it is too short, or holds other bytes than visible ASCII.
    fn new(text: &[u8]) -> Option<Self> {
        let is_token = text.len() >= MIN_TOKEN && text.iter().all(u8::is_ascii_graphic);
        is_token.then(|| Self(blake3::hash(text)))
    }

    /// Whether a request shows this token. The time that the comparison takes says
    /// nothing about the token: hashes are compared, in constant time.
    pub(super) fn is_shown_by(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let shown = value.as_bytes().split_at_checked(b"bearer ".len());
        shown.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"bearer ") && blake3::hash(token.trim_ascii()) == self.0
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn shows(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        Token::new(TOKEN.as_bytes()).unwrap().is_shown_by(&headers)
    }

    #[test]
    fn the_token_alone_opens() {
        assert!(shows(&[&format!("Bearer {TOKEN}")]));
        assert!(shows(&[&format!("bearer  {TOKEN} ")]));
        let right = format!("Bearer {TOKEN}");
        for wrong in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &[TOKEN],
            &["Bearer 0123456789abcde"],
            &["Bearer 0123456789abcdeff"],
            &["Basic 0123456789abcdef"],
            &[&right, &right],
        ] {
            assert!(!shows(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_file_is_one_line_that_others_cannot_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let read = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Token::read(&path).map_err(|error| error.to_string())
        };
        assert!(read(&format!("{TOKEN}\n"), 0o640).is_ok());
        for (text, mode, why) in [
            (TOKEN, 0o644, "chmod 0640"),
            ("", 0o600, "openssl rand"),
            ("0123456789abcde\n", 0o600, "openssl rand"),
            ("0123456789abcdef\n0123456789abcdef\n", 0o600, "one line"),
        ] {
            let error = read(text, mode).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let error = Token::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }
}
