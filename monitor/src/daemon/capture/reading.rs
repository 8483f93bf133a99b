//! The thread of a capture: ring buffer → blocks → queue.

use std::{
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::{client::Outgoing, file::CaptureBlocks};
use crate::{
    control::capture::{KIND_BLOCKS, KIND_END, KIND_NOTE, KIND_PROGRESS, json_message, message},
    daemon::core::CaptureSession,
    error_text::error_text,
    evidence::captured::{CaptureEnd, Captured},
};

/// Packets that are read between two looks at the end of the capture.
const BURST: usize = 1024;

/// Time between two looks at the end of the capture.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// Time until the thread looks again for room in a full queue. The ring buffer holds at least
/// 20 ms of packets at 1 Gbit/s.
const FULL: Duration = Duration::from_millis(5);

/// Time between two reports of the progress. It is shorter than the lease.
const REPORT: Duration = Duration::from_secs(1);

/// Reads the packets of a capture until it ends, and puts the messages for the client into the
/// queue.
pub(super) fn run(
    session: CaptureSession,
    messages: mpsc::Sender<Outgoing>,
    ending: oneshot::Sender<()>,
) -> Captured {
    let mut reading = Reading {
        blocks: CaptureBlocks::new(&session),
        rest: Rest::new(session.rest()),
        session,
        queue: Queue {
            messages,
            hash: Sha256::new(),
        },
    };
    let end = reading.until_end();
    reading.rest.look(&reading.session, &reading.queue);
    if let Err(error) = reading.session.end_copying() {
        warn!("the filter still copies packets, the daemon tries again: {error}");
    }
    let _ = ending.send(());
    reading.finish(end)
}

struct Reading {
    session: CaptureSession,
    blocks: CaptureBlocks,
    rest: Rest,
    queue: Queue,
}

impl Reading {
    /// Reads until there is a reason to end.
    fn until_end(&mut self) -> CaptureEnd {
        self.report();
        let mut reported = Instant::now();
        self.flush();
        loop {
            let waited = if self.blocks.has_room() {
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
            if self.blocks.has_room() {
                self.read_burst();
                self.flush();
            }
            self.rest.look(&self.session, &self.queue);
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                self.report();
            }
            if self.blocks.is_full() {
                return CaptureEnd::Size;
            }
            if let Some(end) = self.session.end() {
                return end;
            }
        }
    }

    /// Reads packets that are in the ring buffer. Returns their number.
    fn read_burst(&mut self) -> usize {
        let CaptureSession { reader, names, .. } = &mut self.session;
        let (blocks, queue) = (&mut self.blocks, &mut self.queue);
        reader.read(BURST, |packet| {
            blocks.put(&packet, names, |chunk, packets| {
                queue.try_send(chunk, packets)
            })
        })
    }

    /// Sends the blocks that wait, if the queue has room.
    fn flush(&mut self) {
        if self.queue.messages.is_closed() {
            self.session.shared.stop(CaptureEnd::ClientGone);
        }
        let queue = &mut self.queue;
        self.blocks
            .flush(|chunk, packets| queue.try_send(chunk, packets));
    }

    /// Lets the programs copy on, publishes the progress, and tells the client if the queue has
    /// room.
    fn report(&mut self) {
        if let Err(error) = self.session.reader.renew_lease() {
            warn!("{error}");
        }
        self.count_lost();
        let progress = self.blocks.progress();
        self.session.shared.publish(progress);
        if let Ok(message) = json_message(KIND_PROGRESS, &progress) {
            let _ = self.queue.tell(message);
        }
    }

    fn count_lost(&mut self) {
        match self.session.reader.lost() {
            Ok(lost) => self.blocks.set_lost_by_kernel(lost),
            Err(error) => warn!("{error}"),
        }
    }

    /// Reads the rest, and writes the end of the file. Waits for the client.
    fn finish(mut self, end: CaptureEnd) -> Captured {
        // Only after an error do programs still write. Then one full ring buffer is enough.
        let most = monitor_common::capture::CAPTURE_RING_BYTES as usize / BURST;
        for _ in 0..most {
            let number = self.read_burst();
            let queue = &mut self.queue;
            self.blocks
                .flush(|chunk, packets| queue.send(chunk, packets));
            if number == 0 {
                break;
            }
        }
        self.count_lost();
        let rested = self.rest.seconds();
        let captured = self.blocks.finish(end, rested, &mut self.session);
        self.session.shared.publish(self.blocks.progress());
        let queue = &mut self.queue;
        self.blocks
            .flush(|chunk, packets| queue.send(chunk, packets));
        let captured = Captured {
            sha256: Some(hex::encode(self.queue.hash.finalize_reset())),
            ..captured
        };
        if let Ok(message) = json_message(KIND_END, &captured) {
            let message = Outgoing::without_blocks(message);
            let _ = self.queue.messages.blocking_send(message);
        }
        captured
    }
}

/// The queue of messages for the client, and the hash of all blocks that were put into it.
struct Queue {
    messages: mpsc::Sender<Outgoing>,
    hash: Sha256,
}

impl Queue {
    /// Puts blocks into the queue. Returns false if it has no room.
    fn try_send(&mut self, chunk: &[u8], packets: u64) -> bool {
        let Ok(room) = self.messages.try_reserve() else {
            return false;
        };
        room.send(Outgoing::blocks(chunk, packets));
        self.hash.update(chunk);
        true
    }

    /// Puts blocks into the queue, and waits for room. Blocks for a client that is gone vanish:
    /// the packets in them count as not sent.
    fn send(&mut self, chunk: &[u8], packets: u64) -> bool {
        let _ = self
            .messages
            .blocking_send(Outgoing::blocks(chunk, packets));
        self.hash.update(chunk);
        true
    }

    /// Puts a message without blocks into the queue. Returns false if it has no room.
    fn tell(&self, message: Vec<u8>) -> bool {
        let message = Outgoing::without_blocks(message);
        self.messages.try_send(message).is_ok()
    }
}

impl Outgoing {
    fn blocks(chunk: &[u8], packets: u64) -> Self {
        Self {
            bytes: message(KIND_BLOCKS, chunk),
            packets,
            blocks: chunk.len() as u64,
        }
    }

    fn without_blocks(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            packets: 0,
            blocks: 0,
        }
    }
}

/// How long the policy matched nothing, because it rested.
struct Rest {
    now: Option<&'static str>,
    looked: Instant,
    length: Duration,
    /// What the client knows.
    told: Option<&'static str>,
}

impl Rest {
    /// The answer to the client says `now`.
    fn new(now: Option<&'static str>) -> Self {
        Self {
            now,
            looked: Instant::now(),
            length: Duration::ZERO,
            told: now,
        }
    }

    /// Looks again, and tells the client about a change.
    fn look(&mut self, session: &CaptureSession, queue: &Queue) {
        let since = self.looked;
        self.looked = Instant::now();
        if self.now.is_some() {
            self.length += self.looked - since;
        }
        self.now = session.rest();
        if self.now == self.told {
            return;
        }
        let note = match self.now {
            Some(rest) => format!(
                "{} rests from now on ({rest}): no packet is captured meanwhile",
                session.policy
            ),
            None => format!(
                "{} is in force again: its packets are captured",
                session.policy
            ),
        };
        if queue.tell(message(KIND_NOTE, note.as_bytes())) {
            self.told = self.now;
        }
    }

    /// Seconds of rest until now, begun ones included.
    fn seconds(&self) -> u64 {
        let seconds = self.length.as_secs();
        if self.length.subsec_nanos() > 0 {
            seconds + 1
        } else {
            seconds
        }
    }
}
