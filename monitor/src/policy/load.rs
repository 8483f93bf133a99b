//! Paths → policies: finds the files, reads them in order, and checks the rules
//! that involve several policies.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use super::{
    DeviceNames, PolicyName, builder, conditions,
    devices::Definitions,
    diagnostic::{Diagnostic, Diagnostics, SourceFile, SourcePlace},
    feed::Feed,
    files::Files,
    list::{KnownLists, ListSummary, Lists, utf8},
    model::Policy,
    overlay::Overlays,
    place::Texts,
    source::{self, Contents},
};
use crate::{
    lists::OwnNetwork,
    regular_file::{FileProblem, Purpose},
};

/// The content of the policy files.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Sorted by name. Invalid if `diagnostics` has errors.
    pub policies: Vec<Policy>,
    /// Every policy file, overlay and list that was read or tried, sorted. The
    /// daemon watches them.
    pub files: Vec<PathBuf>,
    /// The lists that were read, sorted by path.
    pub lists: Vec<ListSummary>,
    /// The feeds, sorted by URL.
    pub feeds: Vec<Feed>,
    /// The named devices.
    pub devices: DeviceNames,
    /// The texts that the policies were read from.
    pub texts: Texts,
    /// The lists that a later load may take over.
    pub known: KnownLists,
    /// Errors, warnings and notes, sorted by place.
    pub diagnostics: Diagnostics,
}

/// Reads the policies at `paths`. A path is a file, or a directory of which all
/// `*.yaml` and `*.yml` files are read. Files named `*.local.yaml` or
/// `*.local.yml` are overlays, and change policies of all files that are read.
/// List paths are relative to the policy file.
#[must_use]
pub fn load(paths: &[PathBuf], files: &dyn Files) -> Loaded {
    load_for(paths, files, &[])
}

/// Does the same as [`load`] for a gateway with the networks `own`, which are
/// removed from feeds.
#[must_use]
pub fn load_for(paths: &[PathBuf], files: &dyn Files, own: &[OwnNetwork]) -> Loaded {
    load_after(paths, files, own, &KnownLists::default())
}

/// Gives the same result as [`load_for`]. Takes a list over from `earlier`, the lists of an
/// earlier load, if its file has the same bytes.
#[must_use]
pub fn load_after(
    paths: &[PathBuf],
    files: &dyn Files,
    own: &[OwnNetwork],
    earlier: &KnownLists,
) -> Loaded {
    let mut out = Diagnostics::default();
    let policy_files = find(paths, files, &mut out);
    let (overlay_files, own_files): (Vec<_>, Vec<_>) =
        policy_files.iter().partition(|path| is_overlay(path));
    let overlays = read_overlays(&overlay_files, files, &mut out);
    let mut sources = read_sources(&own_files, files, &mut out);
    refuse_unknown_names(&overlays, &sources, own_files.len(), &mut out);
    let mut definitions = Definitions::default();
    let mut complete = sources.len() == own_files.len();
    for (file, contents) in &mut sources {
        let devices = contents.devices.take();
        complete &= devices.is_some();
        definitions.add(devices.unwrap_or_default(), file, &mut out);
    }
    let devices = definitions.resolve(complete, &mut out);
    refuse_no_policy(&sources, &mut out);
    let mut lists = Lists::new(files, own, earlier);
    let mut policies = Vec::new();
    let mut texts = Texts::default();
    for (file, contents) in sources {
        for typed in contents.policies {
            let change = overlays.of(typed.name.as_ref().map(|name| &name.value));
            policies.extend(builder::policy(
                typed, change, &file, &devices, &mut lists, &mut out,
            ));
        }
        texts.add(file);
    }
    refuse_equal_names(&policies, &mut out);
    warn_if_none_is_enabled(&policies, &mut out);
    conditions::note_fragments(&policies, &mut out);
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    let all: BTreeSet<PathBuf> = policy_files.iter().chain(lists.paths()).cloned().collect();
    let summaries = lists.summaries();
    let known = lists.take_known();
    let feeds = lists.into_texts(&mut texts, &policies, &mut out);
    out.sort();
    Loaded {
        policies,
        files: all.into_iter().collect(),
        lists: summaries,
        feeds,
        devices,
        texts,
        known,
        diagnostics: out,
    }
}

