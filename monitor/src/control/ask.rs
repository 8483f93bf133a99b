//! The client side of the control socket.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Answer, Request};

/// The longest answer to [`Request::Status`], [`Request::Flows`], [`Request::Events`],
/// [`Request::Devices`] and [`Request::Report`] that a client reads, in bytes. A full device table fits, and so does
/// [`super::MAX_FLOWS`] with names and with [`crate::evidence::MAX_HOLDERS`].
const MAX_LONG_ANSWER: u64 = 64 << 20;

/// The longest answer to other requests that a client reads, in bytes. Their size
/// does not depend on the traffic.
const MAX_ANSWER: u64 = 1 << 20;

/// How long a client waits: long enough for a reload of a whole routing table.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How long a client waits for the end of a daemon that has detached the filter: longer than
/// such a daemon gives its last work.
const LAST_WORK: Duration = Duration::from_secs(15);

/// A request to the daemon that failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No daemon listens on the socket.
    #[error("no daemon answers on {}", crate::printable::path(path))]
    NoDaemon {
        /// Socket.
        path: PathBuf,
    },
    /// The socket cannot be used.
    #[error("ask the daemon on {}: {source}", crate::printable::path(path))]
    Io {
        /// Socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The socket's mode does not let this user in.
    #[error(
        "ask the daemon on {}: {source}; run as root, or as a member of the socket's group",
        crate::printable::path(path)
    )]
    Denied {
        /// Socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A process accepted the request, but did not answer in time.
    #[error(
        "the daemon on {} gave no answer within {} s; it may be stopped or overloaded", crate::printable::path(path), timeout.as_secs()
    )]
    Silent {
        /// Socket.
        path: PathBuf,
        /// How long the client waited.
        timeout: Duration,
    },
    /// The daemon refused the request.
    #[error("the daemon refused: {why}")]
    Refused {
        /// The daemon's reason.
        why: String,
    },
    /// The answer belongs to another request.
    #[error(
        "the daemon on {} gave an unexpected answer",
        crate::printable::path(path)
    )]
    Unexpected {
        /// Socket.
        path: PathBuf,
    },
    /// The answer is not one of this version's daemon.
    #[error(
        "the process on {} is not a monitor daemon of this version: {source}",
        crate::printable::path(path)
    )]
    Foreign {
        /// Socket.
        path: PathBuf,
        /// The parser's answer.
        source: serde_json::Error,
    },
}

/// Asks the daemon on `socket`, and waits for its answer.
pub fn ask(socket: &Path, request: &Request) -> Result<Answer, ControlError> {
    ask_within(socket, request, TIMEOUT)
}

/// Asks the daemon on `socket` to detach the filter, and waits until the daemon has ended, at
/// most [`LAST_WORK`].
pub fn ask_to_detach(socket: &Path) -> Result<Answer, ControlError> {
    ask_and_wait(socket, &Request::Detach {}, TIMEOUT, Some(LAST_WORK))
}

/// Asks the daemon on `socket`. Returns its answer, and the connection, over which messages
/// follow. `asked` gets the connection after the request, and before the answer.
pub fn ask_and_follow(
    socket: &Path,
    request: &Request,
    asked: impl FnOnce(&UnixStream) -> io::Result<()>,
) -> Result<(Answer, BufReader<UnixStream>), ControlError> {
    let exchanged = send(socket, request, TIMEOUT).and_then(|stream| {
        asked(&stream)?;
        receive(stream, MAX_ANSWER)
    });
    let (line, rest) = exchanged.map_err(|source| failure(socket, TIMEOUT, source))?;
    Ok((parsed(socket, &line)?, rest))
}

/// Asks the daemon on `socket`, and waits for its answer for at most `timeout`.
pub fn ask_within(
    socket: &Path,
    request: &Request,
    timeout: Duration,
) -> Result<Answer, ControlError> {
    ask_and_wait(socket, request, timeout, None)
}

/// Returns the answer when the daemon has ended, or after `until_end`.
fn ask_and_wait(
    socket: &Path,
    request: &Request,
    timeout: Duration,
    until_end: Option<Duration>,
) -> Result<Answer, ControlError> {
    let longest = match request {
        Request::Status {}
        | Request::Flows(_)
        | Request::Events { .. }
        | Request::Devices(_)
        | Request::Report(_)
        | Request::Prove(_)
        | Request::Data {}
        | Request::Doctor {} => MAX_LONG_ANSWER,
        _ => MAX_ANSWER,
    };
    let exchanged = send(socket, request, timeout).and_then(|stream| receive(stream, longest));
    let (line, rest) = exchanged.map_err(|source| failure(socket, timeout, source))?;
    if let Some(limit) = until_end {
        await_end(rest.into_inner(), limit);
    }
    parsed(socket, &line)
}

fn parsed(socket: &Path, line: &str) -> Result<Answer, ControlError> {
    serde_json::from_str(line).map_err(|source| ControlError::Foreign {
        path: socket.to_owned(),
        source,
    })
}

fn failure(socket: &Path, timeout: Duration, source: io::Error) -> ControlError {
    let path = socket.to_owned();
    match source.kind() {
        // The last four mean that the daemon ended before it answered.
        io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => ControlError::NoDaemon { path },
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            ControlError::Silent { path, timeout }
        }
        io::ErrorKind::PermissionDenied => ControlError::Denied { path, source },
        _ => ControlError::Io { path, source },
    }
}

/// Connects, and sends the request.
fn send(socket: &Path, request: &Request, timeout: Duration) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    Ok(stream)
}

/// Waits for the answer.
fn receive(stream: UnixStream, longest: u64) -> io::Result<(String, BufReader<UnixStream>)> {
    let mut answer = String::new();
    let mut stream = BufReader::new(stream);
    (&mut stream).take(longest).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((answer, stream))
}

/// Waits until the daemon has closed its connection, at most `limit`.
fn await_end(mut stream: UnixStream, limit: Duration) {
    // A daemon that takes longer ends by itself. The filter is detached in any case.
    if stream.set_read_timeout(Some(limit)).is_ok() {
        let _ = stream.read(&mut [0]);
    }
}
