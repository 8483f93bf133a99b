//! Serves a client of a capture: reads copied packets on a thread of its own, and sends them as
//! blocks of a pcapng file.
//!
//! ```text
//! ring buffer ─► thread ─► queue ─► client
//! ```
//!
//! The queue is bounded. If the client reads too slowly, the queue becomes full, then the ring
//! buffer. The kernel program counts packets that find no room there. The filter never waits.
//!
//! The daemon makes every byte of the file, and its SHA-256. The client only writes the bytes,
//! reads its file again, and says whether both are the same.

mod client;
mod file;
mod reading;

use std::{future::Future, io, sync::Arc, thread, time::Duration};

use tokio::{
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use self::{
    client::{Lines, Outgoing, send, write_all},
    reading::LOOK,
};
use super::{
    blocking::blocking,
    clients::write_answer,
    core::{CaptureSession, CaptureShared, Core},
};
use crate::{
    control::{
        Answer, AskedCapture, RunningCapture,
        capture::{CaptureStored, ClientFile, FromClient, KIND_STORED, json_message},
    },
    evidence::{
        captured::{CaptureEnd, CaptureFile, CaptureLosses, Captured, content},
        event::Happening,
    },
    quoted,
};

/// Messages that wait for the client. Each has at most 64 KiB, or one frame.
const QUEUE: usize = 32;

/// Bytes per second that the disk of every client takes.
const SLOW_DISK: u64 = 2 << 20;

/// How long a client may take for each step after the end of its capture.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long such a step may still take once the daemon ends. There are three steps at most, and
/// the daemon waits five seconds for the event.
const LAST_STEP: Duration = Duration::from_secs(1);

/// Serves one client until its capture ends. `rest` are bytes that the client sent after its
/// request.
pub(super) async fn serve(
    core: &Arc<Core>,
    mut client: UnixStream,
    rest: Vec<u8>,
    asked: AskedCapture,
) -> io::Result<()> {
    let _serves = core.serves_capture();
    let of_session = Arc::clone(core);
    let session = blocking(core, move |_| of_session.begin_capture(&asked)).await;
    core.tell_reloaded();
    let (session, mut view) = match session {
        Ok(session) => session,
        Err(why) => {
            let why = quoted::message(why);
            return write_answer(&mut client, &Answer::Refused(why)).await;
        }
    };
    info!(
        "by command: a capture of {} ({}) until {}",
        view.policy,
        content(view.payload),
        view.ends
    );
    let begin = Happening::CaptureBegin(session.begun());
    view.notes.extend(session.rest().map(|why| {
        format!(
            "{} rests now ({why}): its packets are captured from the time at which it is in force again",
            view.policy
        )
    }));
    // The ring buffer is read while the begin is stored.
    let mut served = Served::start(core, session)?;
    if let Err(why) = store(core, begin).await {
        warn!("the begin of a capture is not stored: {why}");
        view.notes.push(format!("no event is stored: {why}"));
    }
    let (from_client, to_client) = client.into_split();
    let mut lines = Lines::new(rest, from_client);
    let (captured, stated) = served.until_end(view, to_client, &mut lines).await;
    core.tell_reloaded();
    core.evidence().drain_soon();
    let Some(captured) = captured else {
        return Err(io::Error::other("the thread of the capture ended early"));
    };
    served.finish(captured, stated, lines).await
}

/// Waits until the daemon has ended the capture that runs, and stored its event.
pub(super) async fn end(core: &Arc<Core>) {
    core.close_captures();
    while core.is_serving_captures() {
        sleep(LOOK / 2).await;
    }
}

/// Waits for a step of a client. `None` if it takes longer than `limit`, or longer than
/// [`LAST_STEP`] while the daemon ends.
async fn in_time<F: Future>(core: &Core, limit: Duration, step: F) -> Option<F::Output> {
    let last = async {
        core.captures_closed().await;
        sleep(LAST_STEP).await;
    };
    tokio::select! {
        done = timeout(limit, step) => done.ok(),
        () = last => None,
    }
}

/// Stores an event. Returns as text why it is not stored.
async fn store(core: &Arc<Core>, what: Happening) -> Result<(), String> {
    let stored = blocking(core, move |core| {
        let stored = core.evidence().capture(what);
        stored.map_err(io::Error::other)
    });
    stored.await
}

/// The thread of a capture, and the task that sends its messages. Dropping the value ends both.
struct Served {
    core: Arc<Core>,
    /// Sent when the capture ended in the kernel. The rest of the file may still be unsent.
    ending: Option<oneshot::Receiver<()>>,
    /// Sent when all messages are in the queue.
    ended: oneshot::Receiver<Captured>,
    /// The messages, until a task sends them.
    queue: Option<mpsc::Receiver<Outgoing>>,
    sending: Option<JoinHandle<Option<OwnedWriteHalf>>>,
    shared: Arc<CaptureShared>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shared.stop(CaptureEnd::ClientGone);
        if let Some(sending) = &self.sending {
            sending.abort();
        }
    }
}

