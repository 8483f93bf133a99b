//! The daemon's tasks: signals, changed files, clients.

use std::{io, pin::pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::timeout,
};
use tracing::{error, info, warn};

use super::{
    addresses::AddressWatch,
    clients,
    core::{Core, Trigger},
    feeds,
    log_reader::LogReader,
    manager::{self, Heartbeat},
    signals::{Asked, Signals},
    sockets::Sockets,
    watch::FileWatch,
};
use crate::{
    clock::{self, Alarm, Woke},
    control::Reloaded,
    error_text::error_text,
    http::{self, Site},
};

/// How long after a failure it tries again.
const RETRY: Duration = Duration::from_secs(1);

/// Time that a load has to end after the daemon was asked to stop: it may wait
/// for a file system that never answers.
const GRACE: Duration = Duration::from_secs(5);

/// Why the daemon cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Files.
    #[error("watch the policy files: {0}")]
    Watch(notify::Error),
    /// Addresses.
    #[error("watch the addresses of this machine: {0}")]
    Addresses(io::Error),
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Stopped: the filter stays in force.
    Stopped,
    /// Asked to detach: nothing is left.
    Detached,
}

/// Serves until a signal or a `detach`. `alarm` must be older than `core`: a
/// clock that is set while the policies are loaded is noticed then.
pub async fn run(
    core: Arc<Core>,
    sockets: Sockets,
    site: Site,
    signals: &mut Signals,
    alarm: &Alarm,
) -> Result<End, ServeError> {
    let (detached, mut when_detached) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let tasks = [
        tokio::spawn(serve_http(site, sockets.http, stopped)),
        tokio::spawn(clients::serve(Arc::clone(&core), sockets.control, detached)),
        tokio::spawn(feeds::run(Arc::clone(&core))),
    ];
    manager::ready(&core);
    let end = supervise(&core, signals, alarm, &mut when_detached).await;
    manager::stopping(match &end {
        Ok(End::Detached) => "detached",
        Ok(End::Stopped) | Err(_) => "the filter and its counters stay in force",
    });
    // The HTTP task waits for it, unless it failed already.
    let _ = stop.send(true);
    for task in &tasks {
        task.abort();
    }
    end
}

async fn supervise(
    core: &Arc<Core>,
    signals: &mut Signals,
    alarm: &Alarm,
    when_detached: &mut mpsc::Receiver<()>,
) -> Result<End, ServeError> {
    let mut files = FileWatch::new().map_err(ServeError::Watch)?;
    let mut log_readers = Vec::new();
    let mut addresses = AddressWatch::new().map_err(ServeError::Addresses)?;
    let mut heartbeat = Heartbeat::new();
    loop {
        let next_look = core.next_look(&clock::now());
        if core.settings().watch {
            watch_files(&mut files, core);
        }
        keep_last_good(core).await;
        read_logs(&mut log_readers, core);
        tokio::select! {
            biased;
            asked = signals.next() => match asked {
                Asked::Stop => return Ok(End::Stopped),
                Asked::Reload => if reload_or_stop(core, Trigger::Request, signals).await {
                    return Ok(End::Stopped);
                },
            },
            () = heartbeat.due() => heartbeat.beat(core),
            Some(()) = when_detached.recv() => return Ok(End::Detached),
            () = core.reloaded() => {}
            () = look_at_clock(alarm, next_look) => pass_edge(core).await,
            () = deadline_passed(core) => roll_back(core).await,
            waited = addresses.changed() => look_at_addresses(core, waited).await,
            () = files.changed() => if files_changed(core, signals).await {
                return Ok(End::Stopped);
            },
        }
    }
}

