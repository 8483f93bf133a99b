//! The way from the core to the thread that records evidence, and what that thread tells.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    device_book::DeviceBook,
    evidence::{
        absence::Absence, event::Happening, mark::Mark, noted::Noted, page_event::PageEvent,
        published::Published,
    },
    merkle::Proven,
    policy::MacAddress,
    snapshot::EvidenceFailure,
    store::AskedProof,
};

/// How long a caller waits for a drain.
const PATIENCE: Duration = Duration::from_secs(5);

/// Work that a caller asks for. The thread answers when it is done.
pub(super) enum Command {
    /// Drain the tables. The answer is true if the store then has every flow.
    Drain(mpsc::Sender<bool>),
    /// Drain the tables, and then rest until the caller drops its end of the channel, or says
    /// that the filter is detached.
    Rest(mpsc::Sender<()>, mpsc::Receiver<Detached>),
    /// Tell why destinations of devices have no name.
    Absences(Vec<MacAddress>, mpsc::Sender<Vec<(MacAddress, Absence)>>),
    /// Remove all evidence of devices.
    Forget(Vec<MacAddress>, mpsc::Sender<Result<(), String>>),
    /// Drain the tables, and store a mark about these devices, or about all. Without a time, it
    /// is about the moment after the drain.
    Mark(
        Mark,
        Vec<MacAddress>,
        Option<Timestamp>,
        mpsc::Sender<Result<Timestamp, String>>,
    ),
    /// Append a line about a report to the log, and prove that it is there.
    Prove(AskedProof, mpsc::Sender<Result<Proven, String>>),
    /// Store the begin or the end of a capture.
    Capture(Box<Happening>, mpsc::Sender<Result<(), String>>),
    /// Store the event of a head that an authority stamped.
    Published(Box<Published>, mpsc::Sender<Result<(), String>>),
    /// Store what an operator did over the page's login.
    Page(Box<PageEvent>, Option<MacAddress>),
    /// Store what changed in the findings of the daemon's checks. It has no answer.
    Findings(Vec<Noted>),
    /// Close the store and end.
    End(mpsc::Sender<()>),
}

/// The filter is detached, so nothing is left to record.
pub(super) struct Detached;

/// A drain that a caller asked for.
pub(super) struct Draining(mpsc::Receiver<bool>);

impl Draining {
    /// Waits until the drain ends. Returns true if the store then has every flow, and `None`
    /// if the drain takes longer.
    pub(super) fn wait(&self, patience: Duration) -> Option<bool> {
        match self.0.recv_timeout(patience) {
            Ok(is_drained) => Some(is_drained),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            // The thread has ended.
            Err(mpsc::RecvTimeoutError::Disconnected) => Some(false),
        }
    }
}

/// While this value lives, the thread that records evidence reads no map.
pub(super) struct Rest(mpsc::Sender<Detached>);

impl Rest {
    /// Ends the thread, because the filter is detached.
    pub(super) fn detached(self) {
        // If no thread records evidence, there is none to end.
        let _ = self.0.send(Detached);
    }
}

/// The way to the thread that records evidence.
#[derive(Default)]
pub(super) struct EvidenceHandle {
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    failure: Mutex<Option<EvidenceFailure>>,
    dns_copied: Mutex<Vec<String>>,
    /// True after the first drain.
    has_looked: AtomicBool,
    /// What is known about devices. The thread writes it.
    book: Arc<Mutex<DeviceBook>>,
}

impl EvidenceHandle {
    /// Drains the tables. Returns true if the store then has every flow, and false if the drain
    /// failed, if it takes longer than some seconds, or if no thread records evidence.
    pub(super) fn drain(&self) -> bool {
        let draining = self.begin_drain();
        let is_drained = draining.and_then(|draining| draining.wait(PATIENCE));
        is_drained.unwrap_or(false)
    }

    /// Asks for a drain. Returns `None` if no thread records evidence.
    pub(super) fn begin_drain(&self) -> Option<Draining> {
        let (done, when_done) = mpsc::channel();
        let is_asked = self.send(Command::Drain(done));
        is_asked.then_some(Draining(when_done))
    }

    /// Asks for a drain and does not wait for it. After a change of the generation, the old
    /// one can go when its flows are drained.
    pub(super) fn drain_soon(&self) {
        drop(self.begin_drain());
    }

    /// Drains the tables, and lets the thread rest while the caller removes them.
    pub(super) fn rest(&self) -> Rest {
        let (resting, when_resting) = mpsc::channel();
        let (rest, end_of_rest) = mpsc::channel();
        if self.send(Command::Rest(resting, end_of_rest)) {
            let _ = when_resting.recv_timeout(PATIENCE);
        }
        Rest(rest)
    }

    /// Why destinations of these devices have no name. Empty if no thread records evidence, or
    /// if it does not answer.
    pub(super) fn absences(&self, devices: Vec<MacAddress>) -> Vec<(MacAddress, Absence)> {
        let (done, when_done) = mpsc::channel();
        if devices.is_empty() || !self.send(Command::Absences(devices, done)) {
            return Vec::new();
        }
        when_done.recv_timeout(PATIENCE).unwrap_or_default()
    }

