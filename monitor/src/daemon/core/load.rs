//! Reads and compiles policy files.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::state::PoliciesInForce;
use crate::{
    compile::Ruleset,
    config::Settings,
    datapath,
    error_text::error_text,
    feeds::DiskAndFeeds,
    lists::FeedUrl,
    pipeline::compile_files_after,
    policy::{Files, Moment, RuntimeOverlay},
    regular_file::Purpose,
    state_dir::{
        LastGood, RUNTIME_FILE, Recorder, StateDirError, UnsavedLastGood, read_runtime,
        set_runtime_aside,
    },
};

/// Reasons why policies are not put in force.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The policies cannot be used.
    #[error("the policies have errors:\n{0}")]
    Policies(String),
    /// The guard refuses the policies.
    #[error("the policies have errors:\n{0}")]
    LockOut(String),
    /// The policies are correct, but the filter could not be changed.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
    /// A file of the state directory cannot be read or written.
    #[error(transparent)]
    Keep(#[from] StateDirError),
    /// The policy files were not confirmed, so they are loaded only on request. The
    /// last good files cannot be read.
    #[error(
        "what was in force last cannot be used, so no newer list of a feed comes into force until `monitor reload` loads the policy files as they are"
    )]
    LastGood(#[source] StateDirError),
    /// The state directory does not have the files that a trial goes back to.
    #[error(
        "no trial without the files to go back to, and these cannot be kept; make room in the state directory, run `monitor reload`, then try again"
    )]
    NotSaved(#[source] StateDirError),
    /// The policy files were not confirmed, so they are loaded only on request.
    /// There are no last good files.
    #[error(
        "the policy files were put in force with --confirm and never confirmed, and there are no earlier ones; start with `--confirm 60s` and confirm them with `monitor confirm`, or, if the files are correct, remove {}",
        crate::printable::path(path)
    )]
    NeverConfirmed {
        /// Record of the files that were not confirmed.
        path: PathBuf,
    },
}

/// Result of reading and compiling policies.
pub(super) struct Loaded {
    pub(super) result: Result<Usable, LoadError>,
    /// Every file that was read, or should have been read.
    pub(super) files: BTreeSet<PathBuf>,
    pub(super) warnings: String,
}

/// Policies without errors.
pub(super) struct Usable {
    pub(super) policies: PoliciesInForce,
    /// Archive of the files that the policies were read from.
    pub(super) read: UnsavedLastGood,
}

/// Text of a failed reload. It says whether to fix the files or something else.
pub(super) fn reason(error: &LoadError) -> String {
    let text = error_text(error);
    match error {
        LoadError::Datapath(_) => {
            format!("the policies are fine, but the kernel did not take them: {text}")
        }
        LoadError::Policies(_)
        | LoadError::LockOut(_)
        | LoadError::Keep(_)
        | LoadError::LastGood(_)
        | LoadError::NotSaved(_)
        | LoadError::NeverConfirmed { .. } => text,
    }
}

/// Reads the changes by commands that the last daemon stored. Renames an unreadable
/// file, because it must not keep the policy files from coming into force.
pub(super) fn kept_changes(settings: &Settings, notes: &mut Vec<String>) -> RuntimeOverlay {
    read_runtime(&settings.state_dir).unwrap_or_else(|error| {
        let kept = match set_runtime_aside(&settings.state_dir) {
            Ok(aside) => format!("it is kept as {}", crate::printable::path(&aside)),
            Err(error) => format!("it cannot be set aside: {error}"),
        };
        notes.push(format!(
            "the changes by `pause`, `block` and `allow` cannot be read and are NOT in force: {error}; {kept}"
        ));
        RuntimeOverlay {
            file: settings.state_dir.join(RUNTIME_FILE),
            ..RuntimeOverlay::default()
        }
    })
}

/// First line of the message about broken policy files with usable last good ones.
pub(super) const FELL_BACK: &str = "THE POLICY FILES CANNOT BE USED. What was in force last is loaded instead, until they are fixed:";

/// Loads the policies that were in force last. If there are none, or if they cannot
/// be used, fails with `errors`, the errors of the current files.
pub(super) fn last_good(
    errors: &str,
    settings: &Settings,
    runtime: &RuntimeOverlay,
    moment: &Moment,
) -> Result<Usable, LoadError> {
    let refuse = |why: String| LoadError::Policies(format!("{errors}{why}"));
    let unusable = |error: &dyn std::error::Error| {
        refuse(format!(
            "\nthe policies that were in force last cannot be used either: {error}"
        ))
    };
    match load_last_good(settings, runtime, moment, None) {
        Err(error) => Err(unusable(&error)),
        Ok(None) => Err(refuse(String::new())),
        Ok(Some(loaded)) => loaded.result.map_err(|error| unusable(&error)),
    }
}

/// Loads the policies that were last in force permanently, compiled for `moment`.
/// `None` if no daemon stored any.
pub(super) fn load_last_good(
    settings: &Settings,
    runtime: &RuntimeOverlay,
    moment: &Moment,
    earlier: Option<&PoliciesInForce>,
) -> Result<Option<Loaded>, StateDirError> {
    let kept = LastGood::open(&settings.state_dir)?;
    if kept.is_empty() {
        return Ok(None);
    }
    let files = KeptAndFeeds {
        kept,
        feeds: DiskAndFeeds::new(&settings.state_dir),
    };
    Ok(Some(load(settings, &files, runtime, moment, earlier)))
}

/// The last good policy files, with the feeds from their own store.
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

/// Reads the policies from `files` and compiles them. Takes what did not change from
/// `earlier`, the policies in force.
pub(super) fn load(
    settings: &Settings,
    files: &dyn Files,
    runtime: &RuntimeOverlay,
    moment: &Moment,
    earlier: Option<&PoliciesInForce>,
) -> Loaded {
    let gateway = match settings.gateway() {
        Ok(gateway) => gateway,
        Err(error) => {
            return Loaded {
                result: Err(error.into()),
                files: BTreeSet::new(),
                warnings: String::new(),
            };
        }
    };
    let recorder = Recorder::new(files, &settings.state_dir);
    let earlier = earlier.map(PoliciesInForce::for_a_reload);
    let policies = &settings.policies;
    let compiled = compile_files_after(policies, &recorder, runtime, moment, &gateway, earlier);
    let mut rendered = compiled.diagnostics.without_notes().render_some();
    if let Some(ruleset) = &compiled.ruleset {
        let attached = settings.real_interfaces();
        let attached = attached.unwrap_or_else(|_| settings.interfaces.clone());
        rendered.push_str(&elsewhere(ruleset, &attached));
    }
    let (result, warnings) = match compiled.ruleset {
        // Without errors, the diagnostics are warnings only.
        Some(ruleset) => {
            let policies = PoliciesInForce {
                policies: compiled.policies.into(),
                devices: Arc::new(compiled.devices),
                feeds: compiled.feeds.into(),
                known: Arc::new(compiled.known),
                as_of: moment.at,
                ruleset: Arc::new(ruleset),
                kernel_is_behind: false,
            };
            let read = recorder.into_unkept();
            (Ok(Usable { policies, read }), rendered)
        }
        None if compiled.locks_out => (Err(LoadError::LockOut(rendered)), String::new()),
        None => (Err(LoadError::Policies(rendered)), String::new()),
    };
    Loaded {
        result,
        files: compiled.files.into_iter().collect(),
        warnings,
    }
}

/// Returns a warning for each interface that policies name and the filter is not
/// on. It is most likely a typing error, and the policy never matches there.
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
