//! Runs the daemon's tasks: signals, changed files, schedules and clients.

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

/// Time between a failure and the next try.
const RETRY: Duration = Duration::from_secs(1);

/// Maximum time for the work in progress after the daemon was asked to end.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Maximum time for the answers in progress after that, to HTTP requests and to clients.
/// The HTTP server itself has a shorter limit.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// The reason why the daemon cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Files cannot be watched.
    #[error("watch the policy files: {0}")]
    Watch(notify::Error),
    /// Addresses cannot be watched.
    #[error("watch the addresses of this machine: {0}")]
    Addresses(io::Error),
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonEnd {
    /// A signal stopped it. The filter stays in force.
    Stopped,
    /// A client detached the filter. Nothing of it is left in the kernel.
    Detached,
}

/// Serves until a signal or a `detach` ends the daemon. `alarm` must be older than `core`, so
/// that it notices if the clock is set while the policies are loaded.
pub async fn run(
    core: Arc<Core>,
    control: ControlSocket,
    site: Site,
    signals: &mut Signals,
    alarm: &Alarm,
) -> Result<DaemonEnd, ServeError> {
    let (detached, when_detached) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    // Comes before the first answer to a client, so that `status` knows the result of the
    // first try.
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

/// Waits for tasks that were told to end, at most [`LAST_ANSWERS`]. Aborts the others.
async fn end_answers(tasks: Vec<JoinHandle<()>>) {
    let limit = Instant::now() + LAST_ANSWERS;
    for mut task in tasks {
        if timeout_at(limit, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// The main loop's work in progress.
type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Handles events one after another. While a job runs, the loop serves only signals to stop,
/// the watchdog and a `detach`. Every other event waits for the end of the job.
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

/// Completes the work in progress, and then writes the last good files, within
/// [`LAST_WORK`]. If a load takes longer, it is interrupted, and the old filter or the new
/// one is in force.
async fn end_work(core: &Arc<Core>, job: Option<Job>, saving: &Saving) {
    let last_work = async {
        if let Some(job) = job {
            info!("asked to end; the daemon completes the work in progress first");
            job.await;
        }
        saving.save(core).await;
    };
    if timeout(LAST_WORK, last_work).await.is_err() {
        warn!("the work takes too long: the daemon ends without it, and the filter stays in force");
    }
}

/// The sources of the main loop's events.
struct Events<'a> {
    core: Arc<Core>,
    alarm: &'a Alarm,
    hang_up: &'a mut HangUp,
    files: FileWatch,
    addresses: AddressWatch,
    log_readers: Vec<LogReader>,
    saving: Saving,
    /// True if the last event may have put policies from other files in force.
    watch_again: bool,
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
            watch_again: true,
        })
    }

    /// Waits for the next event. If this future is dropped early, no event is lost.
    async fn next(&mut self) -> Event {
        read_logs(&mut self.log_readers, &self.core);
        if self.core.settings().watch && std::mem::take(&mut self.watch_again) {
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
        self.watch_again = true;
        event
    }
}

/// Waits for the end of the job. Never returns if there is none.
async fn end_of(job: &mut Option<Job>) {
    match job {
        Some(job) => job.await,
        None => std::future::pending().await,
    }
}

/// An event that the main loop handles.
enum Event {
    /// Files of the policies in force may not be watched yet.
    Watch(WatchedDirectories),
    /// SIGHUP asks for a reload.
    Asked,
    /// The state directory does not have the files of the policies in force.
    Unsaved(Saving),
    /// A reload that a client asked for has ended.
    Reloaded,
    /// The next edge of a schedule is due, or the clock was set.
    Edge,
    /// The deadline of a trial has passed.
    Deadline,
    /// Addresses or interfaces changed.
    Addresses(io::Result<()>),
    /// A policy file or a list changed.
    Files,
}

impl Event {
    /// Returns the work for this event as a noun phrase.
    const fn work(&self) -> &'static str {
        match self {
            Self::Watch(_) => "watching the policy files",
            Self::Asked | Self::Files => "a reload",
            Self::Unsaved(_) => "writing the last good policies",
            Self::Reloaded => "the main loop's own work",
            Self::Edge => "a change by a schedule",
            Self::Deadline => "a roll-back",
            Self::Addresses(_) => "a check of the addresses",
        }
    }
}

async fn work_on(core: Arc<Core>, event: Event) {
    let core = &core;
    match event {
        Event::Watch(directories) => watch_files(core, directories).await,
        Event::Asked => drop(reload(core, Trigger::Request).await),
        Event::Unsaved(saving) => saving.save(core).await,
        // There is nothing to do: before the loop waits again, it watches the files of the
        // new policies.
        Event::Reloaded => {}
        Event::Edge => pass_edge(core).await,
        Event::Deadline => roll_back(core).await,
        Event::Addresses(waited) => look_at_addresses(core, waited).await,
        Event::Files => files_changed(core).await,
    }
}

/// Waits until the clock reaches `at` or is set. Waits for a set clock even if `at` is
/// `None`: if the clock is set back, edges that had passed are ahead again.
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

/// Waits until the deadline of a trial has passed. Never returns if there is no trial. A
/// timer stands still while the machine sleeps, so this checks the deadline every
/// [`RETRY`].
async fn deadline_passed(core: &Core) {
    loop {
        match core.deadline() {
            None => std::future::pending().await,
            Some(deadline) if deadline.has_passed() => return,
            Some(deadline) => tokio::time::sleep(deadline.left().min(RETRY)).await,
        }
    }
}

/// Makes the kernel's roll-back at the deadline permanent.
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
                "the generation that was not confirmed no longer decides, but could not be removed: {error}"
            );
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn files_changed(core: &Arc<Core>) {
    if core.is_rolled_back() {
        info!(
            "the policy files changed; they were not confirmed, so only `monitor reload` loads them"
        );
    }
    drop(reload(core, Trigger::File).await);
}

/// Puts the changes of schedules and ends in force that are due now.
async fn pass_edge(core: &Arc<Core>) {
    match blocking(core, |core| core.pass_edge(&clock::now())).await {
        Ok(changes) => {
            for change in changes {
                info!("{change}");
            }
        }
        Err(error) => error!("a change by a schedule could not be put in force: {error}"),
    }
}

/// Attaches to interfaces that appeared, then judges the policies in force for the current
/// addresses of the gateway. Logs a new risk as a warning; the policies stay in force.
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
        Err(error) => error!("check the changed addresses: {error}"),
    }
}

/// Attaches to interfaces that appeared.
async fn attach_to_new(core: &Arc<Core>) {
    match blocking(core, Core::look_at_interfaces).await {
        Ok(changes) => {
            for change in changes {
                warn!("{change}");
            }
        }
        Err(error) => error!("check the changed interfaces: {error}"),
    }
}

/// Reloads the policies and logs the result. Fails only if the reload panics.
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
                warn!("cannot watch for changes, so use `monitor reload` after a change: {error}");
            }
        }
        Err(error) => error!("watch the policy files: {error}"),
    }
}

/// Starts to read the logs of the newest generation, and ends the readers of older ones.
fn read_logs(readers: &mut Vec<LogReader>, core: &Core) {
    let loggers = core.take_loggers();
    if loggers.is_empty() {
        return;
    }
    readers.clear();
    readers.extend(loggers.into_iter().map(LogReader::spawn));
}
