//! The daemon without its tasks: every call blocks until it is done.

mod changes;
mod confirm;
mod devices;
mod feeds;
mod interfaces;
mod liveness;
mod load;
mod reset;
mod risks;
mod start;
mod status;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use confirm::Trial;
use interfaces::Waiting;
use jiff::{SignedDuration, Timestamp};
use liveness::Liveness;
pub use load::LoadError;
use load::{Usable, confirmed, load, reason};
use tokio::sync::Notify;

pub use start::How;

use super::endpoints::Endpoints;
use crate::{
    clock,
    compile::{Ruleset, compile},
    config::Settings,
    control::{Reloaded, Resting, RiskInForce},
    datapath::{self, Applied, Deadline, Filter, Reader, Request},
    feeds::DiskAndFeeds,
    policy::{DeviceNames, Diagnostics, Feed, Moment, Policy, RuntimeOverlay},
    snapshot::{ReloadSnapshot, Snapshot},
    state_dir::{NotConfirmed, StateDirError, Unkept},
};

/// Why a filter is not detached.
#[derive(Debug, thiserror::Error)]
pub(super) enum DetachError {
    /// Somebody else asked for it before.
    #[error("the filter is already detached")]
    Already,
    /// Some of it may be left.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
}

/// The filter, and what is known about it.
pub struct Core {
    settings: Settings,
    started: u64,
    /// Held for the length of a reload.
    filter: Mutex<Option<Filter>>,
    reader: Reader,
    current: Mutex<Current>,
    loggers: Mutex<Vec<aya::Ebpf>>,
    /// Told after every reload that a client asked for.
    reloaded: Notify,
    feeds: feeds::Feeds,
    endpoints: Endpoints,
    liveness: Liveness,
    devices: Mutex<devices::Devices>,
    /// Told after the policies changed, and with them the names of devices.
    names_changed: Notify,
}

/// What changes with every load of the policies.
#[derive(Default)]
struct Current {
    ruleset: Option<Ruleset>,
    /// What the ruleset was made from: the files, and what commands changed.
    policies: Vec<Policy>,
    /// Devices with names, as the files were read last without errors.
    devices: DeviceNames,
    /// What commands changed.
    runtime: RuntimeOverlay,
    /// What they cut off that nobody accepted.
    risks: Vec<RiskInForce>,
    /// Interfaces that were asked for and are not filtered.
    waiting: Waiting,
    /// The lists to fetch for them.
    feeds: Vec<Feed>,
    /// The time for which it was worked out what the policies do.
    as_of: Timestamp,
    /// What waits to be confirmed.
    trial: Option<Trial>,
    /// The files were not confirmed, and are not loaded unasked: what is in
    /// force is what was before them.
    not_confirmed: Option<NotConfirmed>,
    /// An edge has passed, and the kernel did not take what it asks for.
    behind: bool,
    /// What the policies were read from, until it is kept.
    to_keep: Option<Unkept>,
    reload: Option<ReloadSnapshot>,
    /// Every file the policies were read from.
    files: BTreeSet<PathBuf>,
}

/// How soon to look again at a clock that is not synchronised yet, or to try
/// again what the kernel did not take.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// When a new generation is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// A file changed: only where the ruleset did.
    File,
    /// Somebody asked for it: always.
    Request,
    /// Somebody asked for it, and will confirm it within that time.
    Confirm(Duration),
}

impl Core {
    /// The settings that it runs with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What to watch: every file that the policies were read from, or should
    /// have been, and the directories that were given.
    pub(super) fn watched_paths(&self) -> BTreeSet<PathBuf> {
        let mut paths = lock(&self.current).files.clone();
        paths.extend(self.settings.policies.iter().cloned());
        paths
    }

    /// Keeps what the policies in force were read from, where that is new and
    /// they are in force for good.
    pub(super) fn keep_last_good(&self) -> Result<(), StateDirError> {
        let read = {
            let mut current = lock(&self.current);
            if current.trial.is_some() {
                return Ok(());
            }
            current.to_keep.take()
        };
        read.map_or(Ok(()), |read| read.keep())
    }

    /// Waits until a reload has ended that a client asked for.
    pub(super) async fn reloaded(&self) {
        self.reloaded.notified().await;
    }

    /// Says that one has ended.
    pub(super) fn tell_reloaded(&self) {
        self.reloaded.notify_one();
    }