fn find(paths: &[PathBuf], files: &dyn Files, out: &mut Diagnostics) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        let here = if files.is_directory(path) {
            in_directory(path, files, out)
        } else {
            vec![path.clone()]
        };
        for path in here {
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

fn in_directory(directory: &Path, files: &dyn Files, out: &mut Diagnostics) -> Vec<PathBuf> {
    let place = || SourcePlace::file_only(directory);
    let listed = match files.list(directory) {
        Ok(listed) => listed,
        Err(error) => {
            let message = format!("list the directory: {error}");
            out.push(Diagnostic::error(
                place(),
                message,
                "make the directory readable for this user",
            ));
            return Vec::new();
        }
    };
    let mut found: Vec<PathBuf> = listed
        .into_iter()
        .filter(|path| is_policy_file(path))
        .collect();
    found.sort();
    if found.iter().all(|path| is_overlay(path)) {
        out.push(Diagnostic::error(
            place(),
            "the directory holds no policy file (*.yaml, *.yml), so that nothing would be protected",
            "put a policy file there, or name another directory with --policies",
        ));
    }
    found
}

/// True if a file of this name in a directory is read as a policy file. Hidden
/// files are not: editors keep them beside the file that is edited.
pub(crate) fn is_policy_file(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    yaml && !hidden
}

/// True for `*.local.yaml` and `*.local.yml`: these files change policies and
/// define none.
fn is_overlay(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    is_policy_file(path) && stem.ends_with(".local")
}

fn read_overlays(paths: &[&PathBuf], files: &dyn Files, out: &mut Diagnostics) -> Overlays {
    let mut overlays = Overlays::default();
    for path in paths {
        if let Some(file) = read(path, files, out) {
            let overrides = source::read_overlay(&file, out);
            overlays.add(overrides, out);
        }
    }
    overlays
}

/// Parses each file that can be read.
fn read_sources(
    paths: &[&PathBuf],
    files: &dyn Files,
    out: &mut Diagnostics,
) -> Vec<(SourceFile, Contents)> {
    let mut sources = Vec::new();
    for path in paths {
        if let Some(file) = read(path, files, out) {
            let typed = source::read(&file, out);
            sources.push((file, typed));
        }
    }
    sources
}

/// Reports overrides of unknown policies. Reports nothing if a file or the name
/// of a policy could not be read, because the policy may be there.
fn refuse_unknown_names(
    overlays: &Overlays,
    sources: &[(SourceFile, Contents)],
    files: usize,
    out: &mut Diagnostics,
) {
    let all_named = |contents: &Contents| {
        let devices = contents.devices.as_ref();
        let empty = contents.policies.is_empty() && devices.is_none_or(Vec::is_empty);
        !empty && contents.policies.iter().all(|policy| policy.name.is_some())
    };
    let complete = sources.len() == files && sources.iter().all(|(_, all)| all_named(all));
    if !complete {
        return;
    }
    let typed = sources.iter().flat_map(|(_, contents)| &contents.policies);
    let names = typed.filter_map(|policy| Some(policy.name.as_ref()?.value.clone()));
    overlays.refuse_unknown(&names.collect(), out);
}

fn read(path: &Path, files: &dyn Files, out: &mut Diagnostics) -> Option<SourceFile> {
    let place = || SourcePlace::file_only(path);
    let bytes = match files.read(path, Purpose::Policies) {
        Ok(bytes) => bytes,
        Err(error) => {
            out.push(not_read(place(), &error));
            return None;
        }
    };
    match utf8(bytes) {
        Ok(text) => Some(SourceFile::new(path, text)),
        Err(offset) => {
            let message = format!("the policy file is not UTF-8 text (byte {offset})");
            out.push(Diagnostic::error(
                place(),
                message,
                "save the file as UTF-8",
            ));
            None
        }
    }
}

fn not_read(place: SourcePlace, error: &io::Error) -> Diagnostic {
    let (why, fix) = match FileProblem::of(error) {
        Some(problem) => (problem.why(), problem.fix()),
        None => (
            error.to_string(),
            "correct the path or the file's permissions",
        ),
    };
    Diagnostic::error(place, format!("read the policy file: {why}"), fix)
}

fn refuse_equal_names(policies: &[Policy], out: &mut Diagnostics) {
    let mut first: BTreeMap<&PolicyName, &SourcePlace> = BTreeMap::new();
    for policy in policies {
        let Some(other) = first.get(policy.name()) else {
            first.insert(policy.name(), policy.place());
            continue;
        };
        let message = format!("there is a second policy named `{}`", policy.name());
        let help = "give one of the two another name: counters and reports go by the name";
        out.push(
            Diagnostic::error(policy.place().clone(), message, help)
                .with_related((*other).clone(), "the first one is here"),
        );
    }
}

/// Reports an error if no file has a policy. A single file may have none, for
/// example if it only names devices.
fn refuse_no_policy(sources: &[(SourceFile, Contents)], out: &mut Diagnostics) {
    let [(first, _), ..] = sources else { return };
    let none = sources.iter().all(|(_, all)| all.policies.is_empty());
    if none && !out.has_errors() {
        out.push(Diagnostic::error(
            SourcePlace::file_only(first.path()),
            "there are names for devices and no policy, so that nothing would be protected",
            "give the files with the policies too, or add `policies:`",
        ));
    }
}

fn warn_if_none_is_enabled(policies: &[Policy], out: &mut Diagnostics) {
    if let Some(first) = policies.first()
        && policies.iter().all(|policy| !policy.enabled)
    {
        let message = "no policy is enabled, so that nothing is counted or dropped";
        let help = "remove `enabled: false` from a policy that should hold";
        out.push(Diagnostic::warning(first.place.clone(), message, help));
    }
}
