//! The daemon without its tasks: every call blocks until it is done.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::Notify;

use crate::{
    compile::{Ruleset, compile_files},
    config::Settings,
    control::{DaemonStatus, Reloaded, Status},
    datapath::{self, Applied, Filter, Reader, Request},
    policy::Disk,
    snapshot::{ReloadSnapshot, Snapshot},
};

/// Why a daemon did not start. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The policies cannot be used.
    #[error("the policies have errors:\n{0}")]
    Policies(String),
    /// The kernel did not take the filter.
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
    /// Told after every reload that a client or a signal asked for.
    reloaded: Notify,
}

/// What changes with every load of the policies.
#[derive(Default)]
struct Current {
    generation: Option<u64>,
    ruleset: Option<Ruleset>,
    reload: ReloadSnapshot,
    /// Every file the policies were read from.
    files: BTreeSet<PathBuf>,
}

/// Policies that were read and compiled, or why not.
struct Loaded {
    /// Or the errors as text.
    result: Result<Ruleset, String>,
    files: BTreeSet<PathBuf>,
    warnings: String,
}

/// When a new generation is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// A file changed: only where the ruleset did.
    File,
    /// Somebody asked for it: always.
    Request,
}

impl Core {
    /// Reads the policies and puts them in force. Where it fails, what was in
    /// force before is in force after.
    pub fn start(
        mut settings: Settings,
        progress: datapath::Progress<'_>,
    ) -> Result<(Self, Vec<String>), StartError> {
        let started = now();
        let loaded = load(&settings);
        let ruleset = loaded.result.map_err(StartError::Policies)?;
        let mut filter = Filter::open(&settings.pin_dir)?;
        filter.pin_dir().clone_into(&mut settings.pin_dir);
        let applied = filter.apply(&request(&settings, &ruleset), progress)?;
        let mut notes = applied.notes;
        if !loaded.warnings.is_empty() {
            notes.insert(0, loaded.warnings);
        }
        let current = Current {
            generation: Some(applied.generation),
            ruleset: Some(ruleset),
            reload: ReloadSnapshot {
                success: true,
                timestamp: now(),
                error: None,
            },
            files: loaded.files,
        };
        let core = Self {
            reader: Reader::open(&settings.pin_dir)?,
            filter: Mutex::new(Some(filter)),
            current: Mutex::new(current),
            loggers: Mutex::new(applied.loggers),
            reloaded: Notify::new(),
            settings,
            started,
        };
        Ok((core, notes))
    }

    /// The settings that it runs with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Generation that the last successful load made.
    pub fn generation(&self) -> Option<u64> {
        lock(&self.current).generation
    }

    /// What to watch: every file that the policies were read from, or should
    /// have been, and the directories that were given.
    pub(super) fn watched_paths(&self) -> BTreeSet<PathBuf> {
        let mut paths = lock(&self.current).files.clone();
        paths.extend(self.settings.policies.iter().cloned());
        paths
    }

    /// Waits until a reload has ended.
    pub(super) async fn reloaded(&self) {
        self.reloaded.notified().await;
    }

    /// Loaded objects whose programs write to the log, each handed out once.
    pub(super) fn take_loggers(&self) -> Vec<aya::Ebpf> {
        std::mem::take(&mut lock(&self.loggers))
    }

    /// Reads the policies again. Where they have errors, or the kernel does not
    /// take them, the old generation stays in force.
    pub(super) fn reload(&self, trigger: Trigger) -> Option<Reloaded> {
        let mut filter = lock(&self.filter);
        // Detached meanwhile: there is nothing to reload.
        let filter = filter.as_mut()?;
        let loaded = load(&self.settings);
        let mut current = lock(&self.current);
        current.files = loaded.files;
        let unchanged = current.reload.success
            && loaded.result.as_ref().ok() == current.ruleset.as_ref()
            && trigger == Trigger::File;
        if unchanged {
            return None;
        }
        drop(current);
        let result = loaded
            .result
            .and_then(|ruleset| self.apply(filter, ruleset));
        let mut current = lock(&self.current);
        let (error, mut notes) = match result {
            Ok((ruleset, applied)) => {
                current.generation = Some(applied.generation);
                current.ruleset = Some(ruleset);
                *lock(&self.loggers) = applied.loggers;
                (None, applied.notes)
            }
            Err(error) => (Some(error), Vec::new()),
        };
        if !loaded.warnings.is_empty() {
            notes.insert(0, loaded.warnings);
        }
        current.reload = ReloadSnapshot {
            success: error.is_none(),
            timestamp: now(),
            error,
        };
        self.reloaded.notify_one();
        Some(Reloaded {
            generation: current.generation,
            reload: current.reload.clone(),
            notes,
        })
    }

    fn apply(&self, filter: &mut Filter, ruleset: Ruleset) -> Result<(Ruleset, Applied), String> {
        let applied = filter
            .apply(&request(&self.settings, &ruleset), &mut |_, _| ())
            .map_err(|error| error.to_string())?;
        Ok((ruleset, applied))
    }

    /// Removes the filter and every pin. The daemon has nothing left to do then.
    pub(super) fn detach(&self) -> Result<Vec<String>, datapath::Error> {
        let mut filter = lock(&self.filter);
        let interfaces = match filter.as_mut() {
            Some(filter) => filter.detach()?,
            None => Vec::new(),
        };
        *filter = None;
        Ok(interfaces)
    }

    /// What the filter has seen and done.
    pub fn snapshot(&self) -> Result<Snapshot, datapath::Error> {
        let reload = lock(&self.current).reload.clone();
        self.reader.snapshot(reload)
    }

    /// The same, and who says so.
    pub(super) fn status(&self) -> Result<Status, datapath::Error> {
        Ok(Status {
            daemon: Some(DaemonStatus {
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started: self.started,
                listen: format!("http://{}/", self.settings.listen),
                pin_dir: self.settings.pin_dir.clone(),
                policies: self.settings.policies.clone(),
            }),
            snapshot: self.snapshot()?,
        })
    }
}

fn load(settings: &Settings) -> Loaded {
    let compiled = compile_files(&settings.policies, &Disk);
    let rendered = compiled.diagnostics.render(false);
    let (result, warnings) = match compiled.ruleset {
        // Without errors, warnings are all there is.
        Some(ruleset) => (Ok(ruleset), rendered),
        None => (Err(rendered), String::new()),
    };
    Loaded {
        result,
        files: compiled.files.into_iter().collect(),
        warnings,
    }
}

fn request<'a>(settings: &'a Settings, ruleset: &'a Ruleset) -> Request<'a> {
    Request {
        interfaces: &settings.interfaces,
        mode: settings.mode,
        ruleset,
        log_packets: settings.log_packets,
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