    /// Loaded objects whose programs write to the log, each handed out once.
    pub(super) fn take_loggers(&self) -> Vec<aya::Ebpf> {
        std::mem::take(&mut lock(&self.loggers))
    }

    /// Reads the policies again. Where they have errors, or the kernel does not
    /// take them, the old generation stays in force.
    pub(super) fn reload(&self, trigger: Trigger) -> Option<Reloaded> {
        let mut filter = self.work_on_filter("a reload");
        // Detached meanwhile: there is nothing to reload.
        let filter = filter.as_mut()?;
        let moment = clock::now();
        let runtime = lock(&self.current).runtime.clone();
        // Files that were not confirmed are not loaded unasked; feeds go on.
        let rolled_back = self.is_rolled_back() && trigger == Trigger::File;
        let loaded = if rolled_back {
            match confirmed(&self.settings, &runtime, &moment) {
                Ok(loaded) => loaded?,
                Err(error) => return Some(self.not_reloaded(&LoadError::LastGood(error))),
            }
        } else {
            let files = DiskAndFeeds::new(&self.settings.state_dir);
            load(&self.settings, &files, &runtime, &moment)
        };
        let mut current = lock(&self.current);
        current.files = loaded.files;
        let in_force = current.reload.as_ref().is_some_and(|reload| reload.success) || rolled_back;
        let unchanged = in_force
            && loaded.result.as_ref().ok().map(|usable| &usable.ruleset)
                == current.ruleset.as_ref()
            && trigger == Trigger::File;
        if unchanged {
            if let Ok(usable) = loaded.result {
                // The same now, and perhaps not at the next edge.
                current.take(usable, &moment);
                current.feeds.clone_from(&loaded.feeds);
                self.keep_edges(&current, &moment);
                drop(current);
                self.note_feeds(&loaded.feeds);
            }
            return None;
        }
        drop(current);
        let result = loaded.result.and_then(|usable| {
            let applied = match trigger {
                Trigger::Confirm(within) => self.try_out(filter, &usable.ruleset, within)?,
                Trigger::File | Trigger::Request => self.apply(filter, &usable.ruleset)?,
            };
            Ok((usable, applied))
        });
        let mut current = lock(&self.current);
        let (error, mut notes) = match result {
            Ok((usable, applied)) => {
                current.take(usable, &moment);
                current.feeds.clone_from(&loaded.feeds);
                current.behind = false;
                *lock(&self.loggers) = applied.loggers;
                self.keep_edges(&current, &moment);
                let mut notes = applied.notes;
                if !rolled_back {
                    notes.extend(current.loaded_files(&self.settings.state_dir));
                }
                (None, notes)
            }
            Err(error) => (Some(reason(&error)), Vec::new()),
        };
        if !loaded.warnings.is_empty() {
            notes.insert(0, loaded.warnings);
        }
        let reload = ReloadSnapshot {
            success: error.is_none(),
            timestamp: now(),
            error,
        };
        if !rolled_back {
            current.reload = Some(reload.clone());
        }
        drop(current);
        if reload.success {
            self.names_changed.notify_one();
            self.note_feeds(&loaded.feeds);
        }
        Some(Reloaded {
            generation: self.generation(),
            reload,
            unconfirmed: self
                .snapshot()
                .ok()
                .and_then(|snapshot| snapshot.unconfirmed),
            notes,
        })
    }

    /// The answer to a reload that ended before policies were read.
    fn not_reloaded(&self, error: &LoadError) -> Reloaded {
        Reloaded {
            generation: self.generation(),
            reload: ReloadSnapshot {
                success: false,
                timestamp: now(),
                error: Some(reason(error)),
            },
            unconfirmed: None,
            notes: Vec::new(),
        }
    }

    /// Puts in force what the policies in force say of `moment`. The files are
    /// not read: they may be broken meanwhile, and time goes on. Returns what
    /// changed, in words; nothing where nothing did.
    pub(super) fn pass_edge(&self, moment: &Moment) -> Result<Vec<String>, LoadError> {
        let mut filter = self.work_on_filter("a change by a schedule");
        let Some(filter) = filter.as_mut() else {
            return Ok(Vec::new());
        };
        let (ruleset, changes) = {
            let mut current = lock(&self.current);
            if current.ruleset.is_none() {
                return Ok(Vec::new());
            }
            let changes = current.pass_to(moment);
            self.keep_edges(&current, moment);
            let compiled = compile(&current.policies, &self.settings.derivation);
            let errors = |errors: Diagnostics| LoadError::Policies(errors.render_some());
            let ruleset = compiled.map_err(errors)?;
            current.behind = current.ruleset.as_ref() != Some(&ruleset);
            if !current.behind {
                return Ok(changes);
            }
            (ruleset, changes)
        };
        let applied = self.apply(filter, &ruleset)?;
        let mut current = lock(&self.current);
        current.ruleset = Some(ruleset);
        current.behind = false;
        *lock(&self.loggers) = applied.loggers;
        Ok(changes)
    }