impl Served {
    /// Begins to read packets. Nothing is sent yet.
    fn start(core: &Arc<Core>, session: CaptureSession) -> io::Result<Self> {
        let (messages, queue) = mpsc::channel(QUEUE);
        let (tell_ending, ending) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        let shared = Arc::clone(&session.shared);
        let thread = thread::Builder::new().name("capture".to_owned());
        // If no thread starts, dropping the session ends the capture.
        thread.spawn(move || {
            let captured = reading::run(session, messages, tell_ending);
            let _ = tell_ended.send(captured);
        })?;
        Ok(Self {
            core: Arc::clone(core),
            ending: Some(ending),
            ended,
            queue: Some(queue),
            sending: None,
            shared,
        })
    }

    /// Answers the client, and sends messages until the capture has ended. Returns the capture,
    /// which is `None` if the thread panicked, and what the client stated of its file.
    async fn until_end(
        &mut self,
        view: RunningCapture,
        mut to_client: OwnedWriteHalf,
        lines: &mut Lines,
    ) -> (Option<Captured>, Option<ClientFile>) {
        let answer = Answer::Capturing(Box::new(view));
        if write_answer(&mut to_client, &answer).await.is_err() {
            self.shared.stop(CaptureEnd::ClientGone);
        }
        if let Some(queue) = self.queue.take() {
            let shared = Arc::clone(&self.shared);
            self.sending = Some(tokio::spawn(send(queue, to_client, shared)));
        }
        let shared = Arc::clone(&self.shared);
        let mut stated = None;
        loop {
            tokio::select! {
                line = lines.next(), if !lines.ended => match line {
                    Some(FromClient::Stop {}) => shared.stop(CaptureEnd::Asked),
                    Some(FromClient::Failed {}) => shared.stop(CaptureEnd::ClientFailed),
                    // The client may be faster than the task that waits for the thread.
                    Some(FromClient::Written(file)) => stated = Some(file),
                    None => shared.stop(CaptureEnd::ClientGone),
                },
                captured = self.captured() => return (captured, stated),
            }
        }
    }

    /// Waits for the end of the capture. If the client does not read the rest in time, gives up
    /// the rest. `None` if the thread panicked. Dropping the future loses nothing.
    async fn captured(&mut self) -> Option<Captured> {
        if let Some(ending) = &mut self.ending {
            let _ = ending.await;
            self.ending = None;
        }
        if let Some(captured) = in_time(&self.core, PATIENCE, &mut self.ended).await {
            return captured.ok();
        }
        // Without a reader of the queue, the thread does not wait for room any more.
        if let Some(sending) = &self.sending {
            sending.abort();
        }
        (&mut self.ended).await.ok()
    }

    /// Waits until the client has read everything. `None` if it did not.
    async fn rest(&mut self) -> Option<OwnedWriteHalf> {
        let sending = self.sending.as_mut()?;
        let sent = in_time(&self.core, PATIENCE, &mut *sending).await;
        if sent.is_none() {
            sending.abort();
            // The count of what was sent stands still after this.
            let _ = sending.await;
        }
        self.sending = None;
        sent?.ok()?
    }

    /// Completes the counts, stores the event of a capture that ended, and tells the client.
    async fn finish(
        mut self,
        captured: Captured,
        mut stated: Option<ClientFile>,
        mut lines: Lines,
    ) -> io::Result<()> {
        let to_client = self.rest().await;
        let captured = if to_client.is_some() {
            if stated.is_none() {
                let to_disk = Duration::from_secs(captured.bytes / SLOW_DISK);
                let written = in_time(&self.core, PATIENCE + to_disk, lines.written());
                stated = written.await.flatten();
            }
            with_file(captured, stated.as_ref())
        } else {
            without_the_unsent(captured, self.shared.sent())
        };
        info!("{captured}");
        let stored = CaptureStored {
            file: captured.file,
            error: store(&self.core, Happening::Capture(captured)).await.err(),
        };
        if let Some(mut to_client) = to_client {
            let bytes = json_message(KIND_STORED, &stored)?;
            let told = in_time(&self.core, PATIENCE, write_all(&mut to_client, &bytes));
            told.await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
        }
        Ok(())
    }
}

/// A capture that the client has read to its end.
fn with_file(captured: Captured, stated: Option<&ClientFile>) -> Captured {
    let sent = captured.sha256.as_deref();
    let file = sent.zip(stated).map(|(sent, file)| file.compared(sent));
    Captured {
        file: file.unwrap_or_default(),
        ..captured
    }
}

/// A capture whose client went before it had read everything. Packets that it did not take are
/// lost.
fn without_the_unsent(captured: Captured, (packets, bytes): (u64, u64)) -> Captured {
    let not_sent = captured.packets.saturating_sub(packets);
    Captured {
        packets,
        bytes,
        lost: captured.lost + not_sent,
        lost_by: CaptureLosses {
            not_sent,
            ..captured.lost_by
        },
        sha256: None,
        file: CaptureFile::Unknown,
        ..captured
    }
}
