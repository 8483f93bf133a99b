//! Compares the flows of the report and their names.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    compare::Comparing,
    figures::{Counts, Figures, Times},
};
use crate::{
    evidence::{FlowView, NameSource},
    policy::Direction,
    report::{Facts, Flow},
};

/// What makes a flow of a report.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    device: Option<String>,
    interface: String,
    direction: String,
    destination: Option<String>,
    protocol: String,
    port: Option<u16>,
    unreadable: Option<String>,
    policies: Vec<String>,
}

impl Key {
    fn of(flow: &Flow) -> Self {
        Self {
            device: flow.device.clone(),
            interface: flow.interface.clone(),
            direction: flow.direction.clone(),
            destination: flow.destination.clone(),
            protocol: flow.protocol.clone(),
            port: flow.port,
            unreadable: flow.unreadable.clone(),
            policies: flow.policies.clone(),
        }
    }

    fn of_view(view: &FlowView) -> Self {
        Self {
            device: view.device.map(|mac| mac.to_string()),
            interface: view.interface.clone(),
            direction: view.direction.clone(),
            destination: view.destination.map(|address| address.to_string()),
            protocol: view.protocol.clone(),
            port: view.port,
            unreadable: view.unreadable.clone(),
            policies: view.policies.iter().map(ToString::to_string).collect(),
        }
    }

    fn name(&self) -> String {
        let device = self.device.as_deref().unwrap_or("other devices");
        let destination = self.destination.as_deref().unwrap_or("other destinations");
        let port = self.port.map(|port| format!("/{port}"));
        format!(
            "flow of {device} to {destination} {}{} on {}, policies {}",
            self.protocol,
            port.unwrap_or_default(),
            self.interface,
            self.policies.join(", ")
        )
    }
}

type Replayed<'a> = BTreeMap<Key, &'a FlowView>;

fn replayed(facts: &Facts) -> Replayed<'_> {
    let flows = facts.flows.flows.iter();
    flows.map(|view| (Key::of_view(view), view)).collect()
}

/// Compares the flows of the capture's policy. Returns what was not compared, and why.
pub(super) fn compare(comparing: &Comparing<'_>, figures: &mut Figures) -> Vec<String> {
    let (inner, outer) = (replayed(comparing.inner()), replayed(comparing.outer()));
    let is_complete = comparing.outer().sums.left_out.flows == 0;
    let mut skipped = Vec::new();
    let mut listed = BTreeSet::new();
    let mut names = Names::default();
    let (mut unlisted, mut leaving) = (0, 0);
    for flow in &comparing.report.flows {
        let key = Key::of(flow);
        let is_own = flow
            .policies
            .iter()
            .any(|policy| policy == comparing.policy);
        if !is_own {
            continue;
        }
        let found = (inner.get(&key).copied(), outer.get(&key).copied());
        if found.1.is_none() && key.direction == Direction::In.word() {
            leaving += 1;
            continue;
        }
        if found.1.is_none() && !is_complete {
            unlisted += 1;
        } else {
            one(comparing, &key, flow, found, figures);
            names.compare(comparing, &key, flow, found.1, figures);
        }
        if !listed.insert(key.clone()) {
            figures.differs(format!("{}: the report has it twice.", key.name()));
        }
    }
    if unlisted > 0 {
        skipped.push(format!(
            "{unlisted} flows: the capture has more flows than are compared"
        ));
    }
    if leaving > 0 {
        skipped.push(format!(
            "{leaving} flows of answers: a capture does not have packets that leave to devices"
        ));
    }
    missing(comparing, &inner, &listed, figures);
    skipped.extend(names.skipped(comparing));
    skipped
}

type Of = fn(&FlowView) -> u64;

fn one(
    comparing: &Comparing<'_>,
    key: &Key,
    flow: &Flow,
    (inner, outer): (Option<&FlowView>, Option<&FlowView>),
    figures: &mut Figures,
) {
    let Some(times) = Times::read(&flow.first, &flow.last) else {
        figures.differs(format!("{}: its times cannot be read.", key.name()));
        return;
    };
    let known = comparing.known(times);
    for (what, counts, reported, of) in [
        (
            "packets",
            Counts::Packets,
            flow.packets,
            (|view| view.packets) as Of,
        ),
        (
            "bytes",
            Counts::Bytes,
            flow.bytes,
            (|view| view.bytes) as Of,
        ),
        (
            "dropped packets",
            Counts::Packets,
            flow.dropped,
            (|view| view.dropped) as Of,
        ),
    ] {
        let (inner, outer) = (inner.map_or(0, of), outer.map_or(0, of));
        let allowed = Comparing::allowed(Some(known), inner, outer);
        let name = || format!("{}, {what}", key.name());
        figures.number(name, reported, allowed, counts);
    }
    let of = |view: &FlowView| Times::read(&view.first, &view.last);
    let both = (inner.and_then(of), outer.and_then(of));
    figures.times(|| key.name(), times, both, known);
}

