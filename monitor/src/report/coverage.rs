//! When the filter was attached, and which policies were in force.

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

/// Seconds within a period in which the filter was attached to any interface.
pub(super) fn attached_seconds(
    attachments: &[Attachment],
    since: Timestamp,
    until: Timestamp,
) -> i64 {
    let spans = attachments
        .iter()
        .map(|attachment| (attachment.since, attachment.until));
    seconds(&within(&union(spans.collect()), since, until))
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
