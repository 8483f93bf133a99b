//! The control socket, and the socket of metrics and page.

use std::{
    fs::{self, DirBuilder},
    io,
    net::SocketAddr,
    os::unix::{
        self,
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use tokio::{
    net::{TcpListener, UnixListener},
    task::spawn_blocking,
    time::{self, Duration},
};

use crate::control::{Answer, ControlError, Request, ask_within};

/// The holder of a socket that says nothing.
const SILENT: &str = "a process that gives no answer (it may be stopped)";

/// How long whoever listens on the control socket may take to say who it is.
const WHO_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the daemon cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The control socket.
    #[error("listen on socket {}: {source}; give another place with --socket", path.display())]
    Socket {
        /// As given.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// What lies there is not ours to remove.
    #[error(
        "listen on socket {}: something else than a socket is there; remove it, or give another place with --socket", path.display()
    )]
    NotASocket {
        /// As given.
        path: PathBuf,
    },
    /// Another daemon has it.
    #[error(
        "{holder} listens on {} already; stop it, or give this one another --socket", path.display()
    )]
    SocketInUse {
        /// As given.
        path: PathBuf,
        /// Who listens.
        holder: String,
    },
    /// Metrics and page.
    #[error("listen on {address}: {source}; give another address with --listen")]
    Http {
        /// As given.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
}

/// Bound before the filter is touched, so that an address in use leaves no
/// half-started daemon.
pub struct Sockets {
    pub(super) control: ControlSocket,
    pub(super) http: TcpListener,
}

/// The listener, and its file: removed when the daemon ends.
pub(super) struct ControlSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    bound: (u64, u64),
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Meanwhile another may lie there, of a daemon that was started since.
        if identity(&self.path).is_ok_and(|found| found == self.bound) {
            // Nothing can be done about it, and the next daemon replaces a stale one.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Sockets {
    /// Binds both. Needs a running tokio.
    pub async fn bind(socket: &Path, listen: SocketAddr) -> Result<Self, BindError> {
        let http = TcpListener::bind(listen)
            .await
            .map_err(|source| BindError::Http {
                address: listen,
                source,
            })?;
        refuse_second_daemon(socket).await?;
        let control = bind_control(socket)?;
        Ok(Self { control, http })
    }

    /// Where metrics and page are served; the port that was chosen where 0 was given.
    pub fn http_address(&self) -> io::Result<SocketAddr> {
        self.http.local_addr()
    }
}

/// A daemon that is stopped must not keep this one waiting: it is asked on a
/// thread of its own, which is left behind where even connecting takes too long.
async fn refuse_second_daemon(socket: &Path) -> Result<(), BindError> {
    let path = socket.to_owned();
    let asked = spawn_blocking(move || find_listener(&path));
    let listener = match time::timeout(2 * WHO_TIMEOUT, asked).await {
        Ok(Ok(listener)) => listener.map_err(|source| failed(socket, source))?,
        // It panicked, or took too long.
        Ok(Err(_)) | Err(_) => Some(SILENT.to_owned()),
    };
    match listener {
        None => Ok(()),
        Some(holder) => Err(BindError::SocketInUse {
            path: socket.to_owned(),
            holder,
        }),
    }
}

/// Finds who listens there, if anybody does.
fn find_listener(socket: &Path) -> io::Result<Option<String>> {
    let other = || Some("another process".to_owned());
    Ok(match ask_within(socket, &Request::Status {}, WHO_TIMEOUT) {
        // Who hangs up without an answer was killed just now, or is no monitor.
        Err(ControlError::NoDaemon { .. }) => {
            let listens = unix::net::UnixStream::connect(socket).is_ok();
            listens.then(other).flatten()
        }
        Err(ControlError::Denied { source, .. } | ControlError::Io { source, .. }) => {
            return Err(source);
        }
        Err(ControlError::Silent { .. }) => Some(SILENT.to_owned()),
        Ok(Answer::Status(status)) => match status.daemon {
            Some(daemon) => Some(format!("another daemon (process {})", daemon.pid)),
            None => other(),
        },
        Ok(
            Answer::Reload(_)
            | Answer::Confirmed(_)
            | Answer::Detached(_)
            | Answer::Changed(_)
            | Answer::Feeds(_)
            | Answer::Forgotten(_)
            | Answer::Refused(_),
        )
        | Err(ControlError::Foreign { .. }) => other(),
    })
}

fn failed(socket: &Path, source: io::Error) -> BindError {
    BindError::Socket {
        path: socket.to_owned(),
        source,
    }
}

fn bind_control(socket: &Path) -> Result<ControlSocket, BindError> {
    remove_stale(socket)?;
    listen(socket).map_err(|source| failed(socket, source))
}

/// Nobody answered, so a socket there is what a killed daemon left.
fn remove_stale(socket: &Path) -> Result<(), BindError> {
    let removed = match fs::symlink_metadata(socket) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket {
                path: socket.to_owned(),
            });
        }
        Ok(_) => fs::remove_file(socket),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(|source| failed(socket, source))
}

fn listen(socket: &Path) -> io::Result<ControlSocket> {
    if let Some(directory) = socket.parent() {
        // Not more than this, whatever the umask: who may write there may put another socket.
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)?;
    }
    let listener = UnixListener::bind(socket)?;
    let bound = ControlSocket {
        bound: identity(socket)?,
        path: socket.to_owned(),
        listener,
    };
    fs::set_permissions(socket, fs::Permissions::from_mode(0o660))?;
    Ok(bound)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
