//! Facts → report.

mod devices;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    VERSION,
    captures::capture,
    compare::{At, Compare},
    coverage::{self, both, coverage, seconds, union, within},
    facts::{Facts, MarkFact},
    findings, limits_text, losses,
    model::{
        ClockState, Flow, FlowsLeftOut, Gateway, Mark, Period, PolicyCoverage, Program, Report,
        Ruleset,
    },
    policies::StatedPolicy,
    sentences,
};
use crate::{clock::to_the_second, evidence::FlowView, policy::MacAddress, store::Cut};

/// Builds the report.
#[must_use]
pub fn build(facts: &Facts) -> Report {
    let (devices, more_devices) = devices::devices(facts);
    let mut report = Report {
        version: VERSION,
        at: facts.at.map(to_the_second),
        period: period(facts),
        gateway: gateway(facts),
        ruleset: rulesets(facts),
        policy_texts: policy_texts(facts),
        more_marks: facts.more_marks,
        program: programs(facts),
        coverage: coverage(&facts.attachments, facts.since, facts.until),
        losses: losses::losses(
            &facts.losses,
            facts.not_recorded.clone(),
            facts.not_recorded_since,
        ),
        marks: marks(facts),
        captures: facts.captures.iter().map(capture).collect(),
        more_captures: facts.more_captures,
        devices,
        more_devices,
        total: devices::total(facts),
        failed_sources: failed_sources(facts),
        flows: facts.flows.flows.iter().map(flow).collect(),
        flows_left_out: left_out(facts),
        ..Report::default()
    };
    findings::add(&mut report, facts);
    report.policies = policy_coverage(facts, &report);
    report.answer = sentences::answer(&report);
    report.shows = sentences::shows(&report);
    report.does_not_show = limits_text::does_not_show(&report);
    report
}

fn period(facts: &Facts) -> Period {
    Period {
        since: to_the_second(facts.since),
        until: to_the_second(facts.until),
        device: facts.asked_device.clone(),
        policy: facts.asked_policy.as_ref().map(ToString::to_string),
        oldest_stored: facts.oldest.map(to_the_second),
    }
}

fn gateway(facts: &Facts) -> Gateway {
    let last = facts.setups.iter().rev().find(|(at, _)| *at <= facts.until);
    let setup = last.map(|(_, setup)| setup.clone()).unwrap_or_default();
    let of_period = facts.setups.iter().filter(|(at, _)| *at <= facts.until);
    let addresses: BTreeSet<_> = of_period.flat_map(|(_, setup)| &setup.addresses).collect();
    let states = facts.clock.iter().filter(|(at, _)| *at <= facts.until);
    let clock: Vec<_> = states
        .map(|(at, synchronised)| ClockState {
            since: to_the_second(*at),
            synchronised: *synchronised,
        })
        .collect();
    Gateway {
        host: setup.host,
        kernel: setup.kernel,
        addresses: addresses.into_iter().map(ToString::to_string).collect(),
        clock_synchronised: synchronised(facts, &clock),
        clock,
    }
}

/// True if the clock was synchronised since the first attachment of the period. `None` if the
/// store does not know that for all of this time.
fn synchronised(facts: &Facts, states: &[ClockState]) -> Option<bool> {
    let attached = facts.attachments.iter().map(|one| one.since).min();
    let begin = attached.unwrap_or(facts.since).max(facts.since);
    let is_known = facts.clock.first().is_some_and(|(at, _)| *at <= begin);
    if states.iter().any(|state| !state.synchronised) {
        Some(false)
    } else {
        is_known.then_some(true)
    }
}

fn failed_sources(facts: &Facts) -> Vec<String> {
    let failed = facts.flows.failed_sources.iter();
    let names: BTreeSet<_> = failed
        .map(|source| super::claims::short(&source.name).to_owned())
        .collect();
    names.into_iter().collect()
}

