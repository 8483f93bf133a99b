//! Serves the clients of the control socket.

use std::{convert::Infallible, io, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::{self, Duration},
};
use tracing::{debug, error, info};

use super::{
    alerts,
    blocking::blocking,
    capture,
    core::{Core, Freshness, ReloadOutcome, Trigger},
    feeds,
    jobs::reload,
    sockets::ControlSocket,
};
use crate::{
    control::{
        Answer, AskedFlows, AskedReport, CLIENT_TIME, ChangeRequest, Changed, LONGEST_CONFIRM,
        MAX_ANSWERS, MAX_CLIENTS, MAX_DEVICES, MAX_FLOWS, MAX_REQUEST, MarkRequest, Request,
    },
    evidence::published::Published,
    quoted,
    store::AskedProof,
};

/// The answer to a user who may not change the filter.
const NOT_ALLOWED: &str = "only root and the user that runs the daemon may change the filter";

/// Serves clients until `stopped` is true, then completes the answers in progress. If a
/// client takes too long then, the caller aborts this task.
pub(super) async fn serve(
    core: Arc<Core>,
    socket: ControlSocket,
    detached: mpsc::Sender<()>,
    mut stopped: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
    let answers = Arc::new(Semaphore::new(MAX_ANSWERS));
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(_ended) = clients.join_next() => continue,
            accepted = accept(&socket, &slots) => accepted,
        };
        let Some((client, slot)) = accepted else {
            break;
        };
        let (core, detached) = (Arc::clone(&core), detached.clone());
        let answers = Arc::clone(&answers);
        clients.spawn(async move {
            if let Err(error) = serve_client(&core, client, &answers, &detached).await {
                debug!("a client of the control socket: {error}");
            }
            drop(slot);
        });
    }
    drop(socket);
    while clients.join_next().await.is_some() {}
}

