//! What `check` prints for a reader.

use std::{collections::BTreeMap, fmt::Write as _};

use monitor::{
    compile::DerivedPrefixes,
    policy::{Action, Diagnostics, Feed, ListSummary, Policy},
    printable,
    regular_file::read_kernel_text,
    snapshot::Prefixes,
};
use monitor_common::{
    DeviceCounters, DeviceKey, MAX_DEVICE_CELLS, MAX_NAMED_CELLS, MAX_NEIGHBOUR_CELLS, NEAR_CELLS,
    NearDevice,
};

use super::report::{AcceptedReport, OverrideReport};

/// How many errors, warnings and notes there are.
pub(super) fn counts(diagnostics: &Diagnostics) -> String {
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
pub(super) fn derived_line(derived: &[DerivedPrefixes]) -> String {
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

/// A line for each JSON document, with the path by which it was read.
pub(super) fn read_by(lists: &[ListSummary]) -> String {
    let lines = lists.iter().filter_map(|list| {
        let how = printable::value(list.how.as_deref()?);
        Some(format!(
            "read      {} as {how}\n",
            printable::path(&list.file)
        ))
    });
    lines.collect()
}

/// A line for each list with skipped lines.
pub(super) fn skipped(lists: &[ListSummary]) -> String {
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

/// A line for each list that has entries with options.
pub(super) fn with_options(lists: &[ListSummary]) -> String {
    let with = lists.iter().filter(|list| list.with_options > 0);
    let lines = with.map(|list| {
        format!(
            "options   ignored in {} entries of {}: timeouts, comments and the like\n",
            list.with_options,
            printable::path(&list.file)
        )
    });
    lines.collect()
}

/// A line for each feed with destinations that were cut out.
pub(super) fn cut(feeds: &[Feed]) -> String {
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
pub(super) fn overridden<'a>(overrides: impl Iterator<Item = OverrideReport<'a>>) -> String {
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
pub(super) fn accepted<'a>(accepted: impl Iterator<Item = AcceptedReport<'a>>) -> String {
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

/// The first lines: files, policies by action, prefixes and memory.
pub(super) fn summary(
    files: usize,
    policies: &[Policy],
    prefixes: Prefixes,
    cpus: Option<usize>,
) -> String {
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
pub(super) fn possible_cpus() -> Option<usize> {
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

    use monitor::policy::{Diagnostic, SourcePlace};

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
        let place = || SourcePlace::file_only(Path::new("web.yaml"));
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