    /// Removes all evidence of these devices.
    ///
    /// # Errors
    ///
    /// Returns the error of the store as text.
    pub(super) fn forget(&self, devices: Vec<MacAddress>) -> Result<(), String> {
        let (done, when_done) = mpsc::channel();
        if !self.send(Command::Forget(devices, done)) {
            return Ok(());
        }
        let answer = when_done.recv_timeout(6 * PATIENCE);
        answer.unwrap_or_else(|_| Err("the evidence store does not answer".to_owned()))
    }

    /// Stores a mark about these devices, or about all. Returns its time.
    ///
    /// # Errors
    ///
    /// Returns as text why the mark is not stored.
    pub(super) fn mark(
        &self,
        mark: Mark,
        devices: Vec<MacAddress>,
        at: Option<Timestamp>,
    ) -> Result<Timestamp, String> {
        let (done, when_done) = mpsc::channel();
        if !self.send(Command::Mark(mark, devices, at, done)) {
            return Err("the daemon records no evidence, so it cannot store a mark".to_owned());
        }
        let answer = when_done.recv_timeout(6 * PATIENCE);
        answer.unwrap_or_else(|_| Err("the evidence store does not answer".to_owned()))
    }

    /// Proves that a report and its evidence are in the log.
    ///
    /// # Errors
    ///
    /// Returns as text why there is no proof.
    pub(super) fn prove(&self, asked: AskedProof) -> Result<Proven, String> {
        let (done, when_done) = mpsc::channel();
        if !self.send(Command::Prove(asked, done)) {
            return Err("the daemon records no evidence, so it has no log".to_owned());
        }
        let answer = when_done.recv_timeout(6 * PATIENCE);
        answer.unwrap_or_else(|_| Err("the evidence store does not answer".to_owned()))
    }

    /// Stores the begin or the end of a capture.
    ///
    /// # Errors
    ///
    /// Returns as text why the event is not stored.
    pub(super) fn capture(&self, what: Happening) -> Result<(), String> {
        let (done, when_done) = mpsc::channel();
        if !self.send(Command::Capture(Box::new(what), done)) {
            return Err("the daemon records no evidence, so it stores no event".to_owned());
        }
        let answer = when_done.recv_timeout(6 * PATIENCE);
        answer.unwrap_or_else(|_| Err("the evidence store does not answer".to_owned()))
    }

    /// Stores the event of a head that an authority stamped.
    ///
    /// # Errors
    ///
    /// Returns as text why the event is not stored.
    pub(super) fn published(&self, published: Published) -> Result<(), String> {
        let (done, when_done) = mpsc::channel();
        if !self.send(Command::Published(Box::new(published), done)) {
            return Err("the daemon records no evidence, so it stores no event".to_owned());
        }
        let answer = when_done.recv_timeout(6 * PATIENCE);
        answer.unwrap_or_else(|_| Err("the evidence store does not answer".to_owned()))
    }

    /// Stores what an operator did over the page's login, about a device or about none, and does
    /// not wait for it.
    ///
    /// # Errors
    ///
    /// Returns as text why the event is not stored.
    pub(super) fn page_event(
        &self,
        event: PageEvent,
        device: Option<MacAddress>,
    ) -> Result<(), String> {
        if self.send(Command::Page(Box::new(event), device)) {
            return Ok(());
        }
        Err("the daemon records no evidence, so it stores no event".to_owned())
    }

    /// Stores what changed in the findings of the daemon's checks, and does not wait for it.
    pub(super) fn findings(&self, found: Vec<Noted>) {
        self.send(Command::Findings(found));
    }

    /// True if devices and events of before this daemon are known.
    pub(super) fn has_looked(&self) -> bool {
        self.has_looked.load(Ordering::Relaxed)
    }

    /// Notes that the first drain is done.
    pub(super) fn set_looked(&self) {
        self.has_looked.store(true, Ordering::Relaxed);
    }

    /// Closes the store and ends the thread. Does nothing if the thread has ended.
    pub(super) fn end(&self) {
        let (done, when_done) = mpsc::channel();
        if self.send(Command::End(done)) {
            let _ = when_done.recv_timeout(PATIENCE);
        }
        lock(&self.commands).take();
    }

    /// What does not work, since when.
    pub(super) fn failure(&self) -> Option<EvidenceFailure> {
        lock(&self.failure).clone()
    }

    /// Interfaces on whose way to the devices DNS answers are copied, sorted.
    pub(super) fn dns_copied(&self) -> Vec<String> {
        lock(&self.dns_copied).clone()
    }

    /// What is known about devices, for the thread that records.
    pub(super) fn book(&self) -> Arc<Mutex<DeviceBook>> {
        Arc::clone(&self.book)
    }

    /// Reads what is known about devices. `read` must not block, because the thread that
    /// records waits for it.
    pub(super) fn with_book<T>(&self, read: impl FnOnce(&DeviceBook) -> T) -> T {
        read(&lock(&self.book))
    }

    /// Sets the way to the thread.
    pub(super) fn open(&self, commands: mpsc::Sender<Command>) {
        *lock(&self.commands) = Some(commands);
    }

    pub(super) fn set_failure(&self, failure: Option<EvidenceFailure>) {
        *lock(&self.failure) = failure;
    }

    pub(super) fn set_dns_copied(&self, interfaces: Vec<String>) {
        *lock(&self.dns_copied) = interfaces;
    }

    fn send(&self, command: Command) -> bool {
        let commands = lock(&self.commands);
        commands
            .as_ref()
            .is_some_and(|commands| commands.send(command).is_ok())
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
