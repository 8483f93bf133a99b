//! The daemon's tasks: signals, changed files, schedules, clients.

use std::{convert::Infallible, io, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tracing::{error, info, warn};

use super::{
    addresses::AddressWatch,
    blocking::blocking,
    clients,
    core::{Core, ReloadOutcome, Trigger},
    devices, endpoints, feeds,
    log_reader::LogReader,
    manager::{self, Heartbeat},
    saving::Saving,
    signals::{HangUp, Signals, StopSignals},
    sockets::ControlSocket,
    watch::{FileWatch, WatchedDirectories},
};
use crate::{
    clock::{self, Alarm, Woke},
    error_text::error_text,
    http::Site,
};

/// How long after a failure the daemon tries again.
const RETRY: Duration = Duration::from_secs(1);

/// How long work may go on after the daemon was asked to end.
const LAST_WORK: Duration = Duration::from_secs(5);

/// How long answers to HTTP requests and to clients may go on after that. The
/// HTTP server itself cuts off exchanges earlier.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

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
pub enum DaemonEnd {
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
) -> Result<DaemonEnd, ServeError> {
    let (detached, when_detached) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    // Before clients are answered, so that `status` knows how the first try went.
    let mut answering = endpoints::serve(core.settings(), core.endpoints(), &site, &stopped).await;
    let clients = clients::serve(Arc::clone(&core), control, detached, stopped);
    answering.push(tokio::spawn(clients));
    let background = [
        tokio::spawn(feeds::run(Arc::clone(&core))),
        tokio::spawn(devices::run(Arc::clone(&core))),
    ];
    info!(
        "ready: commands are answered at {}",
        crate::printable::path(&core.settings().socket)
    );
    manager::ready(&core);
    let (stop_signals, hang_up) = signals.split();
    let end = match Events::new(Arc::clone(&core), alarm, hang_up) {
        Ok(events) => Ok(main_loop(&core, events, stop_signals, when_detached).await),
        Err(error) => Err(error),
    };
    manager::stopping(match &end {
        Ok(DaemonEnd::Detached) => "detached",
        Ok(DaemonEnd::Stopped) | Err(_) => "the filter and its counters stay in force",
    });
    for task in background {
        task.abort();
    }
    let _ = stop.send(true);
    end_answers(answering).await;
    end
}

/// Waits for tasks that were told to end, and cuts off those that do not.
async fn end_answers(tasks: Vec<JoinHandle<()>>) {
    let limit = Instant::now() + LAST_ANSWERS;
    for mut task in tasks {
        if timeout_at(limit, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Work of the main loop that is under way.
type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Works on one event after the other. Signals to stop, the watchdog and a `detach`
/// are served while a job runs; every other event waits for the end of the job.
async fn main_loop(
    core: &Arc<Core>,
    mut events: Events<'_>,
    stop_signals: &mut StopSignals,
    mut when_detached: mpsc::Receiver<()>,
) -> DaemonEnd {
    let mut heartbeat = Heartbeat::new();
    let mut job: Option<Job> = None;
    let end = loop {
        tokio::select! {
            biased;
            () = stop_signals.next() => break DaemonEnd::Stopped,
            Some(()) = when_detached.recv() => break DaemonEnd::Detached,
            () = heartbeat.due() => manager::beat(core),
            () = end_of(&mut job) => {
                job = None;
                core.main_loop_works(None);
            }
            event = events.next(), if job.is_none() => {
                core.main_loop_works(Some(event.work()));
                job = Some(Box::pin(work_on(Arc::clone(core), event)));
            }
        }
    };
    end_work(core, job, &events.saving).await;
    end
}

/// Ends the work that has begun, within [`LAST_WORK`]. A load that is cut short
/// leaves the old filter or the new one in force.
async fn end_work(core: &Arc<Core>, job: Option<Job>, saving: &Saving) {
    let last_work = async {
        if let Some(job) = job {
            info!("asked to end; the work that has begun is ended first");
            job.await;
        }
        saving.save(core).await;
    };
    if timeout(LAST_WORK, last_work).await.is_err() {
        warn!("the work does not end: the daemon ends without it, and the filter stays in force");
    }
}

/// Where the main loop's events come from.
struct Events<'a> {
    core: Arc<Core>,
    alarm: &'a Alarm,
    hang_up: &'a mut HangUp,
    files: FileWatch,
    addresses: AddressWatch,
    log_readers: Vec<LogReader>,
    saving: Saving,
    /// The last event may have brought a generation of other files.
    watch_anew: bool,
}

impl<'a> Events<'a> {
    fn new(core: Arc<Core>, alarm: &'a Alarm, hang_up: &'a mut HangUp) -> Result<Self, ServeError> {
        Ok(Self {
            core,
            alarm,
            hang_up,
            files: FileWatch::new().map_err(ServeError::Watch)?,
            addresses: AddressWatch::new().map_err(ServeError::Addresses)?,
            log_readers: Vec::new(),
            saving: Saving::default(),
            watch_anew: true,
        })
    }

    /// Waits for the next event. Where this is cancelled, the next call goes on.
    async fn next(&mut self) -> Event {
        read_logs(&mut self.log_readers, &self.core);
        if self.core.settings().watch && std::mem::take(&mut self.watch_anew) {
            return Event::Watch(self.files.directories());
        }
        let next_look = self.core.next_look(&clock::now());
        let core = &self.core;
        let event = tokio::select! {
            biased;
            () = self.hang_up.next() => Event::Asked,
            () = self.saving.due(core) => Event::Unsaved(self.saving.clone()),
            () = core.reloaded_by_client() => Event::Reloaded,
            () = look_at_clock(self.alarm, next_look) => Event::Edge,
            () = deadline_passed(core) => Event::Deadline,
            waited = self.addresses.changed() => Event::Addresses(waited),
            () = self.files.changed() => Event::Files,
        };
        self.watch_anew = true;
        event
    }
}

/// Waits for the end of the job; for ever where there is none.
async fn end_of(job: &mut Option<Job>) {
    match job {
        Some(job) => job.await,
        None => std::future::pending().await,
    }
}

/// What the main loop works on.
enum Event {
    /// The files of the generation in force may not be watched yet.
    Watch(WatchedDirectories),
    /// SIGHUP.
    Asked,
    /// The state directory lacks the files of the policies in force.
    Unsaved(Saving),
    /// A client asked for a reload, and it has ended.
    Reloaded,
    /// The time to look at the clock.
    Edge,
    /// The time until which a generation could be confirmed.
    Deadline,
    /// Addresses or interfaces changed.
    Addresses(io::Result<()>),
    Files,
}

impl Event {
    /// The work that follows, as a noun phrase.
    const fn work(&self) -> &'static str {
        match self {
            Self::Watch(_) => "watching the policy files",
            Self::Asked | Self::Files => "a reload",
            Self::Unsaved(_) => "writing the last good policies",
            Self::Reloaded => "the main loop's own work",
            Self::Edge => "a change by a schedule",
            Self::Deadline => "a roll-back",
            Self::Addresses(_) => "a look at the addresses",
        }
    }
}

async fn work_on(core: Arc<Core>, event: Event) {
    let core = &core;
    match event {
        Event::Watch(directories) => watch_files(core, directories).await,
        Event::Asked => drop(reload(core, Trigger::Request).await),
        Event::Unsaved(saving) => saving.save(core).await,
        // The loop watches the files of the new generation before it waits again.
        Event::Reloaded => {}
        Event::Edge => pass_edge(core).await,
        Event::Deadline => roll_back(core).await,
        Event::Addresses(waited) => look_at_addresses(core, waited).await,
        Event::Files => files_changed(core).await,
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

/// Makes permanent what the kernel did at the deadline.
async fn roll_back(core: &Arc<Core>) {
    match blocking(core, Core::roll_back).await {
        Ok(rolled_back) => {
            if let Some(told) = rolled_back.told {
                error!("{told}");
            }
            for change in rolled_back.changes {
                info!("{change}");
            }
        }
        Err(error) => {
            error!(
                "the generation that was not confirmed does not decide any more, and could not be removed: {error}"
            );
            tokio::time::sleep(RETRY).await;
        }
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
    match blocking(core, |core| core.pass_edge(&clock::now())).await {
        Ok(changes) => {
            for change in changes {
                info!("{change}");
            }
        }
        Err(error) => error!("a schedule's edge could not be put in force: {error}"),
    }
}

/// Attaches to interfaces that appeared, then judges what is in force for the
/// addresses that the gateway has now. A new risk is a warning in the log, and the
/// policies stay in force.
async fn look_at_addresses(core: &Arc<Core>, waited: io::Result<()>) {
    if let Err(error) = waited {
        error!("watch the addresses of this machine: {error}");
        tokio::time::sleep(RETRY).await;
    }
    attach_to_new(core).await;
    match blocking(core, Core::recheck).await {
        Ok(changes) => {
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
        Err(error) => error!("look at the changed addresses: {error}"),
    }
}

/// Attaches to interfaces that appeared since.
async fn attach_to_new(core: &Arc<Core>) {
    match blocking(core, Core::look_at_interfaces).await {
        Ok(changes) => {
            for change in changes {
                warn!("{change}");
            }
        }
        Err(error) => error!("look at the changed interfaces: {error}"),
    }
}

/// Reloads, and logs the result. `Err` says why a reload ended unexpectedly.
pub(super) async fn reload(core: &Arc<Core>, trigger: Trigger) -> Result<ReloadOutcome, String> {
    let reload =
        move |core: &Core| Ok::<_, Infallible>(manager::reloading(core, || core.reload(trigger)));
    let outcome = blocking(core, reload).await;
    match &outcome {
        Ok(ReloadOutcome::Tried(reloaded)) => {
            for note in &reloaded.notes {
                warn!("{}", note.trim_end());
            }
            let in_force = reloaded.in_force();
            match &reloaded.reload.error {
                None => info!("{in_force}"),
                Some(error) => error!("the reload failed, {in_force}:\n{}", error.trim_end()),
            }
        }
        Ok(ReloadOutcome::Detached | ReloadOutcome::Unchanged) => {}
        Err(error) => error!("the reload failed, see `monitor status`: {error}"),
    }
    outcome
}

async fn watch_files(core: &Arc<Core>, directories: WatchedDirectories) {
    let watch = move |core: &Core| Ok::<_, Infallible>(directories.set(&core.watched_paths()));
    match blocking(core, watch).await {
        Ok(errors) => {
            for error in errors {
                let error = error_text(&error);
                warn!("cannot watch for changes, use `monitor reload` after one: {error}");
            }
        }
        Err(error) => error!("watch the policy files: {error}"),
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
