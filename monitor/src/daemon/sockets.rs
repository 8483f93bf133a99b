//! The control socket.

use std::{io, os::unix, path::Path};

use tokio::{
    task::spawn_blocking,
    time::{self, Duration},
};

use super::unix_socket::{BindError, Claim, SocketPath, UnixSocket};
use crate::control::{Answer, ControlError, Request, ask_within};

/// The holder of a socket that says nothing.
const SILENT: &str = "a process that gives no answer (it may be stopped)";

/// How long the process that listens on the control socket may take to say who it is.
const WHO_TIMEOUT: Duration = Duration::from_secs(2);

/// Where other verbs reach the daemon. Bound before the filter is touched, so
/// that a second daemon changes nothing.
pub struct ControlSocket(pub(super) UnixSocket);

impl ControlSocket {
    /// Listens at `socket`, where no other process does. Needs a running tokio.
    pub async fn bind(socket: &Path) -> Result<Self, BindError> {
        let place = SocketPath {
            path: socket,
            option: "--socket",
        };
        match place.claim()? {
            Claim::Own(owned) => match listener(place).await? {
                None => owned.bind().map(Self),
                // It knows nothing of the lock: an older version, or another program.
                Some(holder) => Err(place.in_use(holder)),
            },
            // It may not listen yet, or not any more.
            Claim::Held(holder) => {
                let answering = listener(place).await.ok().flatten();
                Err(place.in_use(answering.unwrap_or(holder)))
            }
        }
    }
}

/// The process that listens at `place`, in words; `None` where no process does.
/// A daemon that is stopped must not keep this one waiting: it is asked on a
/// thread of its own, which is left behind where even connecting takes too long.
async fn listener(place: SocketPath<'_>) -> Result<Option<String>, BindError> {
    let path = place.path.to_owned();
    let asked = spawn_blocking(move || find_listener(&path));
    match time::timeout(2 * WHO_TIMEOUT, asked).await {
        Ok(Ok(listener)) => listener.map_err(|source| place.failed(source)),
        // It panicked, or took too long.
        Ok(Err(_)) | Err(_) => Ok(Some(SILENT.to_owned())),
    }
}

/// The process that listens there; `None` where no process does.
fn find_listener(socket: &Path) -> io::Result<Option<String>> {
    let other = || Some("another process".to_owned());
    Ok(match ask_within(socket, &Request::Who {}, WHO_TIMEOUT) {
        // Who hangs up without an answer was killed just now, or is no monitor.
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
            | Answer::Feeds(_)
            | Answer::Forgotten(_)
            | Answer::Refused(_),
        )
        | Err(
            ControlError::Foreign { .. }
            | ControlError::Refused { .. }
            | ControlError::Unexpected { .. },
        ) => other(),
    })
}
