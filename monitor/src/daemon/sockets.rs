//! The control socket, and the socket of metrics and page.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{Semaphore, mpsc, watch},
    task::spawn_blocking,
    time::{self, Duration},
};
use tracing::{debug, error, info};

use super::{
    core::{Core, Trigger},
    serve::reload,
};
use crate::{
    control::{Answer, ControlError, MAX_REQUEST, Request, ask},
    http::{self, Site},
};

/// Clients of the control socket that are served at the same time.
const MAX_CLIENTS: usize = 16;

/// How long a client may take to say what it wants, or to read the answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// Another daemon has it.
    #[error(
        "{holder} answers on {} already; stop it, or give this one another --socket", path.display()
    )]
    SocketInUse {
        /// As given.
        path: PathBuf,
        /// Who answers.
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
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Nothing can be done about it, and the next daemon replaces a stale one.
        let _ = fs::remove_file(&self.path);
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
        refuse_second_daemon(socket)?;
        let listener = bind_control(socket).map_err(|source| BindError::Socket {
            path: socket.to_owned(),
            source,
        })?;
        Ok(Self {
            control: ControlSocket {
                listener,
                path: socket.to_owned(),
            },
            http,
        })
    }

    /// Where metrics and page are served; the port that was chosen where 0 was given.
    pub fn http_address(&self) -> io::Result<SocketAddr> {
        self.http.local_addr()
    }
}

fn refuse_second_daemon(socket: &Path) -> Result<(), BindError> {
    let holder = match ask(socket, Request::Status {}) {
        Err(ControlError::NoDaemon { .. }) => return Ok(()),
        Ok(Answer::Status(status)) => status.daemon.map(|daemon| daemon.pid),
        Ok(_) | Err(_) => None,
    };
    Err(BindError::SocketInUse {
        path: socket.to_owned(),
        holder: holder.map_or_else(
            || "another process".to_owned(),
            |pid| format!("another daemon (process {pid})"),
        ),
    })
}

fn bind_control(socket: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = socket.parent() {
        fs::create_dir_all(directory)?;
    }
    // Nobody answered, so a file there is what a killed daemon left.
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves metrics and page until `stopped` says true.
pub(super) async fn serve_http(
    site: Site,
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
) {
    let shutdown = async move {
        // An error means that the sender is gone: the daemon ends.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = http::serve(listener, site, shutdown).await {
        error!("metrics and page are not served any more: {error}");
    }
}

/// Serves clients until the task is aborted.
pub(super) async fn serve_control(
    core: Arc<Core>,
    socket: ControlSocket,
    detached: mpsc::Sender<()>,
) {
    let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let client = match socket.listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                // Out of descriptors, most likely: others may give some back.
                error!("accept a client of the control socket: {error}");
                time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (core, detached) = (Arc::clone(&core), detached.clone());
        tokio::spawn(async move {
            if let Err(error) = serve_client(&core, client, &detached).await {
                debug!("a client of the control socket: {error}");
            }
            drop(slot);
        });
    }
}

async fn serve_client(
    core: &Arc<Core>,
    mut client: UnixStream,
    detached: &mpsc::Sender<()>,
) -> io::Result<()> {
    let root = client.peer_cred()?.uid() == 0;
    let line = time::timeout(CLIENT_TIMEOUT, read_request(&mut client)).await??;
    let answer = match parse(&line) {
        Ok(request) => answer(core, request, root).await,
        Err(error) => Answer::Refused(format!("no request: {error}")),
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    bytes.push(b'\n');
    time::timeout(CLIENT_TIMEOUT, client.write_all(&bytes)).await??;
    if matches!(answer, Answer::Detached(_)) {
        // Full means that somebody else asked for it as well.
        let _ = detached.try_send(());
    }
    Ok(())
}

async fn read_request(client: &mut UnixStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(client.take(MAX_REQUEST as u64))
        .read_line(&mut line)
        .await?;
    Ok(line)
}

/// A line without an end was too long or cut short: what arrived of it may look
/// like a request that nobody made.
fn parse(line: &str) -> Result<Request, String> {
    let Some(line) = line.strip_suffix('\n') else {
        return Err(format!("not one line of at most {MAX_REQUEST} bytes"));
    };
    serde_json::from_str(line).map_err(|error| error.to_string())
}

async fn answer(core: &Arc<Core>, request: Request, root: bool) -> Answer {
    match request {
        Request::Status {} => status(core).await,
        Request::Reload {} | Request::Detach {} if !root => {
            Answer::Refused("only root may change what is in force".to_owned())
        }
        Request::Reload {} => match reload(core, Trigger::Request).await {
            Some(reloaded) => Answer::Reload(reloaded),
            None => Answer::Refused("the filter is detached".to_owned()),
        },
        Request::Detach {} => detach(core).await,
    }
}

async fn status(core: &Arc<Core>) -> Answer {
    let core = Arc::clone(core);
    match spawn_blocking(move || core.status()).await {
        Ok(Ok(status)) => Answer::Status(Box::new(status)),
        Ok(Err(error)) => Answer::Refused(error.to_string()),
        Err(panic) => Answer::Refused(panic.to_string()),
    }
}

async fn detach(core: &Arc<Core>) -> Answer {
    let core = Arc::clone(core);
    match spawn_blocking(move || core.detach()).await {
        Ok(Ok(interfaces)) => {
            info!("detached from {}", interfaces.join(", "));
            Answer::Detached(interfaces)
        }
        Ok(Err(error)) => Answer::Refused(error.to_string()),
        Err(panic) => Answer::Refused(panic.to_string()),
    }
}