fn programs(facts: &Facts) -> Vec<Program> {
    let of_period = facts.setups.iter().filter(|(at, _)| *at <= facts.until);
    let programs = of_period.map(|(at, setup)| Program {
        since: to_the_second(*at),
        version: setup.version.clone(),
        sha256: setup.program.clone(),
        classifier_sha256: setup.classifier.clone(),
        kernel: setup.kernel.clone(),
    });
    programs.collect()
}

fn rulesets(facts: &Facts) -> Vec<Ruleset> {
    let of_period = facts.generations.iter().filter(|generation| {
        let until = generation.until;
        generation.since <= facts.until && until.is_none_or(|until| until >= facts.since)
    });
    let rulesets = of_period.map(|generation| Ruleset {
        hash: String::from_utf8_lossy(&generation.ruleset).into_owned(),
        generation: generation.number,
        since: to_the_second(generation.since),
        until: generation.until.map(to_the_second),
    });
    rulesets.collect()
}

/// The policies of the rulesets of the period, as far as the store has them.
fn policy_texts(facts: &Facts) -> BTreeMap<String, Vec<StatedPolicy>> {
    let hashes: BTreeSet<_> = rulesets(facts)
        .into_iter()
        .map(|ruleset| ruleset.hash)
        .collect();
    let stated = facts
        .policies
        .iter()
        .filter(|stated| hashes.contains(&stated.hash));
    let texts = stated.filter_map(|stated| {
        let policies = serde_json::from_str(&stated.policies).ok()?;
        Some((stated.hash.clone(), policies))
    });
    texts.collect()
}

/// What the rulesets of the period state about a policy.
#[derive(Default)]
struct Stated {
    actions: BTreeSet<String>,
    spans: coverage::Spans,
    /// The interfaces to which texts of the policy are limited.
    interfaces: BTreeSet<String>,
    /// True if a text of the policy has no such limit.
    is_everywhere: bool,
}

fn policy_coverage(facts: &Facts, report: &Report) -> Vec<PolicyCoverage> {
    let attached = |interfaces: &BTreeSet<String>| {
        let attached = coverage::on_all(&facts.attachments, interfaces);
        within(&attached, facts.since, facts.until)
    };
    let texts = &report.policy_texts;
    let mut rulesets = report.ruleset.iter();
    let is_known = rulesets.all(|ruleset| texts.contains_key(&ruleset.hash));
    let mut stated: BTreeMap<String, Stated> = BTreeMap::new();
    for ruleset in &report.ruleset {
        let span = (
            time(&ruleset.since),
            ruleset.until.as_deref().map_or(facts.until, time),
        );
        let policies = texts.get(&ruleset.hash).into_iter().flatten();
        for policy in policies.filter(|policy: &&StatedPolicy| policy.active) {
            let of_policy = stated.entry(policy.name.clone()).or_default();
            of_policy.actions.insert(policy.action.clone());
            of_policy.spans.push(span);
            of_policy.is_everywhere |= policy.interfaces.is_empty();
            of_policy
                .interfaces
                .extend(policy.interfaces.iter().cloned());
        }
    }
    let mut packets: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for group in &facts.sums.groups {
        let policy = group
            .policy
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let sum = packets.entry(policy).or_default();
        sum.0 += group.passed.packets + group.dropped.packets;
        sum.1 += group.dropped.packets;
    }
    let names: BTreeSet<_> = stated.keys().chain(packets.keys()).cloned().collect();
    let asked = facts.asked_policy.as_ref().map(ToString::to_string);
    let names = names
        .into_iter()
        .chain(asked.clone())
        .collect::<BTreeSet<_>>();
    let shown = names
        .into_iter()
        .filter(|name| asked.as_ref().is_none_or(|asked| asked == name));
    let each = shown.map(|policy| {
        let mut own = stated.remove(&policy).unwrap_or_default();
        if own.is_everywhere {
            own.interfaces.clear();
        }
        let attached = attached(&own.interfaces);
        let (packets, dropped) = packets.get(&policy).copied().unwrap_or_default();
        PolicyCoverage {
            actions: own.actions.into_iter().collect(),
            seconds: is_known.then(|| seconds(&both(&union(own.spans), &attached))),
            packets,
            dropped,
            policy,
        }
    });
    each.collect()
}

