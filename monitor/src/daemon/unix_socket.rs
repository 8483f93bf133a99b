//! A listening socket file in a directory that no other user can change.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use crate::trusted::{Directory, UntrustedError};

/// Why a socket file cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refuses it.
    #[error(
        "listen on socket {}: {source}; give another place with {option}",
        crate::printable::path(path)
    )]
    Socket {
        /// As given.
        path: PathBuf,
        /// Command-line option that names another.
        option: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Something lies there that the daemon did not make.
    #[error(
        "listen on socket {}: something else than a socket is there; remove it, or give another place with {option}",
        crate::printable::path(path)
    )]
    NotASocket {
        /// As given.
        path: PathBuf,
        /// Command-line option that names another.
        option: &'static str,
    },
    /// Another process listens there.
    #[error(
        "{holder} listens on {} already; stop it, or give this one another {option}",
        crate::printable::path(path)
    )]
    SocketInUse {
        /// As given.
        path: PathBuf,
        /// Command-line option that names another.
        option: &'static str,
        /// The process that listens.
        holder: String,
    },
    /// Another user could exchange the socket.
    #[error(transparent)]
    Untrusted(#[from] UntrustedError),
}

/// A place for a socket file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Absolute path of the file.
    pub(super) path: &'a Path,
    /// Command-line option that names another, for errors.
    pub(super) option: &'static str,
}

/// The listener, and its file: removed with this value.
pub(super) struct UnixSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    bound: (u64, u64),
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Meanwhile another may lie there, of a daemon that was started since.
        if identity(&self.path).is_ok_and(|found| found == self.bound) {
            // Nothing can be done about it, and the next daemon replaces a stale one.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Place<'_> {
    /// Checks the directory, as far as it exists.
    pub(super) fn check(&self) -> Result<(), BindError> {
        let Some(path) = self.path.parent() else {
            return Ok(());
        };
        let directory = Directory {
            path,
            purpose: "socket directory",
            option: self.option,
        };
        Ok(directory.check()?)
    }

    /// Makes the directory where there is none, and listens. A socket that lies
    /// there is taken for what a killed daemon left: the caller has asked before
    /// whether a process answers on it. The owner and the group may connect.
    pub(super) fn bind(&self) -> Result<UnixSocket, BindError> {
        self.check()?;
        if let Some(directory) = self.path.parent() {
            // No more permissions than these, whatever the umask.
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(directory)
                .map_err(|source| self.failed(source))?;
        }
        self.check()?;
        self.remove_stale()?;
        self.listen().map_err(|source| self.failed(source))
    }

    fn remove_stale(&self) -> Result<(), BindError> {
        if self.has_socket()? {
            fs::remove_file(self.path).map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Whether a socket lies there; an error where something else does.
    pub(super) fn has_socket(&self) -> Result<bool, BindError> {
        match fs::symlink_metadata(self.path) {
            Ok(found) if found.file_type().is_socket() => Ok(true),
            Ok(_) => Err(BindError::NotASocket {
                path: self.path.to_owned(),
                option: self.option,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn listen(&self) -> io::Result<UnixSocket> {
        let listener = UnixListener::bind(self.path)?;
        let bound = UnixSocket {
            bound: identity(self.path)?,
            path: self.path.to_owned(),
            listener,
        };
        fs::set_permissions(self.path, fs::Permissions::from_mode(0o660))?;
        Ok(bound)
    }

    pub(super) fn failed(&self, source: io::Error) -> BindError {
        BindError::Socket {
            path: self.path.to_owned(),
            option: self.option,
            source,
        }
    }

    pub(super) fn in_use(&self, holder: String) -> BindError {
        BindError::SocketInUse {
            path: self.path.to_owned(),
            option: self.option,
            holder,
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
