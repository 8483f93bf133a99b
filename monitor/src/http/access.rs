//! The conditions under which an endpoint answers: over TCP or a Unix socket,
//! with or without a token.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use nix::unistd::geteuid;

/// The minimum length of a token, in characters. At 4 bits a character (a
/// hexadecimal digit), 16 characters hold 64 bits.
const MIN_TOKEN: usize = 16;

/// The number of bytes read from a token file. A token is one short line, so the
/// rest of a longer file is not read.
const MAX_TOKEN: u64 = 4096;

/// The permission bits for users other than the file's owner and group.
const OTHERS: u32 = 0o007;

/// The condition that a request must meet to be answered.
#[derive(Clone, Debug)]
pub enum Access {
    /// Over TCP: the `Host` header must hold an IP address or `localhost`. If the
    /// endpoint has a token, the request must also show the token.
    Network(Option<Token>),
    /// Over a Unix socket: the mode of the socket file limits which users can
    /// connect. A web page cannot reach the socket, so every `Host` is accepted.
    Socket,
}

/// A secret that a client sends as `Authorization: Bearer TOKEN` (RFC 6750,
/// section 2.1). Holds only the BLAKE3 hash of the secret.
#[derive(Clone, Debug)]
pub struct Token(blake3::Hash);

/// The reason why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be opened or read.
    #[error("read the token file {}: {source}", crate::printable::path(path))]
    Read {
        /// Path of the file, as configured.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The path leads to a directory, a pipe or a device.
    #[error(
        "the token file {} is not a regular file",
        crate::printable::path(path)
    )]
    NotAFile {
        /// Path of the file, as configured.
        path: PathBuf,
    },
    /// Another user owns the file or has access to it, and so may know the token.
    #[error(
        "other users have access to the token file {} (mode {mode:04o}, owner's user ID {owner}); take it over with `chown` and `chmod 0640 {}`",
        crate::printable::path(path),
        crate::printable::path(path)
    )]
    Exposed {
        /// Path of the file, as configured.
        path: PathBuf,
        /// Permission bits of the file.
        mode: u32,
        /// User ID of the file's owner.
        owner: u32,
    },
    /// The file holds no token, a token that is too short, or more than one line.
    #[error(
        "the token file {} must hold one line of {MIN_TOKEN} or more visible ASCII characters; make one with `openssl rand -hex 32`",
        crate::printable::path(path)
    )]
    Content {
        /// Path of the file, as configured.
        path: PathBuf,
    },
}

impl Token {
    /// Reads a token from a file of one line. The file must belong to root or to
    /// the user that this program runs as, and other users must not read it.
    #[expect(
        clippy::disallowed_methods,
        reason = "O_NONBLOCK keeps the call from waiting, and the next call checks the file type"
    )]
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let read = |source| TokenError::Read {
            path: path.to_owned(),
            source,
        };
        // O_NONBLOCK: without it, opening a pipe waits for a writer.
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

    /// Returns `None` if `text` is shorter than [`MIN_TOKEN`] or holds a byte that
    /// is not visible ASCII.
    fn new(text: &[u8]) -> Option<Self> {
        let is_token = text.len() >= MIN_TOKEN && text.iter().all(u8::is_ascii_graphic);
        is_token.then(|| Self(blake3::hash(text)))
    }

    /// Returns true if a request shows this token. Compares the hashes in constant
    /// time, so the duration reveals nothing about the token.
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
    fn only_the_token_itself_is_accepted() {
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