/// Flows of the capture that the report neither lists nor counts among those that it leaves out.
fn missing(
    comparing: &Comparing<'_>,
    inner: &Replayed<'_>,
    listed: &BTreeSet<Key>,
    figures: &mut Figures,
) {
    let own = inner.iter().filter(|(key, _)| {
        let mut policies = key.policies.iter();
        policies.any(|policy| policy == comparing.policy) && !listed.contains(*key)
    });
    let missing: Vec<_> = own.collect();
    if missing.len() as u64 <= comparing.report.flows_left_out.flows {
        let packets: u64 = missing.iter().map(|(_, view)| view.packets).sum();
        let left_out = comparing.report.flows_left_out.packets;
        if packets > left_out.saturating_add(figures.slack.fewer) {
            figures.differs(format!(
                "flows that are left out, packets: the report has {left_out}, the capture gives at least {packets}."
            ));
        }
        return;
    }
    for (key, view) in missing {
        if view.packets > figures.slack.fewer {
            figures.differs(format!(
                "{}: the report does not have it, the capture gives {} packets.",
                key.name(),
                view.packets
            ));
        }
    }
}

/// The names of the flows.
#[derive(Default)]
struct Names {
    /// Names that the packets of a device do not show.
    by_answers: u64,
    /// Names that the packets of a device show, which are not in the capture.
    not_in_capture: u64,
    /// Names that the replay has, and the report has not.
    only_replayed: u64,
}

impl Names {
    fn compare(
        &mut self,
        comparing: &Comparing<'_>,
        key: &Key,
        flow: &Flow,
        replayed: Option<&FlowView>,
        figures: &mut Figures,
    ) {
        let known: BTreeSet<(&str, &str)> = replayed
            .into_iter()
            .flat_map(|view| &view.names)
            .map(|name| (name.name.as_str(), name.how.as_str()))
            .collect();
        for name in &flow.names {
            if !is_of_packets(&name.how) {
                self.by_answers += 1;
                continue;
            }
            let is_within = Times::read(&name.at, &name.at).is_some_and(|times| {
                let window = &comparing.replayed.window;
                window.begins_before(times.first) && window.ends_after(times.last)
            });
            if known.contains(&(name.name.as_str(), name.how.as_str())) {
                figures.equal += 1;
            } else if is_within && comparing.replayed.subject.payload && figures.slack.more == 0 {
                figures.differs(format!(
                    "{}: the report has the name {} by {}, and the packets of the capture do not show it.",
                    key.name(),
                    crate::printable::value(&name.name),
                    crate::printable::value(&name.how)
                ));
            } else {
                self.not_in_capture += 1;
            }
        }
        let reported: BTreeSet<(&str, &str)> = flow
            .names
            .iter()
            .map(|name| (name.name.as_str(), name.how.as_str()))
            .collect();
        self.only_replayed += known.difference(&reported).count() as u64;
    }

    fn skipped(&self, comparing: &Comparing<'_>) -> Vec<String> {
        let mut skipped = Vec::new();
        if self.by_answers > 0 {
            skipped.push(format!(
                "{} names from DNS answers: a capture has only packets that devices sent",
                self.by_answers
            ));
        }
        if self.not_in_capture > 0 && comparing.replayed.subject.payload {
            skipped.push(format!(
                "{} names that were learnt before or after the capture",
                self.not_in_capture
            ));
        } else if self.not_in_capture > 0 {
            skipped.push(format!(
                "{} names: the capture has headers only; `monitor capture --payload` keeps what names need",
                self.not_in_capture
            ));
        }
        if self.only_replayed > 0 {
            skipped.push(format!(
                "{} names that the packets show and the report does not have: the gateway may be set to record none, or a name was learnt after the report",
                self.only_replayed
            ));
        }
        skipped
    }
}

/// True if a packet of a device shows such a name.
fn is_of_packets(how: &str) -> bool {
    let sources = [
        NameSource::Sni,
        NameSource::SniOuter,
        NameSource::Quic,
        NameSource::HttpHost,
        NameSource::Asked,
    ];
    sources.iter().any(|source| source.word() == how)
}
