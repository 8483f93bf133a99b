//! `monitor check`: validates policy files without touching the kernel.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _, path::PathBuf};

use clap::Args;
use monitor::{
    clock::now,
    compile::{Compiled, DerivedPrefixes, compile_files},
    feeds::DiskAndFeeds,
    policy::{Action, Diagnostics, Feed, ListSummary, Policy, PolicyName, RuntimeOverlay},
    printable,
    regular_file::read_kernel_text,
    snapshot::Prefixes,
};
use monitor_common::{
    DeviceCounters, DeviceKey, MAX_DEVICE_CELLS, MAX_NAMED_CELLS, MAX_NEIGHBOUR_CELLS, NEAR_CELLS,
    NearDevice,
};
use serde::Serialize;

use super::{Common, Outcome, eprint_diagnostics, print, print_json, tell};

/// Check policy files: report every error at once, each with its place and fix.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Policy files or directories [default: --policies].
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Report<'a> {
    /// Number of policy files and lists that were read.
    files: usize,
    policies: usize,
    /// Distinct prefixes of the compiled ruleset.
    prefixes: Prefixes,
    /// Number of IPv6 prefixes that are derived from IPv4 destinations.
    derived: DerivedReport,
    lists: Vec<ListReport<'a>>,
    /// Lists that the daemon downloads.
    feeds: Vec<FeedReport<'a>>,
    /// Changes by overlays.
    overrides: Vec<OverrideReport<'a>>,
    accepted_risks: Vec<AcceptedReport<'a>>,
    #[serde(flatten)]
    diagnostics: &'a Diagnostics,
}

/// Number of IPv6 prefixes that are derived from IPv4 destinations.
#[derive(Default, Serialize)]
struct DerivedReport {
    prefixes: usize,
    by: Vec<DerivedByReport>,
}

/// Number of prefixes that are derived by one mechanism, such as NAT64.
#[derive(Serialize)]
struct DerivedByReport {
    by: &'static str,
    prefix: String,
    prefixes: usize,
}

impl DerivedReport {
    fn new(derived: &[DerivedPrefixes]) -> Self {
        let by = derived.iter().map(|derived| DerivedByReport {
            by: derived.by.name(),
            prefix: derived.by.prefix_text(),
            prefixes: derived.prefixes,
        });
        Self {
            prefixes: derived.iter().map(|derived| derived.prefixes).sum(),
            by: by.collect(),
        }
    }
}

/// A list, with the number of lines that were used.
#[derive(Serialize)]
struct ListReport<'a> {
    file: Cow<'a, str>,
    format: &'static str,
    destinations: usize,
    left_out: usize,
    skipped: usize,
}

impl<'a> ListReport<'a> {
    fn new(list: &'a ListSummary) -> Self {
        Self {
            file: list.file.to_string_lossy(),
            format: list.kind.name(),
            destinations: list.destinations,
            left_out: list.left_out,
            skipped: list.skipped,
        }
    }
}

/// A feed, with the part of it that is in force.
#[derive(Serialize)]
struct FeedReport<'a> {
    url: &'a str,
    policies: Vec<&'a PolicyName>,
    refresh_seconds: u64,
    max_change_percent: u32,
    /// True if a good version is stored.
    fetched: bool,
    destinations: usize,
    cut: usize,
    /// Networks that were cut out, each with the number of destinations that lost addresses.
    cut_by: BTreeMap<&'a str, usize>,
}

impl<'a> FeedReport<'a> {
    fn new(feed: &'a Feed) -> Self {
        let in_force = feed.in_force.as_ref();
        let cut = in_force.map(|in_force| &in_force.cut);
        let by = cut.into_iter().flat_map(|cut| &cut.by);
        Self {
            url: feed.url.as_str(),
            policies: feed.policies.iter().collect(),
            refresh_seconds: feed.refresh.as_secs(),
            max_change_percent: feed.max_change.percent(),
            fetched: in_force.is_some(),
            destinations: in_force.map_or(0, |in_force| in_force.destinations),
            cut: cut.map_or(0, |cut| cut.destinations),
            cut_by: by
                .map(|(network, count)| (network.as_str(), *count))
                .collect(),
        }
    }
}

/// A policy that an overlay changed.
#[derive(Serialize)]
struct OverrideReport<'a> {
    policy: &'a PolicyName,
    source: String,
    changes: String,
    reason: Option<&'a str>,
}

impl<'a> OverrideReport<'a> {
    fn new(policy: &'a Policy) -> Option<Self> {
        let change = policy.changed()?;
        Some(Self {
            policy: policy.name(),
            source: change.source(),
            changes: change.changes(policy.action()),
            reason: change.reason(),
        })
    }
}

