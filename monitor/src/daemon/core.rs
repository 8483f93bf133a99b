//! The core of the daemon, without its tasks. Every call blocks until it is done.
//!
//! Two locks matter. A call that changes the filter locks `filter` until it ends,
//! so changes happen one after another. A call locks `state` only to copy or
//! replace it. It compiles policies, finds risks and writes to disk without that
//! lock, so the daemon answers requests meanwhile.

mod canary;
mod capture;
mod changes;
mod confirm;
mod data_feeds;
mod devices;
mod doctor;
mod edges;
mod feeds;
mod flow_filter;
mod interfaces;
mod liveness;
mod load;
mod page;
mod page_login;
mod ranges;
mod reload;
mod report;
mod reset;
mod risks;
mod start;
mod state;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

pub(super) use capture::{CaptureSession, CaptureShared};
pub(super) use doctor::Freshness;
use flow_filter::FlowsError;
use interfaces::{Pace, Waiting};
use liveness::Liveness;
pub use load::LoadError;
pub(super) use ranges::Wake;
pub(super) use reload::{ReloadOutcome, Trigger};
pub use start::StartOptions;
use state::State;
use tokio::sync::Notify;

use tracing::warn;

use super::{endpoints::Endpoints, evidence_handle::EvidenceHandle};
use crate::{
    clock,
    compile::Ruleset,
    config::Settings,
    control::{AskedFlows, Resting, RiskInForce},
    datapath::{self, Applied, Deadline, Filter, Filtered, Reader, Request},
    device_list, events,
    evidence::{DevicesView, FlowsView, captured::CaptureEnd, event::EventsView},
    flows,
    policy::MacAddress,
    snapshot::Snapshot,
    state_dir::{NotConfirmed, StateDirError},
};

/// Reasons why the filter is not detached.
#[derive(Debug, thiserror::Error)]
pub(super) enum DetachError {
    /// An earlier call detached it.
    #[error("the filter is already detached")]
    Already,
    /// Detaching failed. Parts of the filter may be left.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
}

/// The filter, and everything that the daemon knows about it.
pub struct Core {
    settings: Settings,
    started: u64,
    /// Locked during every change.
    filter: Mutex<Option<Filter>>,
    reader: Reader,
    /// Locked only to copy or replace the state.
    state: Mutex<State>,
    /// Locked while the last good files are written.
    saving: Mutex<()>,
    /// Devices that the policies in force cut off, and that no policy accepts.
    risks: Mutex<Vec<RiskInForce>>,
    /// Why the guard refused the files at the last load.
    locked_out: Mutex<Option<String>>,
    /// Configured interfaces that are not filtered.
    waiting: Mutex<Waiting>,
    /// Interfaces that match a pattern and are not filtered on purpose.
    left_out: Mutex<Waiting>,
    /// Limits generations that are made because interfaces appear.
    pace: Mutex<Pace>,
    loggers: Mutex<Vec<aya::Ebpf>>,
    /// Notified after every reload that a client requested.
    reloaded: Notify,
    feeds: feeds::Feeds,
    endpoints: Endpoints,
    liveness: Liveness,
    devices: Mutex<devices::Devices>,
    /// Notified after the policies changed, because the names of devices change
    /// with them.
    names_changed: Notify,
    evidence: EvidenceHandle,
    ranges: ranges::Ranges,
    captures: capture::Captures,
    doctor: doctor::Doctor,
    page: page::Page,
    page_login: page_login::PageLogin,
}

impl Core {
    /// The settings that the daemon runs with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The way to the thread that records evidence.
    pub(super) fn evidence(&self) -> &EvidenceHandle {
        &self.evidence
    }

    /// Removes generations that were kept only until their flows were drained.
    pub(super) fn remove_drained_generations(&self) {
        // During a change of the filter, the next drain removes them.
        if let Ok(mut filter) = self.filter.try_lock()
            && let Some(filter) = filter.as_mut()
            && let Err(error) = filter.remove_drained_generations()
        {
            warn!("{error}");
        }
    }

    /// The flows that a client asks for, up to this moment.
    pub(super) fn flows(&self, asked: &AskedFlows) -> Result<FlowsView, FlowsError> {
        let filter = self.flow_filter(asked)?;
        self.evidence.drain();
        let (pins, state) = (&self.settings.pin_dir, &self.settings.state_dir);
        let found = flows::read(pins, state, &filter)?;
        let names = self.names_by_mac();
        let view = self.evidence.with_book(|book| found.view(book, &names));
        let without = view.devices_without_names().into_iter().collect();
        let view = view.with_absences(self.evidence.absences(without));
        Ok(self.with_holders(view))
    }

    /// The events that a client asks for, up to this moment.
    pub(super) fn events(
        &self,
        after: Option<i64>,
        about: &AskedFlows,
    ) -> Result<EventsView, FlowsError> {
        let filter = self.flow_filter(about)?;
        self.evidence.drain();
        let events = events::read(&self.settings.state_dir, after, &filter);
        Ok(events.map_err(flows::FlowsError::from)?)
    }

    /// Names of the devices in the policies in force, and of the gateway itself.
    pub(super) fn names_by_mac(&self) -> BTreeMap<MacAddress, String> {
        self.settings.with_own_name(self.device_names().by_mac())
    }

    /// The devices that a client asks for, up to this moment.
    pub(super) fn known_devices(&self, asked: &AskedFlows) -> Result<DevicesView, FlowsError> {
        let filter = self.flow_filter(asked)?;
        self.evidence.drain();
        let (pins, state) = (&self.settings.pin_dir, &self.settings.state_dir);
        let found = device_list::read(pins, state, &filter)?;
        let names = self.names_by_mac();
        Ok(self.evidence.with_book(|book| found.view(book, &names)))
    }

