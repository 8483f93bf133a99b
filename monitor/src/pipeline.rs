//! Policy files → ruleset: load, overlay, guard, compile, in this order.
//!
//! ```text
//! files ─► load ─► overlay ─► guard ─► compile ─► Compiled
//! ```
//!
//! `check`, `explain`, `replay`, the gate of feeds and the daemon read policies
//! through this module. So each of them sees the same policies and errors.

use std::path::PathBuf;

use crate::{
    compile::{self, Ruleset, check_room, compile_after, shadowed_drops, stopped_handshakes},
    guard::{Gateway, guard},
    policy::{
        DeviceNames, Diagnostics, Feed, Files, KnownLists, ListSummary, Loaded, Moment, Policy,
        RuntimeOverlay, load_after,
    },
};

/// What the pipeline made of policy files.
#[derive(Debug)]
pub struct Compiled {
    /// `None` where `diagnostics` has errors.
    pub ruleset: Option<Ruleset>,
    /// Sorted by name. Where there are errors, the policies that could be read.
    pub policies: Vec<Policy>,
    /// Every policy file and list that was read, or that could not be read.
    pub files: Vec<PathBuf>,
    /// The lists that were read, sorted by path.
    pub lists: Vec<ListSummary>,
    /// The lists that the daemon fetches, sorted by URL.
    pub feeds: Vec<Feed>,
    /// Devices with names.
    pub devices: DeviceNames,
    /// The lists that a later run may take over.
    pub known: KnownLists,
    /// True if the guard refuses a policy.
    pub locks_out: bool,
    /// All errors and warnings.
    pub diagnostics: Diagnostics,
}

/// An earlier run, from which a run takes what did not change. Both need the same
/// gateway.
#[derive(Clone, Copy, Debug)]
pub struct Earlier<'a> {
    /// The lists that it read.
    pub known: &'a KnownLists,
    /// Its policies, as they were when they were compiled, and their ruleset.
    pub compiled: compile::Earlier<'a>,
}

/// Runs the pipeline up to the guard: reads the policies under `paths`, changes
/// them as `runtime` says, and judges them at `moment` for `gateway`.
///
/// A policy that would cut the gateway's network off is an error. The guard
/// judges only policies that have no other error.
#[must_use]
pub fn judge_files(
    paths: &[PathBuf],
    files: &dyn Files,
    runtime: &RuntimeOverlay,
    moment: &Moment,
    gateway: &Gateway,
) -> Loaded {
    let mut loaded = overlaid(paths, files, runtime, moment, gateway, None);
    if !loaded.diagnostics.has_errors() {
        judge(&mut loaded, gateway);
    }
    loaded
}

/// Runs the whole pipeline: as [`judge_files`], then compiles the policies that
/// are active at `moment`.
///
/// Policies that the guard refuses are compiled too, so that the diagnostics
/// also name the limits of the kernel that they exceed.
#[must_use]
pub fn compile_files(
    paths: &[PathBuf],
    files: &dyn Files,
    runtime: &RuntimeOverlay,
    moment: &Moment,
    gateway: &Gateway,
) -> Compiled {
    compile_files_after(paths, files, runtime, moment, gateway, None)
}

/// Gives the same result as [`compile_files`]. Reads and compiles only what changed since
/// `earlier`.
#[must_use]
pub fn compile_files_after(
    paths: &[PathBuf],
    files: &dyn Files,
    runtime: &RuntimeOverlay,
    moment: &Moment,
    gateway: &Gateway,
    earlier: Option<Earlier<'_>>,
) -> Compiled {
    let mut loaded = overlaid(paths, files, runtime, moment, gateway, earlier);
    let mut ruleset = None;
    let mut locks_out = false;
    if !loaded.diagnostics.has_errors() {
        judge(&mut loaded, gateway);
        locks_out = loaded.diagnostics.has_errors();
        ruleset = compiled(&mut loaded, gateway, earlier);
    }
    Compiled {
        ruleset,
        policies: loaded.policies,
        files: loaded.files,
        lists: loaded.lists,
        feeds: loaded.feeds,
        devices: loaded.devices,
        locks_out,
        known: loaded.known,
        diagnostics: loaded.diagnostics,
    }
}

impl Compiled {
    /// Adds an error where the tries of the ruleset have no room in the kernel.
    ///
    /// Building a generation finds that out too. So only callers that build none
    /// need this check, which compiles the tries a second time.
    #[must_use]
    pub fn checked_for_room(mut self) -> Self {
        let ruleset = self.ruleset.as_ref();
        if let Some(Err(error)) = ruleset.map(|ruleset| check_room(ruleset, &self.policies)) {
            self.diagnostics.push(*error);
            self.ruleset = None;
        }
        self
    }
}

fn overlaid(
    paths: &[PathBuf],
    files: &dyn Files,
    runtime: &RuntimeOverlay,
    moment: &Moment,
    gateway: &Gateway,
    earlier: Option<Earlier<'_>>,
) -> Loaded {
    let none = KnownLists::default();
    let known = earlier.map_or(&none, |earlier| earlier.known);
    let mut loaded = load_after(paths, files, &gateway.networks, known);
    let overlaid = runtime.put_on(&mut loaded.policies, moment);
    loaded.diagnostics.append(overlaid);
    loaded
}

fn judge(loaded: &mut Loaded, gateway: &Gateway) {
    let risks = guard(&loaded.policies, gateway, &loaded.texts);
    loaded.diagnostics.append(risks);
}

/// The ruleset, or `None` where this stage or an earlier one finds errors.
fn compiled(
    loaded: &mut Loaded,
    gateway: &Gateway,
    earlier: Option<Earlier<'_>>,
) -> Option<Ruleset> {
    let earlier = earlier.map(|earlier| earlier.compiled);
    match compile_after(&loaded.policies, &gateway.derivation, earlier) {
        Ok(ruleset) => {
            let shadowed = shadowed_drops(&loaded.policies, &ruleset);
            loaded.diagnostics.append(shadowed);
            let stopped = stopped_handshakes(&loaded.policies, &ruleset);
            loaded.diagnostics.append(stopped);
            (!loaded.diagnostics.has_errors()).then_some(ruleset)
        }
        Err(errors) => {
            loaded.diagnostics.append(errors);
            None
        }
    }
}