    /// When to look at the clock next; it may be past, where an edge came while
    /// a generation was made.
    pub(super) fn next_look(&self, moment: &Moment) -> Option<Timestamp> {
        let current = lock(&self.current);
        let policies = current.policies.iter();
        let waits = policies.clone().any(Policy::waits_for_clock)
            || current.runtime.waits_for_clock(moment)
            || current.behind;
        let soon = waits.then(|| moment.at + LOOK_AGAIN);
        policies
            .filter_map(|policy| policy.next_edge(current.as_of))
            .chain(soon)
            .min()
    }

    /// Where something waits to be confirmed, this waits with it.
    fn apply(&self, filter: &mut Filter, ruleset: &Ruleset) -> Result<Applied, datapath::Error> {
        let names = self.settings.real_interfaces()?;
        filter.apply(&request(&self.settings, &names, ruleset, self.deadline()))
    }

    /// The generation that every interface runs, as the kernel says; `None`
    /// where they differ or cannot be read.
    fn generation(&self) -> Option<u64> {
        let snapshot = self.snapshot().ok()?;
        let names = self.settings.real_interfaces().ok()?;
        let mut generations = names.iter().map(|name| {
            let interface = snapshot.interfaces.iter().find(|i| i.name == *name);
            interface.and_then(|interface| interface.generation)
        });
        let first = generations.next()??;
        generations
            .all(|other| other == Some(first))
            .then_some(first)
    }

    /// Waits until nobody works on the filter or on what is known about it.
    pub(super) fn wait_until_free(&self) {
        drop(lock(&self.filter));
        drop(lock(&self.current));
    }

    /// Whether the policy files are in force as they were read last, in a line.
    pub(super) fn summary(&self) -> &'static str {
        let current = lock(&self.current);
        if current.reload.as_ref().is_some_and(|reload| reload.success) {
            "the policy files are in force"
        } else {
            "the policy files are not in force, something older is: `monitor status` says why"
        }
    }

    /// Removes the filter and every pin. The daemon has nothing left to do then;
    /// after an error it may be asked again.
    pub(super) fn detach(&self) -> Result<Vec<String>, DetachError> {
        let mut filter = self.work_on_filter("a detach");
        let held = filter.as_mut().ok_or(DetachError::Already)?;
        let interfaces = held.detach()?;
        *filter = None;
        Ok(interfaces)
    }

    /// What the filter has seen and done.
    pub fn snapshot(&self) -> Result<Snapshot, datapath::Error> {
        let (reload, names) = {
            let current = lock(&self.current);
            (current.reload.clone(), current.devices.by_mac())
        };
        let mut snapshot = self.reader.snapshot(reload)?;
        let rolled_back = lock(&self.current).not_confirmed;
        snapshot.unconfirmed = snapshot
            .unconfirmed
            .or_else(|| rolled_back.as_ref().map(NotConfirmed::shown));
        snapshot.feeds = self.feed_snapshots();
        snapshot.name_devices(&names);
        snapshot.working = self.liveness.working();
        Ok(snapshot)
    }
}

impl Current {
    fn take(&mut self, usable: Usable, moment: &Moment) {
        let Usable {
            ruleset,
            policies,
            devices,
            read,
        } = usable;
        self.to_keep = Some(read);
        self.ruleset = Some(ruleset);
        self.policies = policies;
        self.as_of = moment.at;
        self.devices = devices;
        self.risks.clear();
    }
}

fn request<'a>(
    settings: &'a Settings,
    interfaces: &'a [String],
    ruleset: &'a Ruleset,
    deadline: Option<Deadline>,
) -> Request<'a> {
    Request {
        interfaces,
        mode: settings.mode,
        ruleset,
        log_packets: settings.log_packets,
        deadline,
    }
}

/// Seconds since 1970-01-01T00:00:00Z; 0 where the clock says an earlier time.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A panic of another thread leaves these values as they were.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
