//! A listening socket file in a directory that no other user can change.
//!
//! A socket file outlives a daemon that was killed, and the next daemon must
//! remove it before it can bind there. Two daemons that start at once must not
//! remove each other's new file. So a daemon looks at the file, removes it, binds
//! and, in the end, removes its own only while it holds the lock of a file beside
//! it: `monitor.sock.lock` for `monitor.sock`.

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
    /// The file beside the socket that keeps other daemons away cannot be locked.
    #[error(
        "lock {}: {source}; remove it if no daemon of another user runs, or give another place with {option}",
        crate::printable::path(path)
    )]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Command-line option that names another place for the socket.
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
pub(super) struct SocketPath<'a> {
    /// Absolute path of the file.
    pub(super) path: &'a Path,
    /// Command-line option that names another, for errors.
    pub(super) option: &'static str,
}

/// What became of a place that a daemon asked for.
pub(super) enum Claim<'a> {
    /// This process alone may bind and remove the socket file.
    Own(Owned<'a>),
    /// Another daemon has that right; the process, in words.
    Held(String),
}

/// A place that no other daemon binds, as long as this value lives.
pub(super) struct Owned<'a> {
    place: SocketPath<'a>,
    lock: LockFile,
}

/// A locked file; removed with this value.
struct LockFile {
    path: PathBuf,
    _lock: FileLock,
}

/// The listener, and its file: removed with this value.
pub(super) struct UnixSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    bound: (u64, u64),
    /// Released last: until then no other daemon looks at the file.
    _lock: LockFile,
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // A daemon that opened it before finds that it is gone, and opens a new one.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // A program that knows nothing of the lock may have bound its own there.
        if identity(&self.path).is_ok_and(|found| found == self.bound) {
            // The next daemon removes what this one could not.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl<'a> SocketPath<'a> {
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

    /// Makes the directory where there is none, and takes the place.
    ///
    /// # Errors
    ///
    /// The directory is not safe, or the lock file cannot be made.
    pub(super) fn claim(self) -> Result<Claim<'a>, BindError> {
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
    /// Whether a socket lies there; an error where something else does.
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

    /// Listens. A socket that lies there is removed as what a killed daemon left:
    /// the caller has looked before whether a process listens on it. The owner
    /// and the group may connect.
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

/// Opens the lock file, for this user alone: a user who can open it can lock it.
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

    /// Both have seen that no process listens before either binds.
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
