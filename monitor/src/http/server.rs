//! Accepts connections, and limits their number, duration and size.

use std::{future::ready, io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Access, Site, changes::Peer, routes::routes};

/// How long the server waits after a failed accept, for example because the process
/// has no free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Limits on the clients of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of open connections. Further connections wait in the
    /// listener's queue.
    pub connections: usize,
    /// Maximum time from accept to the last byte of the request's header.
    pub header_time: Duration,
    /// Maximum time from accept to the last byte of the answer. A connection
    /// carries one request.
    pub exchange_time: Duration,
    /// Maximum size of the request's header with its first line, in bytes.
    pub header_bytes: usize,
    /// After a shutdown, how long the requests in progress may still take.
    pub shutdown_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32,
            header_time: Duration::from_secs(5),
            exchange_time: Duration::from_secs(30),
            header_bytes: 16 * 1024,
            shutdown_time: Duration::from_secs(2),
        }
    }
}

/// A listening socket.
pub trait Accept: Send + Sync + 'static {
    /// An accepted connection.
    type Accepted: Send + 'static;

    /// A connection over which requests come.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    fn accept_next(&self) -> impl Future<Output = io::Result<Self::Accepted>> + Send;

    /// Does what comes before the request, such as the handshake of TLS. It may take as long as
    /// the client likes, so the caller limits it.
    fn open(accepted: Self::Accepted) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The address of the client; `None` if it has none.
    fn peer(stream: &Self::Stream) -> Option<IpAddr>;
}

impl Accept for TcpListener {
    type Accepted = TcpStream;
    type Stream = TcpStream;

    async fn accept_next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn open(accepted: TcpStream) -> impl Future<Output = io::Result<TcpStream>> + Send {
        ready(Ok(accepted))
    }

    fn peer(stream: &TcpStream) -> Option<IpAddr> {
        stream.peer_addr().ok().map(|peer| peer.ip())
    }
}

impl Accept for UnixListener {
    type Accepted = UnixStream;
    type Stream = UnixStream;

    async fn accept_next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn open(accepted: UnixStream) -> impl Future<Output = io::Result<UnixStream>> + Send {
        ready(Ok(accepted))
    }

    fn peer(_: &UnixStream) -> Option<IpAddr> {
        None
    }
}

/// Serves `site` until `shutdown` is ready, then waits for the requests in
/// progress, at most [`Limits::shutdown_time`]. Fails if the listener can no longer
/// accept.
pub async fn serve<L: Accept>(
    listener: L,
    site: Site,
    access: Access,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let limits = site.limits;
    let (stop, stopped) = watch::channel(false);
    let router = routes(site, access, stopped);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut exchanges = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &permits) => {
                let (stream, permit) = accepted?;
                exchanges.spawn(exchange::<L>(stream, permit, router.clone(), limits, graceful.watcher()));
            }
            Some(_ended) = exchanges.join_next() => {}
        }
    }
    drop(listener);
    // Streams of events would never end by themselves.
    let _ = stop.send(true);
    // Dropping `exchanges` then cancels the requests that take longer.
    let _elapsed = timeout(limits.shutdown_time, graceful.shutdown()).await;
    Ok(())
}

/// Waits for a permit, then accepts a connection. While no permit is free, further
/// connections wait in the listener's queue.
async fn accept<L: Accept>(
    listener: &L,
    permits: &Arc<Semaphore>,
) -> io::Result<(L::Accepted, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    loop {
        match listener.accept_next().await {
            Ok(stream) => return Ok((stream, permit)),
            // EINVAL: the socket does not listen, so no later call can succeed.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            // All other errors concern one client or are temporary: accept(2),
            // "Error handling".
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Reads one request and answers it, within the limits.
async fn exchange<L: Accept>(
    accepted: L::Accepted,
    permit: OwnedSemaphorePermit,
    router: Router,
    limits: Limits,
    watcher: Watcher,
) {
    let Ok(Ok(stream)) = timeout(limits.header_time, L::open(accepted)).await else {
        return;
    };
    let peer = L::peer(&stream);
    let answering = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(address) = peer {
            request.extensions_mut().insert(Peer(address));
        }
        answering.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_header_size(limits.header_bytes)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // An error here (disconnect, malformed request, timeout) affects only this client.
    let _ended = timeout(limits.exchange_time, watcher.watch(connection)).await;
    drop(permit);
}
