//! Where metrics and the page are served. The filter does not depend on it: an
//! address that cannot be had is tried again for as long as the daemon runs.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::{TcpListener, UnixStream},
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tracing::{info, warn};

use super::unix_socket::{BindError, Claim, SocketPath, UnixSocket};
use crate::{
    config::{Listen, Settings},
    control::Endpoint,
    error_text::error_text,
    http::{self, Accept, Access, Site, Token, TokenError},
};

/// How long after a failure the daemon tries again.
const RETRY: Duration = Duration::from_secs(2);

/// How long a start waits for the first tries, so that what can be served is
/// served when the daemon says that it is ready.
const FIRST_TRY: Duration = Duration::from_secs(1);

/// Why metrics and page are not served at a place.
#[derive(Debug, thiserror::Error)]
enum EndpointError {
    /// The address cannot be had.
    #[error("{source}{}", hint(source))]
    Address {
        /// The system's answer.
        source: io::Error,
    },
    /// The socket file cannot be made.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// Without its token nothing is served over TCP.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The listener broke.
    #[error("accept connections: {0}")]
    Accept(io::Error),
    /// A panic.
    #[error("it ended unexpectedly")]
    Ended,
}

/// What to look at, for the errors that an operator meets.
fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => "; `ss -ltnp` shows the process that has it",
        Some(libc::EADDRNOTAVAIL) => "; no interface has this address now",
        Some(libc::EACCES) => "; ports below 1024 take root",
        _ => "",
    }
}

/// The places, and what became of each.
#[derive(Clone)]
pub(super) struct Endpoints(watch::Sender<Vec<Endpoint>>);

impl Endpoints {
    /// None of them was tried yet.
    pub(super) fn new(settings: &Settings) -> Self {
        let each = settings.listen.iter().map(|listen| Endpoint {
            address: listen.to_string(),
            serving: false,
            error: None,
        });
        Self(watch::Sender::new(each.collect()))
    }

    /// As they are now, in the order of the settings.
    pub(super) fn now(&self) -> Vec<Endpoint> {
        self.0.borrow().clone()
    }

    /// Waits until each was tried once, at most [`FIRST_TRY`].
    async fn tried(&self) {
        let mut changes = self.0.subscribe();
        let is_tried = |endpoint: &Endpoint| endpoint.serving || endpoint.error.is_some();
        let all = changes.wait_for(|all| all.iter().all(is_tried));
        // What is not tried by then is tried all the same.
        let _ = timeout(FIRST_TRY, all).await;
    }

    /// Stores the result of a try to serve at place `index`, and logs a changed result.
    fn tell(&self, index: usize, result: Result<String, EndpointError>) {
        self.0.send_modify(|all| {
            let endpoint = &mut all[index];
            match result {
                Ok(address) => {
                    endpoint.address = address;
                    (endpoint.serving, endpoint.error) = (true, None);
                    info!("metrics and page are served at {}", endpoint.address);
                }
                Err(error) => {
                    let error = error_text(&error);
                    if endpoint.error.as_ref() != Some(&error) {
                        let address = &endpoint.address;
                        warn!(
                            "metrics and page are NOT served at {address}: {error}; the filter does not depend on it, and the daemon tries again every {} s",
                            RETRY.as_secs()
                        );
                    }
                    (endpoint.serving, endpoint.error) = (false, Some(error));
                }
            }
        });
    }
}

/// Serves `site` at every place, in tasks that end when `stopped` says true.
/// Returns when each place was tried once.
pub(super) async fn serve(
    settings: &Settings,
    endpoints: &Endpoints,
    site: &Site,
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let each = settings.listen.iter().enumerate().map(|(index, listen)| {
        let server = Server {
            index,
            listen: listen.clone(),
            token_file: settings.listen_token_file.clone(),
            site: site.clone(),
            endpoints: endpoints.clone(),
            stopped: stopped.clone(),
        };
        tokio::spawn(server.run())
    });
    let tasks = each.collect();
    endpoints.tried().await;
    tasks
}

/// Serves at one place.
struct Server {
    index: usize,
    listen: Listen,
    token_file: Option<PathBuf>,
    site: Site,
    endpoints: Endpoints,
    stopped: watch::Receiver<bool>,
}

impl Server {
    async fn run(mut self) {
        while let Err(error) = self.serve().await {
            self.endpoints.tell(self.index, Err(error));
            let stopped = self.stopped.wait_for(|stopped| *stopped);
            if timeout(RETRY, stopped).await.is_ok() {
                return;
            }
        }
    }

    /// Ends without an error where the daemon ends.
    async fn serve(&self) -> Result<(), EndpointError> {
        match &self.listen {
            Listen::Tcp(address) => {
                let token = self.token().await?;
                let bound = async {
                    let listener = TcpListener::bind(address).await?;
                    let address = listener.local_addr()?;
                    Ok((listener, address))
                };
                let (listener, address) = bound
                    .await
                    .map_err(|source| EndpointError::Address { source })?;
                let address = Listen::Tcp(address).to_string();
                self.endpoints.tell(self.index, Ok(address));
                self.answer(listener, Access::Network(token)).await
            }
            Listen::Unix(path) => {
                let socket = listen_on(path).await?;
                self.endpoints.tell(self.index, Ok(self.listen.to_string()));
                self.answer(socket, Access::Socket).await
            }
        }
    }

    async fn answer(&self, listener: impl Accept, access: Access) -> Result<(), EndpointError> {
        let mut stopped = self.stopped.clone();
        let shutdown = async move {
            // An error means that the sender is gone: the daemon ends.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let served = http::serve(listener, self.site.clone(), access, shutdown).await;
        served.map_err(EndpointError::Accept)
    }

    /// The token as the file holds it now.
    async fn token(&self) -> Result<Option<Token>, EndpointError> {
        let Some(path) = self.token_file.clone() else {
            return Ok(None);
        };
        let read = spawn_blocking(move || Token::read(&path)).await;
        let token = read.map_err(|_panic| EndpointError::Ended)??;
        Ok(Some(token))
    }
}

/// Listens at `path`, where no other process does.
async fn listen_on(path: &Path) -> Result<UnixSocket, BindError> {
    let place = SocketPath {
        path,
        option: "--listen",
    };
    let owned = match place.claim()? {
        Claim::Own(owned) => owned,
        Claim::Held(holder) => return Err(place.in_use(holder)),
    };
    if !owned.has_socket()? {
        return owned.bind();
    }
    match timeout(RETRY, UnixStream::connect(path)).await {
        Ok(Err(error)) if is_free(&error) => owned.bind(),
        // Also where its queue is full, or it takes too long.
        Ok(_) | Err(_) => Err(place.in_use("another process".to_owned())),
    }
}

/// No process listens on the socket any more.
fn is_free(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

impl Accept for UnixSocket {
    type Stream = UnixStream;

    async fn accept_next(&self) -> io::Result<UnixStream> {
        self.listener.accept_next().await
    }
}