/// Waits until the clock has to be looked at. Without an edge ahead too: a clock
/// that is set back has again before it what had passed.
async fn look_at_clock(alarm: &Alarm, at: Option<Timestamp>) {
    let at = at.unwrap_or(Timestamp::MAX);
    match alarm.wait_until(at).await {
        Ok(Woke::Time) => {}
        Ok(Woke::ClockSet) => info!("the clock was set"),
        Err(error) => {
            error!("wait for the next edge of a schedule: {error}");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Waits for as long as something waits to be confirmed. A timer stands still
/// where the machine sleeps, so it is looked at again and again.
async fn deadline_passed(core: &Core) {
    loop {
        match core.deadline() {
            None => std::future::pending().await,
            Some(deadline) if deadline.has_passed() => return,
            Some(deadline) => tokio::time::sleep(deadline.left().min(RETRY)).await,
        }
    }
}

/// Makes permanent what the kernel did when nobody confirmed it.
async fn roll_back(core: &Arc<Core>) {
    let rolling = Arc::clone(core);
    match spawn_blocking(move || rolling.roll_back()).await {
        Ok(Ok(told)) => {
            if let Some(told) = told {
                error!("{told}");
            }
        }
        Ok(Err(error)) => {
            error!(
                "what was not confirmed does not decide any more, and could not be removed: {}",
                error_text(&error)
            );
            tokio::time::sleep(RETRY).await;
        }
        Err(panic) => error!("going back ended unexpectedly: {panic}"),
    }
}

/// Returns whether the daemon is to stop.
async fn files_changed(core: &Arc<Core>, signals: &mut Signals) -> bool {
    if core.is_rolled_back() {
        info!(
            "the policy files changed; they were not confirmed, so `monitor reload` alone loads them"
        );
    }
    reload_or_stop(core, Trigger::File, signals).await
}

/// Reloads; returns whether the daemon is to stop. Ending in the middle is what
/// a kill does: the old generation or the new one is in force, whole.
async fn reload_or_stop(core: &Arc<Core>, trigger: Trigger, signals: &mut Signals) -> bool {
    let mut work = pin!(reload(core, trigger));
    tokio::select! {
        _ = &mut work => return false,
        () = signals.stop() => {}
    }
    info!(
        "asked to stop; the load that has begun has {} s to end",
        GRACE.as_secs()
    );
    let _ = timeout(GRACE, work).await;
    true
}

/// Makes the generation that the time asks for.
async fn pass_edge(core: &Arc<Core>) {
    let passing = Arc::clone(core);
    let passed = spawn_blocking(move || passing.pass_edge(&clock::now())).await;
    match passed {
        Ok(Ok(changes)) => {
            for change in changes {
                info!("{change}");
            }
        }
        Ok(Err(error)) => {
            error!(
                "a schedule's edge could not be put in force: {}",
                error_text(&error)
            );
        }
        Err(panic) => error!("a schedule's edge ended unexpectedly: {panic}"),
    }
}

/// Attaches to interfaces that appeared, then judges what is in force for the
/// addresses that the gateway has now: that warns, and changes nothing of it.
async fn look_at_addresses(core: &Arc<Core>, waited: io::Result<()>) {
    if let Err(error) = waited {
        error!("watch the addresses of this machine: {error}");
        tokio::time::sleep(RETRY).await;
    }
    attach_to_new(core).await;
    let judging = Arc::clone(core);
    match spawn_blocking(move || judging.recheck()).await {
        Ok(Ok(changes)) => {
            for risk in changes.new {
                warn!(
                    "{} ({}): it stays in force, and a reload would be refused; {}",
                    risk.message, risk.source, risk.help
                );
            }
            if changes.gone > 0 {
                info!(
                    "risks that are gone since addresses changed: {}",
                    changes.gone
                );
            }
        }
        Ok(Err(error)) => error!("look at the changed addresses: {}", error_text(&error)),
        Err(panic) => error!("a look at the addresses ended unexpectedly: {panic}"),
    }
}

/// Attaches to interfaces that appeared since.
async fn attach_to_new(core: &Arc<Core>) {
    let looking = Arc::clone(core);
    match spawn_blocking(move || looking.look_at_interfaces()).await {
        Ok(Ok(changes)) => {
            for change in changes {
                warn!("{change}");
            }
        }
        Ok(Err(error)) => error!("look at the changed interfaces: {}", error_text(&error)),
        Err(panic) => error!("a look at the interfaces ended unexpectedly: {panic}"),
    }
}

/// Serves metrics and page until `stopped` says true.
async fn serve_http(site: Site, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    let shutdown = async move {
        // An error means that the sender is gone: the daemon ends.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = http::serve(listener, site, shutdown).await {
        error!(
            "metrics and page are not served any more: {}",
            error_text(&error)
        );
    }
}

/// Reloads, and says how it went; `None` where nothing had changed.
pub(super) async fn reload(core: &Arc<Core>, trigger: Trigger) -> Option<Reloaded> {
    let core = Arc::clone(core);
    let reload = move || manager::reloading(&core, || core.reload(trigger));
    let reloaded = spawn_blocking(reload).await.unwrap_or_else(|panic| {
        error!("a reload ended unexpectedly, see `monitor status`: {panic}");
        None
    })?;
    for note in &reloaded.notes {
        warn!("{}", note.trim_end());
    }
    let in_force = reloaded.in_force();
    match &reloaded.reload.error {
        None => info!("{in_force}"),
        Some(error) => error!("the reload failed, {in_force}:\n{}", error.trim_end()),
    }
    Some(reloaded)
}

/// After it is in force: nobody waits for the disk.
async fn keep_last_good(core: &Arc<Core>) {
    let keeping = Arc::clone(core);
    match spawn_blocking(move || keeping.keep_last_good()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!("keep the policies for the next start: {error}"),
        Err(panic) => error!("keeping the policies ended unexpectedly: {panic}"),
    }
}

fn watch_files(files: &mut FileWatch, core: &Core) {
    for error in files.set(&core.watched_paths()) {
        let error = error_text(&error);
        warn!("cannot watch for changes, use `monitor reload` after one: {error}");
    }
}

/// Reads the logs of the newest generation; the readers of older ones end.
fn read_logs(readers: &mut Vec<LogReader>, core: &Core) {
    let loggers = core.take_loggers();
    if loggers.is_empty() {
        return;
    }
    readers.clear();
    readers.extend(loggers.into_iter().map(LogReader::spawn));
}
