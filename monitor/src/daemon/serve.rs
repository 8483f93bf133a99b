//! Runs the daemon's tasks: signals, changed files, schedules and clients.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tracing::{info, warn};

use super::{
    alerts,
    blocking::blocking,
    capture, clients,
    core::Core,
    devices, doctor, endpoints,
    events::{Events, ServeError},
    evidence, feeds,
    jobs::work_on,
    manager::{self, Heartbeat},
    ranges,
    saving::Saving,
    signals::{Signals, StopSignals},
    sockets::ControlSocket,
};
use crate::{clock::Alarm, http::Site};

/// Maximum time for the work in progress after the daemon was asked to end.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Maximum time for the answers in progress after that, to HTTP requests and to clients.
/// The HTTP server itself has a shorter limit.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

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
    let mut answering = endpoints::serve(&core, &site, &stopped).await;
    let clients = clients::serve(Arc::clone(&core), control, detached, stopped);
    answering.push(tokio::spawn(clients));
    evidence::start(&core);
    ranges::start(&core);
    alerts::start(&core);
    let mut background = vec![
        tokio::spawn(feeds::run(Arc::clone(&core))),
        tokio::spawn(devices::run(Arc::clone(&core))),
        tokio::spawn(doctor::run(Arc::clone(&core))),
    ];
    info!(
        "ready: commands are answered at {}",
        crate::printable::path(&core.settings().socket)
    );
    manager::ready(&core);
    let (stop_signals, hang_up) = signals.split();
    let end = match Events::new(Arc::clone(&core), alarm, hang_up) {
        Ok(events) => {
            background.push(tokio::spawn(events.watching()));
            Ok(main_loop(&core, events, stop_signals, when_detached).await)
        }
        Err(error) => Err(error),
    };
    manager::stopping(match &end {
        Ok(DaemonEnd::Detached) => "detached",
        Ok(DaemonEnd::Stopped) | Err(_) => "the filter and its counters stay in force",
    });
    for task in background {
        task.abort();
    }
    if timeout(LAST_WORK, capture::end(&core)).await.is_err() {
        warn!("the end of the capture takes too long: the daemon ends without it");
    }
    let recorded = blocking(&core, |core| {
        core.evidence().drain();
        core.evidence().end();
        Ok::<_, Infallible>(())
    });
    if timeout(LAST_WORK, recorded).await.is_err() {
        warn!("the evidence store takes too long: the daemon ends without it");
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

/// Waits for the end of the job. Never returns if there is none.
async fn end_of(job: &mut Option<Job>) {
    match job {
        Some(job) => job.await,
        None => std::future::pending().await,
    }
}
