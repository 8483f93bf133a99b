//! What `check --json` prints.

use std::{borrow::Cow, collections::BTreeMap};

use monitor::{
    compile::DerivedPrefixes,
    policy::{Diagnostics, Feed, ListSummary, Policy, PolicyName},
    snapshot::Prefixes,
};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Report<'a> {
    /// Number of policy files and lists that were read.
    pub(super) files: usize,
    pub(super) policies: usize,
    /// Distinct prefixes of the compiled ruleset.
    pub(super) prefixes: Prefixes,
    /// Number of IPv6 prefixes that are derived from IPv4 destinations.
    pub(super) derived: DerivedReport,
    pub(super) lists: Vec<ListReport<'a>>,
    /// Lists that the daemon downloads.
    pub(super) feeds: Vec<FeedReport<'a>>,
    /// Changes by overlays.
    pub(super) overrides: Vec<OverrideReport<'a>>,
    pub(super) accepted_risks: Vec<AcceptedReport<'a>>,
    #[serde(flatten)]
    pub(super) diagnostics: &'a Diagnostics,
}

/// Number of IPv6 prefixes that are derived from IPv4 destinations.
#[derive(Default, Serialize)]
pub(super) struct DerivedReport {
    pub(super) prefixes: usize,
    pub(super) by: Vec<DerivedByReport>,
}

/// Number of prefixes that are derived by one mechanism, such as NAT64.
#[derive(Serialize)]
pub(super) struct DerivedByReport {
    pub(super) by: &'static str,
    pub(super) prefix: String,
    pub(super) prefixes: usize,
}

impl DerivedReport {
    pub(super) fn new(derived: &[DerivedPrefixes]) -> Self {
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
pub(super) struct ListReport<'a> {
    pub(super) file: Cow<'a, str>,
    pub(super) format: &'static str,
    /// The path of a JSON document, with the name of a known document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read_by: Option<&'a str>,
    pub(super) destinations: usize,
    pub(super) left_out: usize,
    /// Number of entries whose options are ignored.
    pub(super) with_options: usize,
    pub(super) skipped: usize,
}

impl<'a> ListReport<'a> {
    pub(super) fn new(list: &'a ListSummary) -> Self {
        Self {
            file: list.file.to_string_lossy(),
            format: list.kind.name(),
            read_by: list.how.as_deref(),
            destinations: list.destinations,
            left_out: list.left_out,
            with_options: list.with_options,
            skipped: list.skipped,
        }
    }
}

/// A feed, with the part of it that is in force.
#[derive(Serialize)]
pub(super) struct FeedReport<'a> {
    pub(super) url: &'a str,
    pub(super) policies: Vec<&'a PolicyName>,
    pub(super) refresh_seconds: u64,
    pub(super) max_change_percent: u32,
    /// True if a good version is stored.
    pub(super) fetched: bool,
    pub(super) destinations: usize,
    pub(super) cut: usize,
    /// Networks that were cut out, each with the number of destinations that lost addresses.
    pub(super) cut_by: BTreeMap<&'a str, usize>,
}

impl<'a> FeedReport<'a> {
    pub(super) fn new(feed: &'a Feed) -> Self {
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
pub(super) struct OverrideReport<'a> {
    pub(super) policy: &'a PolicyName,
    pub(super) source: String,
    pub(super) changes: String,
    pub(super) reason: Option<&'a str>,
}

impl<'a> OverrideReport<'a> {
    pub(super) fn new(policy: &'a Policy) -> Option<Self> {
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
pub(super) struct AcceptedReport<'a> {
    pub(super) policy: &'a PolicyName,
    pub(super) risks: Vec<&'static str>,
    pub(super) reason: &'a str,
}

impl<'a> AcceptedReport<'a> {
    pub(super) fn all(policies: &'a [Policy]) -> impl Iterator<Item = Self> {
        policies.iter().flat_map(|policy| {
            policy.accepted().iter().map(|accepted| Self {
                policy: policy.name(),
                risks: accepted.risks().map(|(risk, _)| risk.name()).collect(),
                reason: accepted.reason(),
            })
        })
    }
}
