//! A running capture: the state that the core shares with the capture's thread and client.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tracing::{error, warn};

use crate::{
    clock::{boot_time, from_the_second, to_the_second},
    control::capture::CaptureProgress,
    daemon::core::{Core, lock},
    datapath::{self, CaptureNames, CaptureReader},
    evidence::captured::{CaptureBegun, CaptureEnd},
    policy::PolicyName,
};

/// What the thread of a capture and the rest of the daemon share.
#[derive(Debug, Default)]
pub(in crate::daemon) struct CaptureShared {
    stop: Mutex<Option<CaptureEnd>>,
    packets: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    /// What the client has taken.
    sent_packets: AtomicU64,
    sent_bytes: AtomicU64,
}

/// A capture that has begun. Dropping the value ends it in the kernel.
pub(in crate::daemon) struct CaptureSession {
    /// Digits that no other capture has, the same in the events of the begin and of the end.
    pub(in crate::daemon) id: String,
    pub(in crate::daemon) policy: PolicyName,
    pub(in crate::daemon) payload: bool,
    /// The largest size of the file, bytes.
    pub(in crate::daemon) max: u64,
    pub(in crate::daemon) since: Timestamp,
    pub(super) ends: Timestamp,
    /// Time since boot at which the capture ends.
    pub(super) deadline: Duration,
    pub(in crate::daemon) reader: CaptureReader,
    pub(in crate::daemon) names: CaptureNames,
    pub(in crate::daemon) shared: Arc<CaptureShared>,
    pub(super) copying: Copying,
}

/// A generation that copies packets may be in force. Dropping the value ends that.
pub(super) struct Copying {
    core: Arc<Core>,
    has_ended: bool,
}

impl Copying {
    pub(super) fn begun(core: &Arc<Core>) -> Self {
        Self {
            core: Arc::clone(core),
            has_ended: false,
        }
    }

    fn end(&mut self) -> Result<(), datapath::Error> {
        self.has_ended = true;
        self.core.end_capture()
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        if !self.has_ended
            && let Err(error) = self.end()
        {
            error!("the filter still copies packets, the daemon tries again: {error}");
        }
    }
}

impl CaptureShared {
    /// Asks the thread to end the capture. The first reason counts.
    pub(in crate::daemon) fn stop(&self, end: CaptureEnd) {
        lock(&self.stop).get_or_insert(end);
    }

    /// Publishes what was captured until now.
    pub(in crate::daemon) fn publish(&self, progress: CaptureProgress) {
        self.packets.store(progress.packets, Ordering::Relaxed);
        self.bytes.store(progress.bytes, Ordering::Relaxed);
        self.lost.store(progress.lost, Ordering::Relaxed);
    }

    /// Adds what the client has taken.
    pub(in crate::daemon) fn add_sent(&self, packets: u64, bytes: u64) {
        self.sent_packets.fetch_add(packets, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Packets and bytes of the file that the client has taken.
    pub(in crate::daemon) fn sent(&self) -> (u64, u64) {
        let sent = [&self.sent_packets, &self.sent_bytes];
        let [packets, bytes] = sent.map(|sent| sent.load(Ordering::Relaxed));
        (packets, bytes)
    }

    pub(super) fn progress(&self) -> CaptureProgress {
        CaptureProgress {
            packets: self.packets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }
}

impl CaptureSession {
    /// What the store keeps of the begin.
    pub(in crate::daemon) fn begun(&self) -> CaptureBegun {
        CaptureBegun {
            capture: self.id.clone(),
            policy: self.policy.clone(),
            since: from_the_second(self.since),
            ends: to_the_second(self.ends),
            payload: self.payload,
            max: self.max,
        }
    }

    /// Puts a generation in force that copies no packet. When this returns, all copied packets
    /// are in the ring buffer. After an error, the daemon tries again soon.
    pub(in crate::daemon) fn end_copying(&mut self) -> Result<(), datapath::Error> {
        if let Err(error) = self.reader.renew_long_lease() {
            warn!("{error}");
        }
        self.copying.end()
    }

    /// Why the policy matches no packet now; `None` if it is in force.
    pub(in crate::daemon) fn rest(&self) -> Option<&'static str> {
        self.copying.core.rest_of(&self.policy)
    }

    /// Why the capture should end now, if it should.
    pub(in crate::daemon) fn end(&self) -> Option<CaptureEnd> {
        let asked = *lock(&self.shared.stop);
        let is_over = (boot_time() >= self.deadline).then_some(CaptureEnd::Time);
        asked.or(is_over).or_else(|| {
            let holds = self.copying.core.holds(&self.policy);
            (!holds).then_some(CaptureEnd::PolicyRemoved)
        })
    }
}
