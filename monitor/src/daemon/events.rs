//! Events for the main loop: signals, files, clocks, addresses.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::{
    addresses::AddressWatch,
    blocking::blocking,
    core::Core,
    log_reader::LogReader,
    saving::Saving,
    signals::HangUp,
    watch::{FileWatch, WatchedDirectories},
};
use crate::{
    clock::{self, Alarm, Woke},
    error_text::error_text,
};

/// Time between a failure and the next try.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// Time between two looks at an interface that is there and not filtered. The kernel reports
/// when an interface appears, but not when another program was detached from it.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

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

/// An event that the main loop handles.
pub(super) enum Event {
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
    /// An interface is still not filtered.
    Unfiltered,
    /// A policy file or a list changed.
    Files,
}

impl Event {
    /// Returns the work for this event as a noun phrase.
    pub(super) const fn work(&self) -> &'static str {
        match self {
            Self::Asked | Self::Files => "a reload",
            Self::Unsaved(_) => "writing the last good policies",
            Self::Reloaded => "the main loop's own work",
            Self::Edge => "a change by a schedule",
            Self::Deadline => "a roll-back",
            Self::Addresses(_) => "a check of the addresses",
            Self::Unfiltered => "a check of the interfaces",
        }
    }
}

/// The sources of the main loop's events.
pub(super) struct Events<'a> {
    core: Arc<Core>,
    alarm: &'a Alarm,
    hang_up: &'a mut HangUp,
    files: FileWatch,
    addresses: AddressWatch,
    log_readers: Vec<LogReader>,
    pub(super) saving: Saving,
    /// Notified after each event, because it may have put policies from other files in
    /// force.
    watch_again: Arc<Notify>,
}

impl<'a> Events<'a> {
    pub(super) fn new(
        core: Arc<Core>,
        alarm: &'a Alarm,
        hang_up: &'a mut HangUp,
    ) -> Result<Self, ServeError> {
        Ok(Self {
            core,
            alarm,
            hang_up,
            files: FileWatch::new().map_err(ServeError::Watch)?,
            addresses: AddressWatch::new().map_err(ServeError::Addresses)?,
            log_readers: Vec::new(),
            saving: Saving::default(),
            watch_again: Arc::new(Notify::new()),
        })
    }

    /// Waits for the next event. If this future is dropped early, no event is lost.
    pub(super) async fn next(&mut self) -> Event {
        read_logs(&mut self.log_readers, &self.core);
        self.watch_again.notify_one();
        let next_look = self.core.next_look(&clock::now());
        let core = &self.core;
        tokio::select! {
            biased;
            () = self.hang_up.next() => Event::Asked,
            () = self.saving.due(core) => Event::Unsaved(self.saving.clone()),
            () = core.reloaded_by_client() => Event::Reloaded,
            () = look_at_clock(self.alarm, next_look) => Event::Edge,
            () = deadline_passed(core) => Event::Deadline,
            waited = self.addresses.changed() => Event::Addresses(waited),
            () = look_again(core) => Event::Unfiltered,
            () = self.files.changed() => Event::Files,
        }
    }

    /// Returns a task that watches the files of the policies in force. It is a task of its
    /// own because a file system that does not answer would block the main loop's jobs.
    pub(super) fn watching(&self) -> impl Future<Output = ()> + Send + use<> {
        let core = Arc::clone(&self.core);
        let directories = self.files.directories();
        let watch_again = Arc::clone(&self.watch_again);
        async move {
            while core.settings().watch {
                watch_again.notified().await;
                watch_files(&core, directories.clone()).await;
            }
        }
    }
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

/// Waits for the next look at an interface that is not filtered. Never returns if there is
/// none.
async fn look_again(core: &Core) {
    if core.has_unfiltered() {
        tokio::time::sleep(LOOK_AGAIN).await;
    } else {
        std::future::pending::<()>().await;
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

/// Starts to read the logs of the newest generation, and ends the readers of older ones.
fn read_logs(readers: &mut Vec<LogReader>, core: &Core) {
    let loggers = core.take_loggers();
    if loggers.is_empty() {
        return;
    }
    readers.clear();
    readers.extend(loggers.into_iter().map(LogReader::spawn));
}