/// Risks that a policy accepts for one reason.
#[derive(Serialize)]
struct AcceptedReport<'a> {
    policy: &'a PolicyName,
    risks: Vec<&'static str>,
    reason: &'a str,
}

impl<'a> AcceptedReport<'a> {
    fn all(policies: &'a [Policy]) -> impl Iterator<Item = Self> {
        policies.iter().flat_map(|policy| {
            policy.accepted().iter().map(|accepted| Self {
                policy: policy.name(),
                risks: accepted.risks().map(|(risk, _)| risk.name()).collect(),
                reason: accepted.reason(),
            })
        })
    }
}

impl Check {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<Outcome> {
        let settings = common.settings()?;
        let gateway = settings.gateway()?;
        let paths = if self.paths.is_empty() {
            settings.policies
        } else {
            self.paths
        };
        let Compiled {
            ruleset,
            policies,
            files,
            lists,
            feeds,
            diagnostics,
            ..
        } = compile_files(
            &paths,
            &DiskAndFeeds::new(&settings.state_dir),
            &RuntimeOverlay::default(),
            &now(),
            &gateway,
        )
        .checked_for_room();
        eprint_diagnostics(&diagnostics);
        let prefixes = ruleset
            .as_ref()
            .map_or_else(Prefixes::default, |ruleset| Prefixes {
                v4: ruleset.ipv4.len(),
                v6: ruleset.ipv6.len(),
            });
        let derived = ruleset.as_ref().map_or(&[][..], |ruleset| &ruleset.derived);
        let overrides = policies.iter().filter_map(OverrideReport::new);
        if common.json {
            print_json(&Report {
                files: files.len(),
                policies: policies.len(),
                prefixes,
                derived: DerivedReport::new(derived),
                lists: lists.iter().map(ListReport::new).collect(),
                feeds: feeds.iter().map(FeedReport::new).collect(),
                overrides: overrides.collect(),
                accepted_risks: AcceptedReport::all(&policies).collect(),
                diagnostics: &diagnostics,
            })?;
        } else if diagnostics.has_errors() {
            tell(&format!(
                "{}: the policies cannot be used",
                counts(&diagnostics)
            ));
        } else {
            let text = summary(files.len(), &policies, prefixes, possible_cpus());
            let derived = derived_line(derived);
            let lists = skipped(&lists);
            let cut = cut(&feeds);
            let overrides = overridden(overrides);
            let accepted = accepted(AcceptedReport::all(&policies));
            let counts = counts(&diagnostics);
            print(&format!(
                "{text}{derived}{lists}{cut}{overrides}{accepted}{counts}\n"
            ))?;
        }
        Ok(if diagnostics.has_errors() {
            Outcome::CheckFoundErrors
        } else {
            Outcome::Fine
        })
    }
}

fn counts(diagnostics: &Diagnostics) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (errors, warnings) = (diagnostics.error_count(), diagnostics.warning_count());
    let notes = match diagnostics.notes().count() {
        0 => String::new(),
        notes => format!(", {notes} note{}", plural(notes)),
    };
    format!(
        "{errors} error{}, {warnings} warning{}{notes}",
        plural(errors),
        plural(warnings)
    )
}

/// A line with the number of derived prefixes, if there are any.
fn derived_line(derived: &[DerivedPrefixes]) -> String {
    let count: usize = derived.iter().map(|derived| derived.prefixes).sum();
    if count == 0 {
        return String::new();
    }
    let each = derived
        .iter()
        .map(|derived| format!("{} by {}", derived.prefixes, derived.by));
    let each: Vec<String> = each.collect();
    format!(
        "derived   {count} of the IPv6 prefixes, from IPv4 destinations: {} (`derive: none` leaves them out)\n",
        each.join(", ")
    )
}

/// A line for each list with skipped lines.
fn skipped(lists: &[ListSummary]) -> String {
    let with = lists.iter().filter(|list| list.skipped > 0);
    let lines = with.map(|list| {
        format!(
            "skipped   {} of {} lines of {}\n",
            list.skipped,
            list.skipped + list.destinations + list.left_out,
            printable::path(&list.file)
        )
    });
    lines.collect()
}

/// A line for each feed with destinations that were cut out.
fn cut(feeds: &[Feed]) -> String {
    let each = feeds.iter().filter_map(|feed| {
        let in_force = feed.in_force.as_ref()?;
        let count = in_force.cut.destinations;
        let networks = in_force.cut.networks();
        (count > 0).then(|| {
            format!(
                "cut       {count} destinations of {}: {networks}\n",
                feed.url
            )
        })
    });
    each.collect()
}