/// Waits for a free slot, then for a client.
async fn accept(
    socket: &ControlSocket,
    slots: &Arc<Semaphore>,
) -> Option<(UnixStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    loop {
        match socket.0.listener.accept().await {
            Ok((client, _)) => return Some((client, slot)),
            Err(error) => {
                // Most likely the process has no free descriptor. Clients that end free
                // theirs.
                error!("accept a client of the control socket: {error}");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_client(
    core: &Arc<Core>,
    mut client: UnixStream,
    answers: &Semaphore,
    detached: &mpsc::Sender<()>,
) -> io::Result<()> {
    let may_change = may_change(client.peer_cred()?.uid());
    let (line, rest) = time::timeout(CLIENT_TIME, read_request(&mut client)).await??;
    let request = Request::from_line(&line);
    if let Ok(Request::Capture(asked)) = request {
        return if may_change {
            capture::serve(core, client, rest, asked).await
        } else {
            write_answer(&mut client, &Answer::Refused(NOT_ALLOWED.to_owned())).await
        };
    }
    // Takes a turn only after the request has arrived, so that a client that sends
    // nothing does not block others.
    let _turn = answers.acquire().await.map_err(io::Error::other)?;
    let answer = match request {
        Ok(request) => answer(core, request, may_change).await,
        Err(error) => Answer::Refused(format!("invalid request: {error}")),
    };
    let answer = match answer {
        Answer::Refused(why) => Answer::Refused(quoted::message(why)),
        answer => answer,
    };
    let written = write_answer(&mut client, &answer).await;
    // Even if the client has hung up: a daemon without a filter must end.
    if matches!(answer, Answer::Detached(_)) {
        // The channel is full if another client asked for the same.
        let _ = detached.try_send(());
        // The connection is open as long as the process: its end tells the client that
        // another daemon can start.
        std::mem::forget(client);
    }
    written
}

pub(super) async fn write_answer(
    client: &mut (impl AsyncWrite + Unpin),
    answer: &Answer,
) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(answer)?;
    bytes.push(b'\n');
    time::timeout(CLIENT_TIME, client.write_all(&bytes)).await?
}

/// Returns true if a user may change the filter: root, or the user as which the daemon
/// runs. That user sends the request when a service reloads itself, and has full
/// control over the daemon anyway.
fn may_change(user: u32) -> bool {
    user == 0 || user == nix::unistd::geteuid().as_raw()
}

/// Reads the request. Also returns the bytes after it that were read with it.
async fn read_request(client: &mut UnixStream) -> io::Result<(String, Vec<u8>)> {
    let mut line = String::new();
    let mut reader = BufReader::new(client.take(MAX_REQUEST as u64));
    reader.read_line(&mut line).await?;
    Ok((line, reader.buffer().to_vec()))
}

async fn answer(core: &Arc<Core>, request: Request, may_change: bool) -> Answer {
    if request.changes() && !may_change {
        return Answer::Refused(NOT_ALLOWED.to_owned());
    }
    match request {
        Request::Status {} => status(core).await,
        Request::Who {} => Answer::Who(Box::new(core.who())),
        Request::FeedList {} => Answer::Feeds(core.feed_snapshots()),
        Request::Reload { confirm } => {
            let trigger = confirm.map_or(Trigger::Request, |seconds| {
                Trigger::Confirm(Duration::from_secs(seconds.min(LONGEST_CONFIRM.as_secs())))
            });
            let outcome = reload(core, trigger).await;
            core.tell_reloaded();
            match outcome {
                Ok(ReloadOutcome::Tried(reloaded)) => Answer::Reload(reloaded),
                Ok(ReloadOutcome::Detached) => Answer::Refused("the filter is detached".to_owned()),
                Ok(ReloadOutcome::Unchanged) => {
                    Answer::Refused("the daemon knows no policies that it could load".to_owned())
                }
                Err(error) => Answer::Refused(error),
            }
        }
        Request::Confirm {} => {
            let answer = confirm(core).await;
            core.tell_reloaded();
            answer
        }
        Request::Detach {} => detach(core).await,
        Request::Change(request) => {
            let answer = change(core, request).await;
            core.tell_reloaded();
            answer
        }
        Request::Flows(asked) => flows(core, asked).await,
        Request::Events { after, about } => events(core, after, about).await,
        Request::Devices(asked) => devices(core, asked).await,
        Request::Report(asked) => report(core, asked).await,
        Request::Prove(asked) => prove(core, asked).await,
        Request::Mark(request) => mark(core, request).await,
        Request::Published(published) => note_published(core, published).await,
        // The caller serves it, because its answer takes as long as the capture.
        Request::Capture(_) => Answer::Refused("a capture is no single answer".to_owned()),
        Request::Data {} => data(core).await,
        Request::Doctor {} => {
            let freshness = if may_change {
                Freshness::New
            } else {
                Freshness::Shared
            };
            doctor(core, freshness).await
        }
        Request::Canary { seconds } => canary(core, seconds).await,
        Request::CanaryEnd {} => end_canary(core).await,
        Request::Forget { device } => forget(core, device).await,
        Request::NotifyTest { target } => notify_test(core, target).await,
        Request::PageLogin {} => match blocking(core, Core::new_link).await {
            Ok(link) => Answer::PageLink(link),
            Err(error) => Answer::Refused(error),
        },
        Request::PageLogout {} => Answer::PageEnded(core.end_sessions()),
        Request::FeedFetch { feed } => feeds::fetch_now(core, feed.as_deref()).await,
        Request::FeedAccept { feed, sha256 } => feeds::accept(core, &feed, sha256).await,
    }
}

async fn confirm(core: &Arc<Core>) -> Answer {
    match blocking(core, Core::confirm).await {
        Ok(confirmed) => {
            core.evidence().drain_soon();
            info!("generation {} is confirmed", confirmed.generation);
            Answer::Confirmed(confirmed)
        }
        Err(error) => Answer::Refused(error),
    }
}

async fn change(core: &Arc<Core>, request: ChangeRequest) -> Answer {
    match blocking(core, move |core| core.change(&request)).await {
        Ok(changed) => {
            log_change(&changed);
            Answer::Changed(Box::new(changed))
        }
        Err(error) => Answer::Refused(error),
    }
}

async fn flows(core: &Arc<Core>, mut asked: AskedFlows) -> Answer {
    asked.limit = asked.limit.min(MAX_FLOWS);
    match blocking(core, move |core| core.flows(&asked)).await {
        Ok(flows) => Answer::Flows(Box::new(flows)),
        Err(error) => Answer::Refused(error),
    }
}

async fn events(core: &Arc<Core>, after: Option<i64>, mut about: AskedFlows) -> Answer {
    about.limit = about.limit.min(MAX_FLOWS);
    match blocking(core, move |core| core.events(after, &about)).await {
        Ok(events) => Answer::Events(Box::new(events)),
        Err(error) => Answer::Refused(error),
    }
}

async fn devices(core: &Arc<Core>, mut asked: AskedFlows) -> Answer {
    asked.limit = asked.limit.min(MAX_DEVICES);
    match blocking(core, move |core| core.known_devices(&asked)).await {
        Ok(devices) => Answer::Devices(Box::new(devices)),
        Err(error) => Answer::Refused(error),
    }
}

async fn report(core: &Arc<Core>, asked: AskedReport) -> Answer {
    match blocking(core, move |core| core.report(&asked)).await {
        Ok(report) => Answer::Report(Box::new(report)),
        Err(error) => Answer::Refused(error),
    }
}

async fn prove(core: &Arc<Core>, asked: AskedProof) -> Answer {
    match blocking(core, move |core| core.prove(asked)).await {
        Ok(proven) => Answer::Proven(Box::new(proven)),
        Err(error) => Answer::Refused(error),
    }
}

async fn mark(core: &Arc<Core>, request: MarkRequest) -> Answer {
    match blocking(core, move |core| core.mark(request)).await {
        Ok(marked) => {
            info!("by command: a mark at {}", marked.at);
            Answer::Marked(Box::new(marked))
        }
        Err(error) => Answer::Refused(error),
    }
}

async fn note_published(core: &Arc<Core>, published: Published) -> Answer {
    match blocking(core, move |core| core.published(published)).await {
        Ok(()) => Answer::Published {},
        Err(error) => Answer::Refused(error),
    }
}

async fn data(core: &Arc<Core>) -> Answer {
    match blocking(core, |core| Ok::<_, Infallible>(core.range_listing())).await {
        Ok(listing) => Answer::Data(Box::new(listing)),
        Err(error) => Answer::Refused(error),
    }
}

async fn notify_test(core: &Arc<Core>, target: Option<String>) -> Answer {
    match blocking(core, move |core| alerts::test(core, target.as_deref())).await {
        Ok(sent) => Answer::Notified(sent),
        Err(error) => Answer::Refused(error),
    }
}

async fn doctor(core: &Arc<Core>, freshness: Freshness) -> Answer {
    let look = move |core: &Core| Ok::<_, Infallible>(core.diagnose(freshness));
    match blocking(core, look).await {
        Ok(diagnosis) => Answer::Diagnosis(Box::new(diagnosis)),
        Err(error) => Answer::Refused(error),
    }
}

async fn canary(core: &Arc<Core>, seconds: u64) -> Answer {
    match blocking(core, move |core| core.begin_canary(seconds)).await {
        Ok(canary) => {
            info!("by command: a canary is counted for at most {seconds} s");
            core.tell_reloaded();
            Answer::Canary(canary)
        }
        Err(error) => Answer::Refused(error),
    }
}

async fn end_canary(core: &Arc<Core>) -> Answer {
    match blocking(core, Core::end_canary).await {
        Ok(()) => {
            info!("by command: the canary ended");
            core.tell_reloaded();
            Answer::CanaryEnded {}
        }
        Err(error) => Answer::Refused(error),
    }
}

async fn forget(core: &Arc<Core>, device: String) -> Answer {
    match blocking(core, move |core| core.forget(&device)).await {
        Ok(forgotten) => {
            info!("by command: {} devices are forgotten", forgotten.devices);
            Answer::Forgotten(forgotten)
        }
        Err(error) => Answer::Refused(error),
    }
}

/// Logs a change by a command. Names devices only at the debug level, because they are
/// private.
fn log_change(changed: &Changed) {
    let Changed { change, undone, .. } = changed;
    let done = if *undone { "undone" } else { "in force" };
    let whom = match &change.device {
        Some(_) => " for some devices",
        None => "",
    };
    let until = change
        .until
        .as_ref()
        .map_or_else(String::new, |until| format!(", until {until}"));
    info!("by command: `{}`{whom} is {done}{until}", change.command);
    if let Some(device) = &change.device {
        debug!("by command: `{}` is for {device}", change.command);
    }
}

async fn status(core: &Arc<Core>) -> Answer {
    match blocking(core, Core::status).await {
        Ok(status) => Answer::Status(Box::new(status)),
        Err(error) => Answer::Refused(error),
    }
}

async fn detach(core: &Arc<Core>) -> Answer {
    match blocking(core, Core::detach).await {
        Ok(interfaces) => {
            info!("detached from {}", interfaces.join(", "));
            Answer::Detached(interfaces)
        }
        Err(error) => Answer::Refused(error),
    }
}
