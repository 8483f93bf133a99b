//! The daemon's tasks: signals, changed files, clients.

use std::{io, sync::Arc};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
};
use tracing::{error, info, warn};

use super::{
    core::{Core, Trigger},
    log_reader,
    sockets::{self, Sockets},
    watch::FileWatch,
};
use crate::{control::Reloaded, http::Site};

/// Why the daemon cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Signals.
    #[error("handle signals: {0}")]
    Signals(io::Error),
    /// Files.
    #[error("watch the policy files: {0}")]
    Watch(notify::Error),
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Stopped: the filter stays in force.
    Stopped,
    /// Asked to detach: nothing is left.
    Detached,
}

/// Serves until a signal or a `detach`.
pub async fn run(core: Arc<Core>, sockets: Sockets, site: Site) -> Result<End, ServeError> {
    let (detached, mut when_detached) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let tasks = [
        tokio::spawn(sockets::serve_http(site, sockets.http, stopped)),
        tokio::spawn(sockets::serve_control(
            Arc::clone(&core),
            sockets.control,
            detached,
        )),
    ];
    let end = supervise(&core, &mut when_detached).await;
    // The HTTP task waits for it, unless it failed already.
    let _ = stop.send(true);
    for task in &tasks {
        task.abort();
    }
    end
}

async fn supervise(
    core: &Arc<Core>,
    when_detached: &mut mpsc::Receiver<()>,
) -> Result<End, ServeError> {
    let mut hang_up = on(SignalKind::hangup())?;
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut files = FileWatch::new().map_err(ServeError::Watch)?;
    let mut log_readers = Vec::new();
    loop {
        watch_files(&mut files, core);
        read_logs(&mut log_readers, core);
        tokio::select! {
            _ = terminate.recv() => return Ok(End::Stopped),
            _ = interrupt.recv() => return Ok(End::Stopped),
            Some(()) = when_detached.recv() => return Ok(End::Detached),
            _ = hang_up.recv() => {
                reload(core, Trigger::Request).await;
            }
            () = files.changed() => {
                reload(core, Trigger::File).await;
            }
            () = core.reloaded() => {}
        }
    }
}

fn on(kind: SignalKind) -> Result<Signal, ServeError> {
    signal(kind).map_err(ServeError::Signals)
}

/// Reloads, and says how it went; `None` where nothing had changed.
pub(super) async fn reload(core: &Arc<Core>, trigger: Trigger) -> Option<Reloaded> {
    let core = Arc::clone(core);
    let reloaded = spawn_blocking(move || core.reload(trigger))
        .await
        .unwrap_or_else(|panic| {
            error!("a reload ended unexpectedly, the old generation stays in force: {panic}");
            None
        })?;
    for note in &reloaded.notes {
        warn!("{}", note.trim_end());
    }
    match (&reloaded.reload.error, reloaded.generation) {
        (None, Some(generation)) => info!("generation {generation} is in force"),
        (error, generation) => error!(
            "the policies could not be loaded, generation {} stays in force:\n{}",
            generation.unwrap_or_default(),
            error.as_deref().unwrap_or_default().trim_end()
        ),
    }
    Some(reloaded)
}

fn watch_files(files: &mut FileWatch, core: &Core) {
    for error in files.set(&core.watched_paths()) {
        warn!("cannot watch for changes, use `monitor reload` after one: {error}");
    }
}

/// Reads the logs of the newest generation; the readers of older ones end.
fn read_logs(readers: &mut Vec<JoinHandle<()>>, core: &Core) {
    let loggers = core.take_loggers();
    if loggers.is_empty() {
        return;
    }
    for reader in readers.drain(..) {
        reader.abort();
    }
    readers.extend(loggers.into_iter().map(log_reader::spawn));
}
