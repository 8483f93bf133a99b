//! Serves a client of a capture: reads copied packets on a thread of its own, and sends them as
//! blocks of a pcapng file.
//!
//! ```text
//! ring buffer ─► thread ─► queue ─► client
//! ```
//!
//! The queue is bounded. If the client reads too slowly, the queue becomes full, then the ring
//! buffer. The kernel program counts packets that find no room there. The filter never waits.

mod file;

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

use self::file::CaptureFile;
use super::{
    blocking::blocking,
    clients::write_answer,
    core::{CaptureSession, CaptureShared, Core},
};
use crate::{
    control::{
        Answer, AskedCapture, MAX_REQUEST,
        capture::{
            CaptureStored, FromClient, KIND_BLOCKS, KIND_END, KIND_PROGRESS, KIND_STORED,
            json_message, message,
        },
    },
    error_text::error_text,
    evidence::captured::{CaptureEnd, Captured},
    quoted,
};

/// Messages that wait for the client. Each has at most 64 KiB, or one frame.
const QUEUE: usize = 32;

/// Packets that are read between two looks at the end of the capture.
const BURST: usize = 1024;

/// Time between two looks at the end of the capture.
const LOOK: Duration = Duration::from_millis(100);

/// Time until the thread looks again for room in a full queue. The ring buffer holds at least
/// 20 ms of packets at 1 Gbit/s.
const FULL: Duration = Duration::from_millis(5);

/// Time between two reports of the progress.
const REPORT: Duration = Duration::from_secs(1);

/// Serves one client until its capture ends.
pub(super) async fn serve(
    core: &Arc<Core>,
    mut client: UnixStream,
    asked: AskedCapture,
) -> io::Result<()> {
    let _serves = core.serves_capture();
    let begun = blocking(core, move |core| core.begin_capture(&asked)).await;
    core.tell_reloaded();
    let (session, view) = match begun {
        Ok(begun) => begun,
        Err(why) => {
            let why = quoted::message(why);
            return write_answer(&mut client, &Answer::Refused(why)).await;
        }
    };
    let kind = if view.payload { "frames" } else { "headers" };
    info!(
        "by command: a capture of {} ({kind}) until {}",
        view.policy, view.ends
    );
    let shared = Arc::clone(&session.shared);
    let answer = Answer::Capturing(Box::new(view));
    if write_answer(&mut client, &answer).await.is_err() {
        shared.stop(CaptureEnd::ClientGone);
    }
    let (from_client, to_client) = client.into_split();
    let mut served = Served::start(core, session, to_client)?;
    let mut lines = Lines::new(from_client);
    let mut written = None;
    let captured = loop {
        tokio::select! {
            line = lines.next(), if !lines.ended => match line {
                Some(FromClient::Stop {}) => shared.stop(CaptureEnd::Asked),
                // The client may be faster than the task that waits for the thread.
                Some(FromClient::Written { sha256 }) => written = Some(sha256),
                None => shared.stop(CaptureEnd::ClientGone),
            },
            captured = served.captured() => break captured,
        }
    };
    core.tell_reloaded();
    core.evidence().drain_soon();
    let Some(captured) = captured else {
        return Err(io::Error::other("the thread of the capture ended early"));
    };
    let to_client = served.rest().await;
    if to_client.is_some() && written.is_none() {
        written = lines.written(shared.patience()).await;
    }
    let sha256 = written.flatten().filter(|sha256| is_sha256(sha256));
    let captured = Captured { sha256, ..captured };
    finish(core, captured, to_client, shared.patience()).await
}

/// Waits until the daemon has ended the capture that runs, and stored its event.
pub(super) async fn end(core: &Arc<Core>) {
    core.close_captures();
    while core.is_serving_captures() {
        sleep(LOOK / 2).await;
    }
}

