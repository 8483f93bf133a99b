//! Accepts connections, and limits their number, duration and size.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Access, Site, routes::routes};

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
pub trait Accept: Send + Sync {
    /// An accepted connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    fn accept_next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept_next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept_next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
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
    let router = routes(site, access);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut exchanges = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &permits) => {
                let (stream, permit) = accepted?;
                exchanges.spawn(exchange(stream, permit, router.clone(), limits, graceful.watcher()));
            }
            Some(_ended) = exchanges.join_next() => {}
        }
    }
    drop(listener);
    // Dropping `exchanges` then cancels the requests that take longer.
    let _elapsed = timeout(limits.shutdown_time, graceful.shutdown()).await;
    Ok(())
}

/// Waits for a permit, then accepts a connection. While no permit is free, further
/// connections wait in the listener's queue.
async fn accept<L: Accept>(
    listener: &L,
    permits: &Arc<Semaphore>,
) -> io::Result<(L::Stream, OwnedSemaphorePermit)> {
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
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    permit: OwnedSemaphorePermit,
    router: Router,
    limits: Limits,
    watcher: Watcher,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_header_size(limits.header_bytes)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // An error here (disconnect, malformed request, timeout) affects only this client.
    let _ended = timeout(limits.exchange_time, watcher.watch(connection)).await;
    drop(permit);
}
