//! A listening socket file in a directory that no other user can change.
//!
//! A socket file outlives a daemon that was killed, and the next daemon must remove
//! the file before it can bind. Two daemons that start at the same time must not
//! remove each other's new file. So a daemon examines, removes and binds the socket
//! file only while it holds the lock of a file beside it: `monitor.sock.lock` for
//! `monitor.sock`.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{
            DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
            PermissionsExt as _,
        },
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use crate::{
    file_lock::{FileLock, FileLockError},
    trusted::{Directory, UntrustedError},
};

/// Reasons why a daemon cannot listen on a socket file.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refused the socket.
    #[error(
        "listen on socket {}: {source}; give another place with {option}",
        crate::printable::path(path)
    )]
    Socket {
        /// Path as given by the operator.
        path: PathBuf,
        /// Command-line option for another path.
        option: &'static str,
        /// Error from the system.
        source: io::Error,
    },
    /// The lock file beside the socket cannot be locked.
    #[error(
        "lock {}: {source}; remove it if no daemon of another user runs, or give another place with {option}",
        crate::printable::path(path)
    )]
    Lock {
        /// Path of the lock file.
        path: PathBuf,
        /// Command-line option for another path of the socket.
        option: &'static str,
        /// Error from the system.
        source: io::Error,
    },
    /// Something else than a socket is at the path.
    #[error(
        "listen on socket {}: something else than a socket is there; remove it, or give another place with {option}",
        crate::printable::path(path)
    )]
    NotASocket {
        /// Path as given by the operator.
        path: PathBuf,
        /// Command-line option for another path.
        option: &'static str,
    },
    /// Another process listens on the socket.
    #[error(
        "{holder} listens on {} already; stop it, or give this one another {option}",
        crate::printable::path(path)
    )]
    SocketInUse {
        /// Path as given by the operator.
        path: PathBuf,
        /// Command-line option for another path.
        option: &'static str,
        /// The process that listens.
        holder: String,
    },
    /// Another user could replace the socket.
    #[error(transparent)]
    Untrusted(#[from] UntrustedError),
}

/// Path of a socket file, and the option that sets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketPath<'a> {
    /// Absolute path of the file.
    pub(super) path: &'a Path,
    /// Command-line option for another path, for errors.
    pub(super) option: &'static str,
}

/// Result of the attempt to lock the path of a socket.
pub(super) enum Claim<'a> {
    /// This process alone may bind and remove the socket file.
    Own(Owned<'a>),
    /// Another daemon has that right. Holds a description of its process.
    Held(String),
}

/// The right to bind a socket file. No other daemon binds it while this value
/// lives.
pub(super) struct Owned<'a> {
    place: SocketPath<'a>,
    lock: LockFile,
}

/// A locked file. Dropping the value removes it.
struct LockFile {
    path: PathBuf,
    _lock: FileLock,
}

/// A listener and its socket file. Dropping the value removes the file.
pub(super) struct UnixSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    bound: (u64, u64),
    /// Dropped last, so that no other daemon touches the socket file before.
    _lock: LockFile,
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // A daemon that opened this file earlier notices the removal, and creates a
        // new one.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // A program that does not use the lock may have bound its own socket here.
        if identity(&self.path).is_ok_and(|found| found == self.bound) {
            // Ignore errors, because the next daemon removes the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl<'a> SocketPath<'a> {
    /// Checks the directory of the socket, as far as it exists.
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

    /// Creates the directory if it is missing, and locks the path against other
    /// daemons.
    ///
    /// # Errors
    ///
    /// Returns an error if another user could change the directory, or if the lock
    /// file cannot be created.
    pub(super) fn claim(self) -> Result<Claim<'a>, BindError> {
        self.check()?;
        if let Some(directory) = self.path.parent() {
            // The directory has at most these permissions: the umask may remove some.
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(directory)
                .map_err(|source| self.failed(source))?;
        }
        self.check()?;
        let path = self.lock_path();
        match FileLock::acquire(&path, || open_lock(&path)) {
            Ok(lock) => Ok(Claim::Own(Owned {
                place: self,
                lock: LockFile { path, _lock: lock },
            })),
            Err(FileLockError::Held { holder }) => Ok(Claim::Held(holder)),
            Err(FileLockError::Open(source) | FileLockError::Lock(source)) => {
                Err(BindError::Lock {
                    path,
                    option: self.option,
                    source,
                })
            }
        }
    }

    fn lock_path(&self) -> PathBuf {
        let mut path = self.path.as_os_str().to_owned();
        path.push(".lock");
        path.into()
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

impl Owned<'_> {
    /// True if a socket is at the path. Returns an error if something else is
    /// there.
    pub(super) fn has_socket(&self) -> Result<bool, BindError> {
        let SocketPath { path, option } = self.place;
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => Ok(true),
            Ok(_) => Err(BindError::NotASocket {
                path: path.to_owned(),
                option,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.place.failed(source)),
        }
    }

    /// Binds the path and listens. Removes an existing socket, which a killed
    /// daemon must have left. So the caller checks first that no process listens on
    /// it. The owner and the group may connect.
    pub(super) fn bind(self) -> Result<UnixSocket, BindError> {
        let place = self.place;
        if self.has_socket()? {
            fs::remove_file(place.path).map_err(|source| place.failed(source))?;
        }
        self.listen().map_err(|source| place.failed(source))
    }

    fn listen(self) -> io::Result<UnixSocket> {
        let path = self.place.path;
        let listener = UnixListener::bind(path)?;
        let bound = UnixSocket {
            bound: identity(path)?,
            path: path.to_owned(),
            listener,
            _lock: self.lock,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
        Ok(bound)
    }
}

/// Opens the lock file with mode 0600, because every user who can open it can lock
/// it.
#[expect(
    clippy::disallowed_methods,
    reason = "the flags keep the call from waiting, and nothing is read"
)]
fn open_lock(path: &Path) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC);
    Ok(options.open(path)?.into())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn place(path: &Path) -> SocketPath<'_> {
        SocketPath {
            path,
            option: "--socket",
        }
    }

    fn bind(path: &Path) -> Result<UnixSocket, String> {
        match place(path).claim().unwrap() {
            Claim::Own(owned) => owned.bind().map_err(|error| error.to_string()),
            Claim::Held(holder) => Err(holder),
        }
    }

    /// Both daemons find that no process listens, before either of them binds.
    #[tokio::test]
    async fn of_two_that_want_a_stale_socket_the_second_does_not_remove_the_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err(), "it is stale");

        let first = bind(&path).unwrap();
        let refused = bind(&path).err().unwrap();
        let own = format!("process {} ", std::process::id());
        assert!(refused.starts_with(&own), "{refused}");
        UnixStream::connect(&path).unwrap();
        drop(first);
        assert!(directory.path().read_dir().unwrap().next().is_none());
        drop(bind(&path).unwrap());
    }

    #[tokio::test]
    async fn the_end_leaves_a_socket_that_another_program_bound_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let own = bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(own);
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn what_a_killed_daemon_left_keeps_no_other_from_binding() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        fs::write(place(&path).lock_path(), "").unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(bind(&path).unwrap());
    }
}
