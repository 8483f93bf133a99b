//! When the filter was attached, and which policies were in force.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::model::Coverage;
use crate::{clock::to_the_second, store::Attachment};

/// Attachments within a period.
pub(super) fn coverage(
    attachments: &[Attachment],
    since: Timestamp,
    until: Timestamp,
) -> Vec<Coverage> {
    let within = attachments.iter().filter_map(|attachment| {
        let (from, to) = (attachment.since.max(since), attachment.until.min(until));
        (from <= to).then(|| Coverage {
            interface: attachment.interface.clone(),
            mode: attachment.mode.clone(),
            since: to_the_second(from),
            until: to_the_second(to),
            seconds: to.as_second() - from.as_second(),
        })
    });
    let mut within: Vec<_> = within.collect();
    within.sort_by(|a, b| (&a.since, &a.interface).cmp(&(&b.since, &b.interface)));
    within
}

/// The times in which the filter was attached to every one of these interfaces, or to every
/// interface of the attachments if there are none. A device may use any of them.
pub(super) fn on_all(attachments: &[Attachment], interfaces: &BTreeSet<String>) -> Spans {
    let mut by_interface: BTreeMap<&str, Spans> = BTreeMap::new();
    for interface in interfaces {
        by_interface.entry(interface).or_default();
    }
    for one in attachments {
        if interfaces.is_empty() || interfaces.contains(&one.interface) {
            let spans = by_interface.entry(&one.interface).or_default();
            spans.push((one.since, one.until));
        }
    }
    let spans = by_interface.into_values().map(union);
    spans
        .reduce(|all, spans| both(&all, &spans))
        .unwrap_or_default()
}

/// Spans of time, sorted, without overlaps.
pub(super) type Spans = Vec<(Timestamp, Timestamp)>;

/// Joins spans that overlap.
pub(super) fn union(mut spans: Spans) -> Spans {
    spans.sort_unstable();
    let mut joined: Spans = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// The parts of spans within a period.
pub(super) fn within(
    spans: &[(Timestamp, Timestamp)],
    since: Timestamp,
    until: Timestamp,
) -> Spans {
    let parts = spans
        .iter()
        .map(|(from, to)| ((*from).max(since), (*to).min(until)));
    parts.filter(|(from, to)| from < to).collect()
}

/// The parts that two sets of spans share.
pub(super) fn both(one: &[(Timestamp, Timestamp)], other: &[(Timestamp, Timestamp)]) -> Spans {
    let parts = one.iter().flat_map(|(from, to)| within(other, *from, *to));
    union(parts.collect())
}

/// The sum of the lengths in seconds.
pub(super) fn seconds(spans: &[(Timestamp, Timestamp)]) -> i64 {
    let milliseconds = spans
        .iter()
        .map(|(from, to)| to.as_millisecond() - from.as_millisecond());
    milliseconds.sum::<i64>() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_of_one_interface_is_no_observation() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let attached = |interface: &str, since, until| Attachment {
            interface: interface.to_owned(),
            mode: "generic".to_owned(),
            generation: 1,
            since: at(since),
            until: at(until),
        };
        let all = [
            attached("lan", 0, 100),
            attached("wlan", 0, 40),
            attached("wlan", 60, 100),
        ];
        let on = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            seconds(&on_all(&all, &names))
        };
        assert_eq!((on(&["lan"]), on(&["wlan"]), on(&[])), (100, 80, 80));
        assert_eq!(on(&["gone"]), 0);
    }
}
