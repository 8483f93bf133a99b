//! The control socket.

use std::{io, os::unix, path::Path};

use tokio::{
    task::spawn_blocking,
    time::{self, Duration},
};

use super::unix_socket::{BindError, Claim, SocketPath, UnixSocket};
use crate::control::{Answer, ControlError, Request, ask_within};

/// Description of a process that listens on the socket but does not answer.
const SILENT: &str = "a process that gives no answer (it may be stopped)";

/// Time limit for the process on the control socket to say which process it is.
const WHO_TIMEOUT: Duration = Duration::from_secs(2);

/// Socket on which other commands reach the daemon. The daemon binds it before it
/// touches the filter, so a second daemon changes nothing.
pub struct ControlSocket(pub(super) UnixSocket);

impl ControlSocket {
    /// Listens on `socket`. Returns an error if another process listens there.
    /// Needs a running tokio.
    pub async fn bind(socket: &Path) -> Result<Self, BindError> {
        let place = SocketPath {
            path: socket,
            option: "--socket",
        };
        match place.claim()? {
            Claim::Own(owned) => match listener(place).await? {
                None => owned.bind().map(Self),
                // The process does not use the lock: it is an older version, or
                // another program.
                Some(holder) => Err(place.in_use(holder)),
            },
            // The holder of the lock may not listen yet, or no longer.
            Claim::Held(holder) => {
                let answering = listener(place).await.ok().flatten();
                Err(place.in_use(answering.unwrap_or(holder)))
            }
        }
    }
}

/// Describes the process that listens at `place`; `None` if no process does. The
/// request has its own thread, because a stopped daemon must not block this one. If
/// even connecting takes too long, the thread is left behind.
async fn listener(place: SocketPath<'_>) -> Result<Option<String>, BindError> {
    let path = place.path.to_owned();
    let asked = spawn_blocking(move || find_listener(&path));
    match time::timeout(2 * WHO_TIMEOUT, asked).await {
        Ok(Ok(listener)) => listener.map_err(|source| place.failed(source)),
        // The request panicked, or took too long.
        Ok(Err(_)) | Err(_) => Ok(Some(SILENT.to_owned())),
    }
}

/// Describes the process that listens on `socket`; `None` if no process does.
fn find_listener(socket: &Path) -> io::Result<Option<String>> {
    let other = || Some("another process".to_owned());
    Ok(match ask_within(socket, &Request::Who {}, WHO_TIMEOUT) {
        // A process that closes the connection without an answer was just killed,
        // or is another program.
        Err(ControlError::NoDaemon { .. }) => {
            let listens = unix::net::UnixStream::connect(socket).is_ok();
            listens.then(other).flatten()
        }
        Err(ControlError::Denied { source, .. } | ControlError::Io { source, .. }) => {
            return Err(source);
        }
        Err(ControlError::Silent { .. }) => Some(SILENT.to_owned()),
        Ok(Answer::Who(who)) => Some(format!("another daemon (process {})", who.pid)),
        Ok(
            Answer::Status(_)
            | Answer::Reload(_)
            | Answer::Confirmed(_)
            | Answer::Detached(_)
            | Answer::Changed(_)
            | Answer::Flows(_)
            | Answer::Events(_)
            | Answer::Devices(_)
            | Answer::Data(_)
            | Answer::Diagnosis(_)
            | Answer::Canary(_)
            | Answer::CanaryEnded {}
            | Answer::Feeds(_)
            | Answer::Report(_)
            | Answer::Proven(_)
            | Answer::Marked(_)
            | Answer::Published {}
            | Answer::Capturing(_)
            | Answer::Forgotten(_)
            | Answer::Notified(_)
            | Answer::PageLink(_)
            | Answer::PageEnded(_)
            | Answer::Refused(_),
        )
        | Err(
            ControlError::Foreign { .. }
            | ControlError::Refused { .. }
            | ControlError::Unexpected { .. },
        ) => other(),
    })
}
