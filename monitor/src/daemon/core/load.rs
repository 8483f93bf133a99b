//! Policy files → what can be put in force, or why not.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use crate::{
    compile::{Ruleset, compile_files},
    config::Settings,
    datapath,
    error_text::error_text,
    feeds::DiskAndFeeds,
    lists::FeedUrl,
    policy::{DeviceNames, Feed, Files, Moment, Policy, RuntimeOverlay},
    regular_file::Purpose,
    state_dir::{
        LastGood, RUNTIME_FILE, Recorder, StateDirError, Unkept, read_runtime, set_runtime_aside,
    },
};

/// Why policies are not put in force.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The policies cannot be used.
    #[error("the policies have errors:\n{0}")]
    Policies(String),
    /// The policies are fine, and the kernel did not take the filter.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
    /// What has to outlive the daemon cannot be read or written.
    #[error(transparent)]
    Keep(#[from] StateDirError),
    /// Files that were not confirmed are not loaded unasked, and those before them
    /// cannot be read.
    #[error(
        "what was in force last cannot be used, so no newer list of a feed comes into force until `monitor reload` loads the policy files as they are"
    )]
    LastGood(#[source] StateDirError),
    /// The files must not come into force unasked, and there are no others.
    #[error(
        "the policy files were put in force with --confirm and never confirmed, and there are none that were in force before them; start with `--confirm 60s` and confirm them with `monitor confirm`, or remove {} where they are right",
        crate::printable::path(path)
    )]
    NeverConfirmed {
        /// What says so.
        path: PathBuf,
    },
}

/// Policies that were read and compiled, or why not.
pub(super) struct Loaded {
    pub(super) result: Result<Usable, LoadError>,
    /// The lists to fetch.
    pub(super) feeds: Vec<Feed>,
    pub(super) files: BTreeSet<PathBuf>,
    pub(super) warnings: String,
}

/// Policies without errors.
pub(super) struct Usable {
    pub(super) ruleset: Ruleset,
    pub(super) policies: Vec<Policy>,
    pub(super) devices: DeviceNames,
    /// What they were read from.
    pub(super) read: Unkept,
}

/// Why a reload failed: mending the files helps in one case only.
pub(super) fn reason(error: &LoadError) -> String {
    let text = error_text(error);
    match error {
        LoadError::Datapath(_) => {
            format!("the policies are fine, but the kernel did not take them: {text}")
        }
        LoadError::Policies(_)
        | LoadError::Keep(_)
        | LoadError::LastGood(_)
        | LoadError::NeverConfirmed { .. } => text,
    }
}

/// What commands changed before the last daemon ended. What cannot be read is
/// set aside: the files must be in force all the same.
pub(super) fn kept_changes(settings: &Settings, notes: &mut Vec<String>) -> RuntimeOverlay {
    read_runtime(&settings.state_dir).unwrap_or_else(|error| {
        let kept = match set_runtime_aside(&settings.state_dir) {
            Ok(aside) => format!("it is kept as {}", crate::printable::path(&aside)),
            Err(error) => format!("it cannot be set aside: {error}"),
        };
        notes.push(format!(
            "what `pause`, `block` and `allow` had changed cannot be read and is NOT in force: {error}; {kept}"
        ));
        RuntimeOverlay {
            file: settings.state_dir.join(RUNTIME_FILE),
            ..RuntimeOverlay::default()
        }
    })
}

/// What to say where the files are broken and those of the last time are not.
pub(super) const FELL_BACK: &str = "THE POLICY FILES CANNOT BE USED. What was in force last is loaded instead, until they are mended:";

/// The policies that were in force last, where a daemon kept them and they can
/// still be used; else `errors`, which are those of the files now.
pub(super) fn last_good(
    errors: &str,
    settings: &Settings,
    runtime: &RuntimeOverlay,
    moment: &Moment,
) -> Result<Usable, LoadError> {
    let refuse = |why: String| LoadError::Policies(format!("{errors}{why}"));
    let loaded = confirmed(settings, runtime, moment)
        .map_err(|error| refuse(format!("\nwhat was in force last cannot be used: {error}")))?;
    let result = loaded.and_then(|loaded| loaded.result.ok());
    result.ok_or_else(|| refuse(String::new()))
}

/// What was in force for good last, compiled for now; `None` where a daemon
/// kept nothing.
pub(super) fn confirmed(
    settings: &Settings,
    runtime: &RuntimeOverlay,
    moment: &Moment,
) -> Result<Option<Loaded>, StateDirError> {
    let kept = LastGood::open(&settings.state_dir)?;
    if kept.is_empty() {
        return Ok(None);
    }
    let files = KeptAndFeeds {
        kept,
        feeds: DiskAndFeeds::new(&settings.state_dir),
    };
    Ok(Some(load(settings, &files, runtime, moment)))
}

/// The files of the last time; what was fetched is kept by itself.
struct KeptAndFeeds {
    kept: LastGood,
    feeds: DiskAndFeeds,
}

impl Files for KeptAndFeeds {
    fn read(&self, path: &Path, purpose: Purpose) -> io::Result<Vec<u8>> {
        Files::read(&self.kept, path, purpose)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.kept.is_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        self.kept.list(directory)
    }

    fn feed(&self, url: &FeedUrl) -> io::Result<Option<Vec<u8>>> {
        self.feeds.feed(url)
    }
}

/// Reads the policies from `files` and compiles them.
pub(super) fn load(
    settings: &Settings,
    files: &dyn Files,
    runtime: &RuntimeOverlay,
    moment: &Moment,
) -> Loaded {
    let gateway = match settings.gateway() {
        Ok(gateway) => gateway,
        Err(error) => {
            return Loaded {
                result: Err(error.into()),
                feeds: Vec::new(),
                files: BTreeSet::new(),
                warnings: String::new(),
            };
        }
    };
    let recorder = Recorder::new(files, &settings.state_dir);
    let compiled = compile_files(&settings.policies, &recorder, runtime, moment, &gateway);
    let mut rendered = compiled.diagnostics.without_notes().render_some();
    if let Some(ruleset) = &compiled.ruleset {
        let attached = settings.real_interfaces();
        let attached = attached.unwrap_or_else(|_| settings.interfaces.clone());
        rendered.push_str(&elsewhere(ruleset, &attached));
    }
    let (result, warnings) = match compiled.ruleset {
        // Without errors, warnings are all there is.
        Some(ruleset) => {
            let usable = Usable {
                ruleset,
                policies: compiled.policies,
                devices: compiled.devices,
                read: recorder.into_unkept(),
            };
            (Ok(usable), rendered)
        }
        None => (Err(LoadError::Policies(rendered)), String::new()),
    };
    Loaded {
        result,
        feeds: compiled.feeds,
        files: compiled.files.into_iter().collect(),
        warnings,
    }
}

/// A line for each interface that policies name and the filter is not on: most
/// likely a slip, and without it nobody would see that they never match.
fn elsewhere(ruleset: &Ruleset, attached: &[String]) -> String {
    let named = ruleset.scopes.interfaces.keys();
    let missing = named.filter(|name| !attached.contains(name));
    let lines = missing.map(|name| match datapath::name_of_alternative(name) {
        Ok(Some(real)) => format!(
            "warning: policies name the interface {name}, which is an alternative name of {real}: write {real}\n"
        ),
        Ok(None) | Err(_) => {
            format!("warning: policies name the interface {name}, and the filter is not on it\n")
        }
    });
    lines.collect()
}
