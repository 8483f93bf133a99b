//! Records evidence on a thread of its own: reads the kernel's ring buffers, learns names,
//! and drains the flows into the store.

mod device_recorder;
mod instance;
mod lost;
mod notes;
mod periods;
mod recorder;
mod setup;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::{error, info, warn};

use self::recorder::EvidenceRecorder;
use super::{
    core::Core,
    evidence_handle::{Command, Detached},
};
use crate::{
    clock::to_the_second, error_text::error_text, policy::EvidenceLevel, snapshot::EvidenceFailure,
    store,
};

/// Time between two drains.
const TICK: Duration = Duration::from_secs(10);

/// Time between two looks at the ring buffers.
const LOOK: Duration = Duration::from_millis(200);

/// New flows after which the tables are drained early, so that they do not become full.
const MANY_FLOWS: usize = monitor_common::evidence::FLOW_CELLS as usize / 8;

/// Begins to record. If the settings ask for counters only, the thread just lets the rows of
/// an earlier store expire.
pub(super) fn start(core: &Arc<Core>) {
    let settings = core.settings();
    let has_store = settings.state_dir.join(store::FILE).exists();
    if settings.evidence == EvidenceLevel::Counters && !has_store {
        return;
    }
    let (commands, received) = mpsc::channel();
    core.evidence().open(commands);
    let core = Arc::clone(core);
    let thread = thread::Builder::new().name("evidence".to_owned());
    if let Err(error) = thread.spawn(move || record(&core, &received)) {
        error!("no evidence is recorded: start a thread: {error}");
    }
}

/// Records until a caller ends it, or until the daemon has dropped its end of the channel.
fn record(core: &Core, commands: &mpsc::Receiver<Command>) {
    let mut recorder = EvidenceRecorder::new(core.settings(), core.evidence().book());
    let mut due = Instant::now();
    loop {
        let command = match commands.recv_timeout(LOOK) {
            Ok(command) => Some(command),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        recorder.look();
        let now = Instant::now();
        let is_asked = matches!(
            command,
            Some(Command::Drain(_) | Command::Rest(..) | Command::Forget(..) | Command::Mark(..))
        );
        if is_asked || due <= now || recorder.new_flows() >= MANY_FLOWS {
            recorder.look_at_devices(is_asked);
            drain(core, &mut recorder);
            core.evidence().set_looked();
            due = now + TICK;
        }
        match command {
            None => {}
            Some(Command::Drain(done)) => drop(done.send(is_drained(core))),
            Some(Command::Rest(resting, end_of_rest)) => {
                let _ = resting.send(());
                if let Ok(Detached) = end_of_rest.recv() {
                    return store_last(&mut recorder, commands);
                }
            }
            Some(Command::Absences(devices, done)) => {
                let _ = done.send(recorder.absences(&devices));
            }
            Some(Command::Forget(devices, done)) => {
                let forgotten = recorder.forget(&devices);
                let _ = done.send(forgotten.map_err(|error| error_text(&error)));
            }
            Some(Command::Mark(mark, devices, at, done)) => {
                let marked = recorder.mark(&mark, &devices, at, is_drained(core));
                let _ = done.send(marked.map_err(|error| error_text(&error)));
            }
            Some(Command::Prove(asked, done)) => {
                let proven = recorder.prove(&asked);
                let _ = done.send(proven.map_err(|error| error_text(&error)));
            }
            Some(Command::Capture(what, done)) => {
                let stored = recorder.capture(&what);
                let _ = done.send(stored.map_err(|error| error_text(&error)));
            }
            Some(Command::Published(published, done)) => {
                let stored = recorder.published(&published);
                let _ = done.send(stored.map_err(|error| error_text(&error)));
            }
            Some(Command::Page(event, device)) => {
                if let Err(error) = recorder.page_event(&event, device) {
                    warn!("an event of the page is not stored: {}", error_text(&error));
                }
            }
            Some(Command::Findings(found)) => {
                if let Err(error) = recorder.findings(found) {
                    warn!(
                        "findings of the checks are not stored: {}",
                        error_text(&error)
                    );
                }
            }
            Some(Command::End(done)) => {
                recorder.close();
                let _ = done.send(());
                return;
            }
        }
    }
}

/// After a detach, only stores the event of the capture that the detach ended, until the daemon
/// ends.
fn store_last(recorder: &mut EvidenceRecorder, commands: &mpsc::Receiver<Command>) {
    while let Ok(command) = commands.recv() {
        match command {
            Command::Capture(what, done) => {
                let stored = recorder.capture(&what);
                let _ = done.send(stored.map_err(|error| error_text(&error)));
            }
            Command::End(done) => {
                recorder.close();
                let _ = done.send(());
                return;
            }
            // The callers learn that they get no answer.
            _ => {}
        }
    }
}

/// True if the last drain did not fail, so that the store has every flow until then.
fn is_drained(core: &Core) -> bool {
    core.evidence().failure().is_none()
}

/// Drains the tables. Logs a failure once, and its end.
fn drain(core: &Core, recorder: &mut EvidenceRecorder) {
    let drained = recorder.drain().and_then(|notes| {
        let snapshot = core.snapshot()?;
        let generations = snapshot.interfaces.iter();
        let newest = generations
            .filter_map(|interface| interface.generation)
            .max();
        if let (Some(generation), Some(hash)) = (newest, &snapshot.ruleset) {
            recorder.store_ruleset(generation, hash)?;
            recorder.store_policies(hash, || core.stated_policies(hash))?;
        }
        recorder.store_periods(&snapshot.interfaces)?;
        Ok(notes)
    });
    core.evidence().set_dns_copied(recorder.dns_copied());
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
    let known = core.evidence().failure();
    match (&known, &error) {
        (None, Some(error)) => {
            error!("evidence is not stored, the kernel keeps it while it has room: {error}");
        }
        (Some(known), Some(error)) if known.error != *error => {
            error!("evidence is not stored: {error}");
        }
        (Some(_), None) => info!("evidence is stored again"),
        (Some(_), Some(_)) | (None, None) => {}
    }
    core.evidence()
        .set_failure(error.map(|error| EvidenceFailure {
            error,
            since: known.map_or_else(|| to_the_second(Timestamp::now()), |known| known.since),
        }));
}
