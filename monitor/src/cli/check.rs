//! `monitor check`: validates policy files without touching the kernel.

mod report;
mod text;

use std::path::PathBuf;

use clap::Args;
use monitor::{
    clock::now,
    compile::DerivedPrefixes,
    feeds::DiskAndFeeds,
    pipeline::{Compiled, compile_files},
    policy::RuntimeOverlay,
    snapshot::Prefixes,
};

use self::{
    report::{AcceptedReport, DerivedReport, FeedReport, ListReport, OverrideReport, Report},
    text::{
        accepted, counts, cut, derived_line, overridden, possible_cpus, read_by, skipped, summary,
        with_options,
    },
};
use super::{Common, Outcome, eprint_diagnostics, print, print_json, tell};

/// Check policy files: report every error at once, each with its place and fix.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Policy files or directories [default: --policies].
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

impl Check {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<Outcome> {
        let settings = common.settings()?;
        let gateway = settings.gateway()?;
        for warning in settings.data.warnings() {
            tell(&format!("warning: {warning}"));
        }
        let paths = if self.paths.is_empty() {
            settings.policies
        } else {
            self.paths
        };
        let compiled = compile_files(
            &paths,
            &DiskAndFeeds::new(&settings.state_dir),
            &RuntimeOverlay::default(),
            &now(),
            &gateway,
        )
        .checked_for_room();
        let diagnostics = &compiled.diagnostics;
        eprint_diagnostics(diagnostics);
        if common.json {
            print_json(&report(&compiled))?;
        } else if diagnostics.has_errors() {
            tell(&format!(
                "{}: the policies cannot be used",
                counts(diagnostics)
            ));
        } else {
            print(&text(&compiled))?;
        }
        Ok(if diagnostics.has_errors() {
            Outcome::CheckFoundErrors
        } else {
            Outcome::Fine
        })
    }
}

fn report(compiled: &Compiled) -> Report<'_> {
    let policies = &compiled.policies;
    Report {
        files: compiled.files.len(),
        policies: policies.len(),
        prefixes: prefixes(compiled),
        derived: DerivedReport::new(derived(compiled)),
        lists: compiled.lists.iter().map(ListReport::new).collect(),
        feeds: compiled.feeds.iter().map(FeedReport::new).collect(),
        overrides: policies.iter().filter_map(OverrideReport::new).collect(),
        accepted_risks: AcceptedReport::all(policies).collect(),
        diagnostics: &compiled.diagnostics,
    }
}

fn text(compiled: &Compiled) -> String {
    let policies = &compiled.policies;
    let prefixes = prefixes(compiled);
    let mut text = summary(compiled.files.len(), policies, prefixes, possible_cpus());
    text.push_str(&derived_line(derived(compiled)));
    text.push_str(&read_by(&compiled.lists));
    text.push_str(&skipped(&compiled.lists));
    text.push_str(&with_options(&compiled.lists));
    text.push_str(&cut(&compiled.feeds));
    text.push_str(&overridden(policies.iter().filter_map(OverrideReport::new)));
    text.push_str(&accepted(AcceptedReport::all(policies)));
    text.push_str(&counts(&compiled.diagnostics));
    text.push('\n');
    text
}

/// Distinct prefixes of the ruleset; none where there is no ruleset.
fn prefixes(compiled: &Compiled) -> Prefixes {
    let ruleset = compiled.ruleset.as_ref();
    ruleset.map_or_else(Prefixes::default, |ruleset| Prefixes {
        v4: ruleset.ipv4.len(),
        v6: ruleset.ipv6.len(),
    })
}

fn derived(compiled: &Compiled) -> &[DerivedPrefixes] {
    let ruleset = compiled.ruleset.as_ref();
    ruleset.map_or(&[], |ruleset| &ruleset.derived)
}