    /// A copy of the state as it is now.
    fn state(&self) -> State {
        lock(&self.state).clone()
    }

    /// Changes the state. `change` must not block, because every request to the
    /// daemon waits for it.
    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
    }

    /// Paths to watch: every file that the policies were read from or should have
    /// been read from, and the configured directories.
    pub(super) fn watched_paths(&self) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::clone(&self.state().files);
        paths.extend(self.settings.policies.iter().cloned());
        paths
    }

    /// True if the state directory lacks the files of the policies in force.
    pub(super) fn has_unsaved(&self) -> bool {
        lock(&self.state).stage.to_save().is_some()
    }

    /// Writes the files of the policies in force to the state directory. Does
    /// nothing unless the policies are in force permanently and the files are
    /// missing there. After an error the next call tries again.
    pub(super) fn save_last_good(&self) -> Result<(), StateDirError> {
        let _one_at_a_time = lock(&self.saving);
        let unsaved = lock(&self.state).stage.to_save().map(Arc::clone);
        if let Some(unsaved) = unsaved {
            unsaved.keep()?;
            self.update(|state| state.stage.has_saved(&unsaved));
        }
        Ok(())
    }

    /// Waits until a reload that a client requested has ended.
    pub(super) async fn reloaded_by_client(&self) {
        self.reloaded.notified().await;
    }

    /// Tells the main loop that a reload by a client has ended.
    pub(super) fn tell_reloaded(&self) {
        self.reloaded.notify_one();
    }

    /// Takes the loaded objects whose programs write to the log. Later calls do not
    /// return the same objects again.
    pub(super) fn take_loggers(&self) -> Vec<aya::Ebpf> {
        std::mem::take(&mut lock(&self.loggers))
    }

    fn hand_out(&self, loggers: Vec<aya::Ebpf>) {
        *lock(&self.loggers) = loggers;
    }

    /// Makes a generation. If the generation in force waits for its confirmation,
    /// the new one has the same deadline.
    fn apply(&self, filter: &mut Filter, ruleset: &Ruleset) -> Result<Applied, datapath::Error> {
        self.apply_until(filter, ruleset, self.deadline())
    }

    /// Makes a generation that must be confirmed until `deadline`, if there is one. If a capture
    /// runs, the generation serves it.
    fn apply_until(
        &self,
        filter: &mut Filter,
        ruleset: &Ruleset,
        deadline: Option<Deadline>,
    ) -> Result<Applied, datapath::Error> {
        let interfaces = self.settings.filtered()?;
        let capture = self.captures.request();
        filter.apply(&Request {
            capture: capture.as_ref(),
            ..request(&self.settings, &interfaces, ruleset, deadline)
        })
    }

    /// Generation that every interface runs, as the kernel reports it. `None` if
    /// the interfaces run different generations, or if they cannot be read.
    fn generation(&self) -> Option<u64> {
        let snapshot = self.snapshot().ok()?;
        let names = self.settings.real_interfaces().ok()?;
        let mut generations = names.iter().flat_map(|name| {
            let found = snapshot.interfaces.iter();
            let found = found.filter(|one| one.name == *name && one.mode.is_some());
            let generations: Vec<_> = found.map(|one| one.generation).collect();
            if generations.is_empty() {
                return vec![None];
            }
            generations
        });
        let first = generations.next()??;
        generations
            .all(|other| other == Some(first))
            .then_some(first)
    }

    /// A line about the last load of the policy files: in force, or not in force.
    pub(super) fn summary(&self) -> &'static str {
        if lock(&self.state).last_load.success {
            "the policy files are in force"
        } else {
            "the policy files are not in force, but older policies are: `monitor status` says why"
        }
    }

    /// Removes the filter and every pin. Returns the names of the detached
    /// interfaces. Then the daemon has nothing left to do. After an error the
    /// caller may try again.
    pub(super) fn detach(&self) -> Result<Vec<String>, DetachError> {
        let mut filter = self.work_on_filter("a detach");
        let held = filter.as_mut().ok_or(DetachError::Already)?;
        // The store keeps what the kernel recorded.
        let rest = self.evidence.rest();
        let interfaces = held.detach()?;
        rest.detached();
        *filter = None;
        self.captures.stop(CaptureEnd::Detached);
        Ok(interfaces)
    }

    /// Reads all counters, and adds what only the daemon knows.
    pub fn snapshot(&self) -> Result<Snapshot, datapath::Error> {
        let state = self.state();
        let mut snapshot = self.reader.snapshot(Some(state.last_load))?;
        snapshot.unconfirmed = snapshot
            .unconfirmed
            .or_else(|| state.stage.rolled_back().map(NotConfirmed::shown));
        snapshot.feeds = self.feed_snapshots();
        if let Some(evidence) = &mut snapshot.evidence {
            evidence.failure = self.evidence.failure();
            evidence.dns_copied = self.evidence.dns_copied();
        }
        snapshot.name_devices(&self.names_by_mac());
        snapshot.working = self.liveness.working();
        snapshot.blind = self
            .last_diagnosis()
            .map_or_else(BTreeMap::new, |last| last.by_check());
        Ok(snapshot)
    }
}

fn request<'a>(
    settings: &'a Settings,
    interfaces: &'a [Filtered],
    ruleset: &'a Ruleset,
    deadline: Option<Deadline>,
) -> Request<'a> {
    Request {
        interfaces,
        mode: settings.mode,
        frags: settings.frags,
        egress: settings.egress,
        ruleset,
        log_packets: settings.log_packets,
        evidence: settings.evidence,
        deadline,
        capture: None,
    }
}

/// Seconds since 1970-01-01T00:00:00Z; 0 if the clock shows an earlier time.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Locks a mutex, even if another thread panicked while it held the lock. The
/// values in this module stay valid after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