/// Stores the event of a capture that ended, and tells the client.
async fn finish(
    core: &Arc<Core>,
    captured: Captured,
    to_client: Option<OwnedWriteHalf>,
    patience: Duration,
) -> io::Result<()> {
    info!("{captured}");
    let stored = blocking(core, move |core| {
        let stored = core.evidence().capture(captured);
        stored.map_err(io::Error::other)
    });
    let stored = CaptureStored {
        error: stored.await.err(),
    };
    if let Some(mut to_client) = to_client {
        let bytes = json_message(KIND_STORED, &stored)?;
        timeout(patience, to_client.write_all(&bytes)).await??;
    }
    Ok(())
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The thread of a capture, and the task that sends its messages.
struct Served {
    /// Sent when the capture ended in the kernel. The rest of the file may still be unsent.
    ending: Option<oneshot::Receiver<()>>,
    /// Sent when all messages are in the queue.
    ended: oneshot::Receiver<Captured>,
    sending: JoinHandle<Option<OwnedWriteHalf>>,
    shared: Arc<CaptureShared>,
}

impl Served {
    fn start(
        core: &Arc<Core>,
        session: CaptureSession,
        to_client: OwnedWriteHalf,
    ) -> io::Result<Self> {
        let (messages, queue) = mpsc::channel(QUEUE);
        let (tell_ending, ending) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        let for_thread = Arc::clone(core);
        let shared = Arc::clone(&session.shared);
        let thread = thread::Builder::new().name("capture".to_owned());
        let spawned = thread.spawn(move || {
            let captured = run(&for_thread, session, messages, tell_ending);
            let _ = tell_ended.send(captured);
        });
        if let Err(error) = spawned {
            // The session is gone, so no thread ends the capture.
            if let Err(error) = core.end_capture() {
                error!("end a capture: {error}");
            }
            return Err(error);
        }
        Ok(Self {
            ending: Some(ending),
            ended,
            sending: tokio::spawn(send(queue, to_client)),
            shared,
        })
    }

    /// Waits for the end of the capture. If the client does not read the rest in time, gives up
    /// the rest. `None` if the thread panicked. Dropping the future loses nothing.
    async fn captured(&mut self) -> Option<Captured> {
        if let Some(ending) = &mut self.ending {
            let _ = ending.await;
            self.ending = None;
        }
        let patience = self.shared.patience();
        if let Ok(captured) = timeout(patience, &mut self.ended).await {
            return captured.ok();
        }
        // Without a reader of the queue, the thread does not wait for room any more.
        self.sending.abort();
        let captured = (&mut self.ended).await.ok();
        captured.map(|captured| Captured {
            end: CaptureEnd::ClientGone,
            ..captured
        })
    }

    /// Waits until the client has read everything. `None` if it did not.
    async fn rest(self) -> Option<OwnedWriteHalf> {
        let abort = self.sending.abort_handle();
        let sent = timeout(self.shared.patience(), self.sending).await;
        if sent.is_err() {
            abort.abort();
        }
        sent.ok()?.ok()?
    }
}

/// Sends the messages to the client. `None` if the client is gone.
async fn send(
    mut queue: mpsc::Receiver<Vec<u8>>,
    mut to_client: OwnedWriteHalf,
) -> Option<OwnedWriteHalf> {
    while let Some(message) = queue.recv().await {
        to_client.write_all(&message).await.ok()?;
    }
    Some(to_client)
}

/// The lines of JSON from the client.
struct Lines {
    reader: BufReader<tokio::io::Take<OwnedReadHalf>>,
    line: String,
    ended: bool,
}

impl Lines {
    fn new(from_client: OwnedReadHalf) -> Self {
        Self {
            reader: BufReader::new(from_client.take(MAX_REQUEST as u64)),
            line: String::new(),
            ended: false,
        }
    }

    /// The next line; `None` at the end, or if it is not one of a client. Dropping the future
    /// keeps what was read.
    async fn next(&mut self) -> Option<FromClient> {
        let read = self.reader.read_line(&mut self.line).await;
        let parsed = match read {
            Ok(1..) => serde_json::from_str(&self.line).ok(),
            Ok(0) | Err(_) => None,
        };
        self.line.clear();
        self.ended = parsed.is_none();
        parsed
    }

    /// Waits until the client has written its file. Returns what it states of the SHA-256;
    /// `None` if the client is gone. A large file takes its time to reach the disk.
    async fn written(&mut self, patience: Duration) -> Option<Option<String>> {
        while !self.ended {
            let line = timeout(patience, self.next()).await.ok()?;
            if let Some(FromClient::Written { sha256 }) = line {
                return Some(sha256);
            }
        }
        None
    }
}

/// Reads the packets of a capture until it ends, and puts the messages for the client into the
/// queue.
fn run(
    core: &Core,
    session: CaptureSession,
    messages: mpsc::Sender<Vec<u8>>,
    ending: oneshot::Sender<()>,
) -> Captured {
    let mut capture = Reading {
        file: CaptureFile::new(&session),
        session,
        messages,
    };
    let end = capture.until_end(core);
    if let Err(error) = core.end_capture() {
        warn!("the filter still copies packets, the daemon tries again: {error}");
    }
    let _ = ending.send(());
    capture.finish(end)
}

struct Reading {
    session: CaptureSession,
    file: CaptureFile,
    messages: mpsc::Sender<Vec<u8>>,
}

impl Reading {
    /// Reads until there is a reason to end.
    fn until_end(&mut self, core: &Core) -> CaptureEnd {
        let mut reported = std::time::Instant::now();
        self.flush();
        loop {
            let waited = if self.file.has_room() {
                self.session.reader.wait(LOOK)
            } else {
                // The client is slow. Packets wait in the ring buffer.
                thread::sleep(FULL);
                Ok(())
            };
            if let Err(error) = waited.map_err(|error| error_text(&error)) {
                error!("read the packets of a capture: {error}");
                return CaptureEnd::Failed;
            }
            self.flush();
            if self.file.has_room() {
                self.read_burst();
                self.flush();
            }
            if reported.elapsed() >= REPORT {
                reported = std::time::Instant::now();
                self.report();
            }
            if self.file.is_full() {
                return CaptureEnd::Size;
            }
            if let Some(end) = self.session.end(core) {
                return end;
            }
        }
    }

    /// Reads packets that are in the ring buffer. Returns their number.
    fn read_burst(&mut self) -> usize {
        let CaptureSession { reader, names, .. } = &mut self.session;
        let (file, messages) = (&mut self.file, &self.messages);
        reader.read(BURST, |packet| {
            file.put(&packet, names, |chunk| try_send(messages, chunk))
        })
    }

    /// Sends the blocks that wait, if the queue has room.
    fn flush(&mut self) {
        if self.messages.is_closed() {
            self.session.shared.stop(CaptureEnd::ClientGone);
        }
        let messages = &self.messages;
        self.file.flush(|chunk| try_send(messages, chunk));
    }

    /// Publishes the progress, and tells the client if the queue has room.
    fn report(&mut self) {
        match self.session.reader.lost() {
            Ok(lost) => self.file.set_lost_by_kernel(lost),
            Err(error) => warn!("{error}"),
        }
        let progress = self.file.progress();
        self.session.shared.publish(progress);
        if let Ok(message) = json_message(KIND_PROGRESS, &progress) {
            let _ = self.messages.try_send(message);
        }
    }

    /// Reads the rest, and writes the end of the file. Waits for the client.
    fn finish(mut self, end: CaptureEnd) -> Captured {
        // Only after an error do programs still write. Then one full ring buffer is enough.
        let most = monitor_common::capture::CAPTURE_RING_BYTES as usize / BURST;
        for _ in 0..most {
            let number = self.read_burst();
            let messages = &self.messages;
            self.file.flush(|chunk| send_now(messages, chunk));
            if number == 0 {
                break;
            }
        }
        self.report();
        let captured = self.file.finish(end, &mut self.session);
        let messages = &self.messages;
        self.file.flush(|chunk| send_now(messages, chunk));
        if let Ok(message) = json_message(KIND_END, &captured) {
            let _ = messages.blocking_send(message);
        }
        captured
    }
}

/// Puts blocks into the queue. Returns false if it has no room.
fn try_send(messages: &mpsc::Sender<Vec<u8>>, chunk: &[u8]) -> bool {
    match messages.try_reserve() {
        Ok(room) => {
            room.send(message(KIND_BLOCKS, chunk));
            true
        }
        Err(_) => false,
    }
}

/// Puts blocks into the queue, and waits for room. Blocks for a client that is gone vanish.
fn send_now(messages: &mpsc::Sender<Vec<u8>>, chunk: &[u8]) -> bool {
    let _ = messages.blocking_send(message(KIND_BLOCKS, chunk));
    true
}
