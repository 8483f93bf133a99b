//! Families about packets that a `reject` dropped.

use super::{
    super::family::{Family, Kind},
    counts::packets,
};
use crate::{policy::Direction, snapshot::InterfaceSnapshot};

/// Returns the answered packets by kind, and the others by reason.
pub(super) fn answers(interfaces: &[InterfaceSnapshot]) -> [Family; 2] {
    let sample = |interface: &InterfaceSnapshot, label, value: &str, packets| {
        let interface = ("interface", interface.name.clone());
        (vec![interface, (label, value.to_owned())], packets)
    };
    // Only interfaces on the devices' side answer. Their packets are those `out`.
    let out = |interface: &&InterfaceSnapshot| interface.direction == Direction::Out;
    let answered = interfaces.iter().filter(out).flat_map(|interface| {
        let answers = &interface.answers;
        [
            sample(interface, "kind", "tcp_reset", answers.resets),
            sample(interface, "kind", "icmp_error", answers.errors),
        ]
    });
    let unanswered = interfaces.iter().filter(out).flat_map(|interface| {
        let reasons = interface.answers.unanswered.iter();
        reasons.map(move |(reason, packets)| sample(interface, "reason", reason, *packets))
    });
    [
        Family {
            name: "monitor_reject_answers",
            help: "Dropped packets whose effective policy is a reject and that the filter answered, by kind of the answer.",
            unit: Some(packets()),
            kind: Kind::Counter,
            samples: answered.collect(),
        },
        Family {
            name: "monitor_reject_unanswered",
            help: "Dropped packets whose effective policy is a reject and that got no answer. Reason not_answerable: the standards forbid an answer, \
                   or the headers cannot be read. Reason device_rate: more than 100 answers in a second to one device. \
                   Reason total_rate: more than 1000 to all known devices, or to all others. Reason no_room: the kernel gave no room in the frame.",
            unit: Some(packets()),
            kind: Kind::Counter,
            samples: unanswered.collect(),
        },
    ]
}
