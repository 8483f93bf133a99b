//! Turns a snapshot into metric families: their names, help texts and samples.

mod answers;
mod counts;
mod daemon;
mod evidence;
mod policies;

use self::{
    answers::answers,
    counts::{packets, packets_and_bytes},
    daemon::{blind, feeds, reload, unconfirmed},
    evidence::evidence,
    policies::{device_places, devices, policies, policy_slots},
};
use super::{
    device_labels::DeviceLabels,
    family::{Families, Family, Kind, Labels},
};
use crate::snapshot::{Count, InterfaceSnapshot, Snapshot};

/// Returns all families of a snapshot, in a fixed order.
pub(super) fn of(snapshot: &Snapshot, labels: &DeviceLabels) -> Families {
    let mut families = Vec::new();
    families.push(build());
    families.extend(interfaces(&snapshot.interfaces));
    families.extend(policies(&snapshot.policies));
    families.extend(devices(&snapshot.policies, labels));
    families.push(policy_slots(snapshot.policies.len() as u64));
    families.push(device_places(&snapshot.places));
    families.extend(evidence(snapshot.evidence.as_ref()));
    families.push(lost(snapshot));
    families.extend(reload(snapshot.reload.as_ref()));
    families.extend(unconfirmed(snapshot.unconfirmed.as_ref()));
    families.extend(feeds(&snapshot.feeds));
    families.push(blind(&snapshot.blind));
    Families(families)
}

fn build() -> Family {
    Family {
        name: "monitor_build",
        help: "The version of monitor that serves these metrics; the value is always 1.",
        unit: None,
        kind: Kind::Info,
        samples: vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1)],
    }
}

fn interfaces(interfaces: &[InterfaceSnapshot]) -> Vec<Family> {
    let mut families = Vec::from(packets_and_bytes(
        "monitor_interface",
        "Packets that the filter saw on the interface, by direction, verdict and family; in generic mode a GRO aggregate is one packet. \
         Family other: frames without an IP header that the parser can read, see monitor_unparsed_packets, and frames that passed without being parsed, see reason not_confirmed of monitor_lost.",
        "Bytes of the packets that the filter saw on the interface, layer 2 included, by direction, verdict and family.",
        &interfaces
            .iter()
            .flat_map(interface_counts)
            .collect::<Vec<_>>(),
    ));
    families.push(unparsed(interfaces));
    families.push(Family {
        name: "monitor_generation",
        help: "Number of the generation in force on the interface; no series if there is none.",
        unit: None,
        kind: Kind::Gauge,
        samples: interfaces
            .iter()
            .filter_map(|i| Some((with_direction(i, vec![]), i.generation?)))
            .collect(),
    });
    families.push(attached(interfaces));
    families.extend(answers(interfaces));
    families
}

fn interface_counts(interface: &InterfaceSnapshot) -> Vec<(Labels, Count)> {
    let mut other = interface.unparsed_sum();
    other.passed += interface.not_confirmed;
    [
        ("passed", "ipv4", interface.ipv4.passed),
        ("passed", "ipv6", interface.ipv6.passed),
        ("passed", "other", other.passed),
        ("dropped", "ipv4", interface.ipv4.dropped),
        ("dropped", "ipv6", interface.ipv6.dropped),
        ("dropped", "other", other.dropped),
    ]
    .map(|(verdict, family, count)| {
        let more = vec![
            ("verdict", verdict.to_owned()),
            ("family", family.to_owned()),
        ];
        (with_direction(interface, more), count)
    })
    .into()
}

/// Labels of an interface and a direction, and more.
fn with_direction(interface: &InterfaceSnapshot, more: Labels) -> Labels {
    let mut labels = vec![
        ("interface", interface.name.clone()),
        ("direction", interface.direction.word().to_owned()),
    ];
    labels.extend(more);
    labels
}

fn unparsed(interfaces: &[InterfaceSnapshot]) -> Family {
    let samples = interfaces
        .iter()
        .flat_map(|i| i.unparsed.iter().map(move |unparsed| (i, unparsed)))
        .map(|(i, (reason, verdicts))| {
            let labels = with_direction(i, vec![("reason", reason.clone())]);
            (labels, verdicts.packets())
        })
        .collect();
    Family {
        name: "monitor_unparsed",
        help: "Frames without an IP header that the parser can read, each under one reason. \
               If the ruleset drops anything, those that Linux could still deliver to an IP stack are dropped.",
        unit: Some(packets()),
        kind: Kind::Counter,
        samples,
    }
}

fn attached(interfaces: &[InterfaceSnapshot]) -> Family {
    let samples = interfaces
        .iter()
        .filter_map(|i| {
            let mode = i.mode?.name().to_owned();
            Some((with_direction(i, vec![("mode", mode)]), 1))
        })
        .collect();
    Family {
        name: "monitor_attached",
        help: "1 if the filter is attached to the interface, with its mode; no series if it is not.",
        unit: None,
        kind: Kind::Gauge,
        samples,
    }
}

fn lost(snapshot: &Snapshot) -> Family {
    let device_table = snapshot
        .policies
        .iter()
        .map(|p| p.other.passed.packets + p.other.dropped.packets)
        .sum();
    let interfaces = || snapshot.interfaces.iter();
    let not_confirmed = interfaces().map(|i| i.not_confirmed.packets).sum();
    let log = interfaces().map(|i| i.lost_log).sum();
    let recorded = snapshot.evidence.as_ref();
    let (events, samples, answers) = recorded.map_or((0, 0, 0), |evidence| {
        let answers = evidence.answers_full.packets;
        (evidence.lost_events, evidence.lost_samples, answers)
    });
    let reason = |reason: &str, packets| (vec![("reason", reason.to_owned())], packets);
    Family {
        name: "monitor_lost",
        help: "Packets that were not recorded completely or not decided. Reason device_table: a policy counted the packet, \
               but the device tables had no place for its device; counted once for each policy that matched. Reason not_confirmed: the packet passed \
               undecided, because the trial of a ruleset was not confirmed in time and no ruleset was in force before it. \
               Reason log: `run --log-packets` did not write the packet, because one CPU had more than 1000 in a second or the log was not read fast enough. \
               Reason flow_event: a new flow was not announced to the daemon; the flow itself is recorded. \
               Reason sample: the packet was not searched for names, because its CPU had more than 1000 in a second or the daemon did not read fast enough. \
               Reason answer: an answer to a device is in no flow, because the tables had no room.",
        unit: None,
        kind: Kind::Counter,
        samples: vec![
            reason("device_table", device_table),
            reason("not_confirmed", not_confirmed),
            reason("log", log),
            reason("flow_event", events),
            reason("sample", samples),
            reason("answer", answers),
        ],
    }
}
