//! Records evidence on a thread of its own: reads the kernel's ring buffers, learns names,
//! and drains the flows into the store.

mod lost;
mod recorder;

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::{error, info, warn};

use self::recorder::Recorder;
use super::core::Core;
use crate::{
    clock::to_the_second,
    error_text::error_text,
    policy::{EvidenceLevel, MacAddress},
    snapshot::EvidenceFailure,
    store,
};

/// Time between two drains.
const TICK: Duration = Duration::from_secs(10);

/// Time between two looks at the ring buffers.
const LOOK: Duration = Duration::from_millis(200);

/// How long a caller waits for a drain.
const PATIENCE: Duration = Duration::from_secs(5);

/// New flows after which the tables are drained early, so that they do not become full.
const MANY_FLOWS: usize = monitor_common::evidence::FLOW_CELLS as usize / 8;

/// Work that a caller asks for. The thread answers when it is done.
enum Command {
    /// Drain the tables.
    Drain(mpsc::Sender<()>),
    /// Remove all evidence of devices.
    Forget(Vec<MacAddress>, mpsc::Sender<Result<(), String>>),
    /// Drain the tables, close the store and end.
    End(mpsc::Sender<()>),
}

/// The way to the thread that records evidence.
#[derive(Default)]
pub(super) struct Evidence {
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    failure: Mutex<Option<EvidenceFailure>>,
    dns_copied: Mutex<Vec<String>>,
}

impl Evidence {
    /// Drains the tables, so that the store holds every flow. Does nothing if no thread
    /// records evidence. Returns after some seconds even if the drain takes longer.
    pub(super) fn drain(&self) {
        let (done, when_done) = mpsc::channel();
        if self.send(Command::Drain(done)) {
            let _ = when_done.recv_timeout(PATIENCE);
        }
    }

    /// Asks for a drain and does not wait for it. After a change of the generation, the old
    /// one can go when its flows are drained.
    pub(super) fn drain_soon(&self) {
        let (done, _) = mpsc::channel();
        self.send(Command::Drain(done));
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

    /// Drains the tables a last time and ends the thread.
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

    fn send(&self, command: Command) -> bool {
        let commands = lock(&self.commands);
        commands
            .as_ref()
            .is_some_and(|commands| commands.send(command).is_ok())
    }
}

/// Begins to record. If the settings ask for counters only, the thread just lets the rows of
/// an earlier store expire.
pub(super) fn start(core: &Arc<Core>) {
    let settings = core.settings();
    let has_store = settings.state_dir.join(store::FILE).exists();
    if settings.evidence == EvidenceLevel::Counters && !has_store {
        return;
    }
    let (commands, received) = mpsc::channel();
    *lock(&core.evidence().commands) = Some(commands);
    let core = Arc::clone(core);
    let thread = thread::Builder::new().name("evidence".to_owned());
    if let Err(error) = thread.spawn(move || record(&core, &received)) {
        error!("no evidence is recorded: start a thread: {error}");
    }
}

/// Records until a caller ends it, or until the daemon has dropped its end of the channel.
fn record(core: &Core, commands: &mpsc::Receiver<Command>) {
    let mut recorder = Recorder::new(core.settings());
    let mut due = Instant::now();
    loop {
        let command = match commands.recv_timeout(LOOK) {
            Ok(command) => Some(command),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        recorder.look();
        let now = Instant::now();
        if command.is_some() || due <= now || recorder.new_flows() >= MANY_FLOWS {
            drain(core, &mut recorder);
            due = now + TICK;
        }
        match command {
            None => {}
            Some(Command::Drain(done)) => drop(done.send(())),
            Some(Command::Forget(devices, done)) => {
                let forgotten = recorder.forget(&devices);
                let _ = done.send(forgotten.map_err(|error| error_text(&error)));
            }
            Some(Command::End(done)) => {
                recorder.close();
                let _ = done.send(());
                return;
            }
        }
    }
}

/// Drains the tables. Logs a failure once, and its end.
fn drain(core: &Core, recorder: &mut Recorder) {
    let drained = recorder.drain().and_then(|notes| {
        let snapshot = core.snapshot()?;
        let generations = snapshot.interfaces.iter();
        let newest = generations
            .filter_map(|interface| interface.generation)
            .max();
        if let (Some(generation), Some(hash)) = (newest, &snapshot.ruleset) {
            recorder.store_ruleset(generation, hash)?;
        }
        Ok(notes)
    });
    *lock(&core.evidence().dns_copied) = recorder.dns_copied();
    let error = match drained {
        Ok(notes) => {
            for note in notes {
                warn!("{note}");
            }
            core.remove_drained_generations();
            None
        }
        Err(error) => Some(error_text(&error)),
    };
    let failure = &core.evidence().failure;
    let mut failure = lock(failure);
    match (&*failure, error) {
        (None, Some(error)) => {
            error!("evidence is not stored, the kernel keeps it while it has room: {error}");
            *failure = Some(EvidenceFailure {
                error,
                since: to_the_second(Timestamp::now()),
            });
        }
        (Some(known), Some(error)) if known.error != error => {
            error!("evidence is not stored: {error}");
            *failure = Some(EvidenceFailure {
                error,
                ..known.clone()
            });
        }
        (Some(_), None) => {
            info!("evidence is stored again");
            *failure = None;
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
