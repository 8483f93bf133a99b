//! The daemon's tasks: signals, changed files, clients.

use std::{io, pin::pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::timeout,
};
use tracing::{error, info, warn};

use super::{
    addresses::AddressWatch,
    clients,
    core::{Core, Trigger},
    devices, endpoints, feeds,
    log_reader::LogReader,
    manager::{self, Heartbeat},
    signals::{Asked, Signals},
    sockets::ControlSocket,
    watch::FileWatch,
};
use crate::{
    clock::{self, Alarm, Woke},
    control::Reloaded,
    error_text::error_text,
    http::Site,
};

/// How long after a failure it tries again.
const RETRY: Duration = Duration::from_secs(1);

/// How long work may go on after the daemon was asked to end.
const LAST_WORK: Duration = Duration::from_secs(5);

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
    control: ControlSocket,
    site: Site,
    signals: &mut Signals,
    alarm: &Alarm,
) -> Result<End, ServeError> {
    let (detached, mut when_detached) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    // Before clients are answered, so that `status` knows how the first try went.
    let mut tasks = endpoints::serve(core.settings(), core.endpoints(), &site, &stopped).await;
    let clients = clients::serve(Arc::clone(&core), control, detached);
    tasks.push(tokio::spawn(clients));
    tasks.push(tokio::spawn(feeds::run(Arc::clone(&core))));
    tasks.push(tokio::spawn(devices::run(Arc::clone(&core))));
    info!(
        "ready: commands are answered at {}",
        crate::printable::path(&core.settings().socket)
    );
    manager::ready(&core);
    let end = supervise(&core, signals, alarm, &mut when_detached).await;
    manager::stopping(match &end {
        Ok(End::Detached) => "detached",
        Ok(End::Stopped) | Err(_) => "the filter and its counters stay in force",
    });
    // The HTTP tasks wait for it, unless they failed already.
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
        if stopped_during(signals, keep_last_good(core)).await {
            return Ok(End::Stopped);
        }
        read_logs(&mut log_readers, core);
        core.main_loop_works(None);
        let heard = tokio::select! {
            biased;
            asked = signals.next() => Heard::Signal(asked),
            () = heartbeat.due() => Heard::HeartbeatDue,
            Some(()) = when_detached.recv() => Heard::Detached,
            () = core.reloaded() => Heard::Reloaded,
            () = look_at_clock(alarm, next_look) => Heard::Edge,
            () = deadline_passed(core) => Heard::Deadline,
            waited = addresses.changed() => Heard::Addresses(waited),
            () = files.changed() => Heard::Files,
        };
        core.main_loop_works(Some(heard.work()));
        match heard {
            Heard::Signal(Asked::Stop) => return Ok(End::Stopped),
            Heard::Detached => return Ok(End::Detached),
            Heard::HeartbeatDue => heartbeat.beat(core),
            heard => {
                if stopped_during(signals, work_on(core, heard)).await {
                    return Ok(End::Stopped);
                }
            }
        }
    }
}

async fn work_on(core: &Arc<Core>, heard: Heard) {
    match heard {
        Heard::Signal(Asked::Reload) => drop(reload(core, Trigger::Request).await),
        Heard::Edge => pass_edge(core).await,
        Heard::Deadline => roll_back(core).await,
        Heard::Addresses(waited) => look_at_addresses(core, waited).await,
        Heard::Files => files_changed(core).await,
        Heard::Signal(Asked::Stop) | Heard::Detached | Heard::HeartbeatDue | Heard::Reloaded => {}
    }
}

/// Waits for `work`, and says whether the daemon is to end. Where it is asked to
/// end meanwhile, the work has [`LAST_WORK`] to end first: a load that is cut
/// short leaves the old filter or the new one in force.
async fn stopped_during(signals: &mut Signals, work: impl Future<Output = ()>) -> bool {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        () = &mut work => return false,
        () = signals.stop() => {}
    }
    info!("asked to stop; the work that has begun is ended first");
    if timeout(LAST_WORK, work).await.is_err() {
        warn!("the work does not end: the daemon ends without it, and the filter stays in force");
    }
    true
}

/// What the main loop waits for.
enum Heard {
    Signal(Asked),
    HeartbeatDue,
    Detached,
    /// A client asked for a reload, and it has ended.
    Reloaded,
    /// The time to look at the clock.
    Edge,
    /// The time until which something was to be confirmed.
    Deadline,
    /// Addresses or interfaces changed.
    Addresses(io::Result<()>),
    Files,
}

impl Heard {
    /// The work that follows, as a noun phrase.
    const fn work(&self) -> &'static str {
        match self {
            Self::Signal(_) | Self::Files => "a reload",
            Self::HeartbeatDue | Self::Detached | Self::Reloaded => "the main loop's own work",
            Self::Edge => "a change by a schedule",
            Self::Deadline => "a roll-back",
            Self::Addresses(_) => "a look at the addresses",
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

async fn files_changed(core: &Arc<Core>) {
    if core.is_rolled_back() {
        info!(
            "the policy files changed; they were not confirmed, so `monitor reload` alone loads them"
        );
    }
    drop(reload(core, Trigger::File).await);
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