/// A time of this module, which is always RFC 3339.
fn time(text: &str) -> Timestamp {
    text.parse().unwrap_or_default()
}

fn marks(facts: &Facts) -> Vec<Mark> {
    let at: Vec<At> = facts
        .marks
        .iter()
        .map(|mark| mark_at(facts, mark))
        .collect();
    let can_compare = facts.segments.parts.len() == at.len() + 1;
    let interfaces = interfaces(facts);
    let compare = Compare {
        since: facts.since,
        until: facts.until,
        marks: &at,
        segments: &facts.segments,
        attachments: &facts.attachments,
        interfaces: &interfaces,
        hidden: &facts.hidden_marks,
    };
    let marks = facts.marks.iter().enumerate().map(|(index, fact)| Mark {
        at: to_the_second(fact.at),
        set: fact.mark.set.map(to_the_second),
        device: fact.device.map(|mac| mac.to_string()),
        kind: fact.mark.kind.word().to_owned(),
        text: fact.mark.text.clone(),
        stated: fact
            .mark
            .details()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        comparison: can_compare.then(|| compare.at(index)),
    });
    marks.collect()
}

/// A mark with the other MACs of its device: those that the operator states to be the same
/// device, and those of other marks of the same request.
fn mark_at(facts: &Facts, mark: &MarkFact) -> At {
    let of_request = facts
        .marks
        .iter()
        .filter(|other| mark.device.is_some() && (other.at, &other.mark) == (mark.at, &mark.mark));
    let mut same: BTreeSet<MacAddress> = of_request.filter_map(|other| other.device).collect();
    for view in &facts.devices {
        let Some(mac) = view.head.device else {
            continue;
        };
        let stated = view.head.stated_same.iter().map(|stated| stated.device);
        let group: BTreeSet<_> = stated.chain([mac]).collect();
        if mark.device.is_some_and(|device| group.contains(&device)) {
            same.extend(group);
        }
    }
    At {
        cut: Cut {
            at: mark.at,
            mark: mark.id,
        },
        device: mark.device,
        same,
    }
}

/// The interfaces on which the listed flows of each device arrived.
fn interfaces(facts: &Facts) -> BTreeMap<Option<MacAddress>, BTreeSet<String>> {
    let mut interfaces: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for flow in &facts.flows.flows {
        let own = interfaces.entry(flow.device).or_default();
        own.insert(flow.interface.clone());
    }
    interfaces
}

fn flow(view: &FlowView) -> Flow {
    Flow {
        device: view.device.map(|mac| mac.to_string()),
        interface: view.interface.clone(),
        direction: view.direction.clone(),
        destination: view.destination.map(|address| address.to_string()),
        protocol: view.protocol.clone(),
        port: view.port,
        unreadable: view.unreadable.clone(),
        policies: view.policies.iter().map(ToString::to_string).collect(),
        packets: view.packets,
        bytes: view.bytes,
        dropped: view.dropped,
        first: view.first.clone(),
        last: view.last.clone(),
        names: view.names.iter().cloned().map(Into::into).collect(),
        more_names: view.more_names,
        holder: view.holder.as_deref().cloned(),
    }
}

fn left_out(facts: &Facts) -> FlowsLeftOut {
    let left_out = facts.sums.left_out;
    FlowsLeftOut {
        flows: left_out.flows,
        packets: left_out.passed.packets + left_out.dropped.packets,
        bytes: left_out.passed.bytes + left_out.dropped.bytes,
        dropped: left_out.dropped.packets,
    }
}
