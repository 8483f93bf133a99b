//! Serves metrics and the page at the configured addresses. The filter does not depend on
//! this: if an address is not available, the daemon tries it again as long as it runs.

use std::{
    future::ready,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use tokio::{
    net::{TcpListener, UnixStream},
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tracing::{info, warn};

use super::{
    core::Core,
    unix_socket::{BindError, Claim, SocketPath, UnixSocket},
};
use crate::{
    config::{Listen, Settings},
    control::Endpoint,
    datapath,
    error_text::error_text,
    http::{self, Accept, Access, PageSource, Site, Tls, TlsError, TlsListener, Token, TokenError},
};

/// Time between a failure and the next try.
const RETRY: Duration = Duration::from_secs(2);

/// Maximum time that a start waits for the first tries. So every available endpoint is
/// served when the daemon reports that it is ready.
const FIRST_TRY: Duration = Duration::from_secs(1);

/// Why an address that other machines reach shows no contacts.
const WITHHELD: &str = "Devices and contacts are not shown at this address, because other machines reach it without a token. Open the page at a loopback address or at a Unix socket, or set `listen_token_file`.";

/// Why a socket file shows no contacts that need a session.
const NO_SESSION: &str = "Devices and contacts are shown only to those who are signed in, and nobody can sign in over a socket file. Open the page at a loopback address, or write `page: {contacts: everyone}`: then every user who can open the socket file sees them.";

/// The reason why metrics and page are not served at an address.
#[derive(Debug, thiserror::Error)]
enum EndpointError {
    /// The address is not available.
    #[error("{source}{}", hint(source))]
    Address {
        /// The error of the system call.
        source: io::Error,
    },
    /// The socket file cannot be created.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// The token file cannot be used. Without its token, the endpoint serves nothing over
    /// TCP.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The certificate cannot be used. Without it, the endpoint serves nothing.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The addresses for the own certificate cannot be read.
    #[error("read the addresses of this machine: {0}")]
    Own(#[from] datapath::Error),
    /// The listener can no longer accept connections.
    #[error("accept connections: {0}")]
    Accept(io::Error),
    /// The thread that read the token panicked.
    #[error("it ended unexpectedly")]
    Ended,
}

/// Returns a hint for the most frequent errors.
fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => "; `ss -ltnp` shows the process that has it",
        Some(libc::EADDRNOTAVAIL) => "; no interface has this address now",
        Some(libc::EACCES) => "; ports below 1024 need root",
        _ => "",
    }
}

/// The endpoints and their state. Clones share it.
#[derive(Clone)]
pub(super) struct Endpoints(watch::Sender<Vec<Endpoint>>);

impl Endpoints {
    /// Creates the endpoints of the settings. None was tried yet.
    pub(super) fn new(settings: &Settings) -> Self {
        let each = settings.listen.iter().map(|listen| Endpoint {
            address: listen.to_string(),
            serving: false,
            error: None,
        });
        Self(watch::Sender::new(each.collect()))
    }

    /// Returns their current state, in the order of the settings.
    pub(super) fn now(&self) -> Vec<Endpoint> {
        self.0.borrow().clone()
    }

    /// Waits until each endpoint was tried once, at most [`FIRST_TRY`].
    async fn tried(&self) {
        let mut changes = self.0.subscribe();
        let is_tried = |endpoint: &Endpoint| endpoint.serving || endpoint.error.is_some();
        let all = changes.wait_for(|all| all.iter().all(is_tried));
        // After the timeout, the tries continue in their tasks.
        let _ = timeout(FIRST_TRY, all).await;
    }

    /// Stores the result of a try to serve the endpoint `index`. Logs the result if it
    /// changed.
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

/// Serves `site` at every endpoint, in tasks that end when `stopped` is true. Returns after
/// each endpoint was tried once, or after [`FIRST_TRY`].
pub(super) async fn serve(
    core: &Arc<Core>,
    site: &Site,
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let (settings, endpoints) = (core.settings(), core.endpoints());
    let each = settings.listen.iter().enumerate().map(|(index, listen)| {
        let server = Server {
            index,
            listen: listen.clone(),
            token_file: settings.listen_token_file.clone(),
            site: site.clone(),
            core: Arc::clone(core),
            endpoints: endpoints.clone(),
            stopped: stopped.clone(),
        };
        tokio::spawn(server.run())
    });
    let tasks = each.collect();
    endpoints.tried().await;
    tasks
}

/// Serves one endpoint.
struct Server {
    index: usize,
    listen: Listen,
    token_file: Option<PathBuf>,
    site: Site,
    core: Arc<Core>,
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

    /// Serves until the daemon ends. Returns an error if it cannot begin or continue.
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
                let shown = Listen::Tcp(address).to_string();
                let is_public = token.is_none() && !address.ip().is_loopback();
                let access = Access::Network(token);
                let mut site = self.site.clone();
                if address.ip().is_loopback() || site.login.is_none() {
                    self.endpoints.tell(self.index, Ok(shown));
                    if is_public && matches!(site.pages, PageSource::Shown(_)) {
                        site.pages = PageSource::Withheld(WITHHELD);
                    }
                    return self.answer(listener, site, access).await;
                }
                let tls = self.tls(address.ip()).await?;
                self.core.note_fingerprint(tls.fingerprint.clone());
                if let Some(login) = &mut site.login {
                    login.is_tls = true;
                }
                let shown = shown.replacen("http:", "https:", 1);
                self.endpoints.tell(self.index, Ok(shown));
                let listener = TlsListener::new(listener, tls);
                self.answer(listener, site, access).await
            }
            Listen::Unix(path) => {
                let socket = listen_on(path).await?;
                self.endpoints.tell(self.index, Ok(self.listen.to_string()));
                let mut site = self.site.clone();
                // The cookies of a session need a scheme, and a socket has none.
                site.login = None;
                if matches!(site.pages, PageSource::InSession(..)) {
                    site.pages = PageSource::Withheld(NO_SESSION);
                }
                self.answer(socket, site, Access::Socket).await
            }
        }
    }

    /// The certificate for an address.
    async fn tls(&self, address: IpAddr) -> Result<Tls, EndpointError> {
        let core = Arc::clone(&self.core);
        let made = spawn_blocking(move || -> Result<Tls, EndpointError> {
            let settings = core.settings();
            if let Some((certificate, key)) = &settings.page.certificate {
                return Ok(Tls::given(certificate, key)?);
            }
            let addresses = if address.is_unspecified() {
                datapath::own_addresses()?
            } else {
                vec![address]
            };
            Ok(Tls::own(&settings.state_dir, &addresses, Timestamp::now())?)
        });
        made.await.map_err(|_panic| EndpointError::Ended)?
    }

    async fn answer(
        &self,
        listener: impl Accept,
        site: Site,
        access: Access,
    ) -> Result<(), EndpointError> {
        let mut stopped = self.stopped.clone();
        let shutdown = async move {
            // An error means that the sender was dropped, because the daemon ends.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let served = http::serve(listener, site, access, shutdown).await;
        served.map_err(EndpointError::Accept)
    }

    /// Reads the token from its file, if one is configured.
    async fn token(&self) -> Result<Option<Token>, EndpointError> {
        let Some(path) = self.token_file.clone() else {
            return Ok(None);
        };
        let read = spawn_blocking(move || Token::read(&path)).await;
        let token = read.map_err(|_panic| EndpointError::Ended)??;
        Ok(Some(token))
    }
}

/// Listens on a Unix socket at `path`. Fails if another process listens there.
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
        // Another process listens, even if its queue is full or it takes too long.
        Ok(_) | Err(_) => Err(place.in_use("another process".to_owned())),
    }
}

/// Returns true if `error`, from a connect, shows that no process listens on the socket.
fn is_free(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

impl Accept for UnixSocket {
    type Accepted = UnixStream;
    type Stream = UnixStream;

    fn open(accepted: UnixStream) -> impl Future<Output = io::Result<UnixStream>> + Send {
        ready(Ok(accepted))
    }

    fn peer(_: &UnixStream) -> Option<IpAddr> {
        None
    }

    async fn accept_next(&self) -> io::Result<UnixStream> {
        self.listener.accept_next().await
    }
}