/// A line for each policy that an overlay changed.
fn overridden<'a>(overrides: impl Iterator<Item = OverrideReport<'a>>) -> String {
    let lines = overrides.map(|change| {
        let OverrideReport {
            policy,
            source,
            changes,
            reason,
        } = change;
        let reason = reason.map_or_else(String::new, |reason| {
            format!(": {}", printable::value(reason))
        });
        format!("override  {policy}: {changes} ({source}){reason}\n")
    });
    lines.collect()
}

/// A line for each policy that accepts risks.
fn accepted<'a>(accepted: impl Iterator<Item = AcceptedReport<'a>>) -> String {
    let lines = accepted.map(|accepted| {
        let AcceptedReport {
            policy,
            risks,
            reason,
        } = accepted;
        format!(
            "accepts   {policy}: {}: {}\n",
            risks.join(", "),
            printable::value(reason)
        )
    });
    lines.collect()
}

fn summary(files: usize, policies: &[Policy], prefixes: Prefixes, cpus: Option<usize>) -> String {
    let mut by_action: BTreeMap<Action, usize> = BTreeMap::new();
    for policy in policies.iter().filter(|policy| policy.enabled()) {
        *by_action.entry(policy.action()).or_default() += 1;
    }
    let disabled = policies.iter().filter(|policy| !policy.enabled()).count();
    let mut parts: Vec<String> = by_action
        .iter()
        .map(|(action, count)| format!("{count} {action}"))
        .collect();
    parts.extend((disabled > 0).then(|| format!("{disabled} disabled")));
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "files     {files}");
    let _ = writeln!(text, "policies  {} ({})", policies.len(), parts.join(", "));
    let _ = writeln!(text, "prefixes  {} IPv4, {} IPv6", prefixes.v4, prefixes.v6);
    if let Some(cpus) = cpus {
        let _ = writeln!(
            text,
            "devices   {:.1} MiB of kernel memory for {DEVICE_PLACES} (device, policy) on {cpus} possible CPUs",
            device_table_mebibytes(cpus)
        );
    }
    text
}

/// Number of places in all device tables.
const DEVICE_PLACES: u32 = MAX_DEVICE_CELLS + MAX_NAMED_CELLS + MAX_NEIGHBOUR_CELLS;

/// Size of the keys, and of the cells of each possible CPU, in MiB, without the
/// kernel's own overhead.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn device_table_mebibytes(cpus: usize) -> f64 {
    let entry = size_of::<DeviceKey>() + cpus * size_of::<DeviceCounters>();
    let near = cpus * NEAR_CELLS as usize * size_of::<NearDevice>();
    (DEVICE_PLACES as usize * entry + near) as f64 / (1024.0 * 1024.0)
}

/// Number of CPUs for which the kernel reserves per-CPU memory; `None` if unknown.
fn possible_cpus() -> Option<usize> {
    count_cpus(&read_kernel_text("/sys/devices/system/cpu/possible").ok()?)
}

/// Counts a list such as `0-3,8`.
fn count_cpus(ranges: &str) -> Option<usize> {
    let counts = ranges.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        (last + 1).checked_sub(first)
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use monitor::policy::{Diagnostic, Place};

    use super::*;

    #[test]
    fn cpus_are_counted_over_ranges() {
        assert_eq!(count_cpus("0\n"), Some(1));
        assert_eq!(count_cpus("0-3\n"), Some(4));
        assert_eq!(count_cpus("0-3,8,10-11\n"), Some(7));
        assert_eq!(count_cpus("3-0"), None);
        assert_eq!(count_cpus(""), None);
    }

    #[test]
    fn notes_are_counted_and_told_apart() {
        let place = || Place::file_only(Path::new("web.yaml"));
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(Diagnostic::warning(place(), "may not be meant", "look"));
        assert_eq!(counts(&diagnostics), "0 errors, 1 warning");
        diagnostics.push(Diagnostic::note(place(), "worth knowing", "nothing"));
        diagnostics.push(Diagnostic::note(place(), "this too", "nothing"));
        assert_eq!(counts(&diagnostics), "0 errors, 1 warning, 2 notes");
        assert!(!diagnostics.has_errors());
        let json = serde_json::to_value(&diagnostics).unwrap();
        assert_eq!(json["errors"].as_array().unwrap().len(), 0);
        assert_eq!(json["warnings"][0]["message"], "may not be meant");
        assert_eq!(json["notes"][1]["message"], "this too");
        let logged = diagnostics.without_notes().render(false);
        assert!(logged.starts_with("warning: may not be meant"), "{logged}");
        assert!(!logged.contains("note: "), "{logged}");
    }
}
