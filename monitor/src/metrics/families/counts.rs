//! Helpers for families that count packets and bytes.

use prometheus_client::registry::Unit;

use super::super::family::{Family, Kind, Labels};
use crate::snapshot::{Count, Verdicts};

/// Returns a sample for each verdict: `labels` with the verdict as last label, and
/// its count.
pub(super) fn by_verdict(
    labels: &[(&'static str, &str)],
    verdicts: &Verdicts,
) -> [(Labels, Count); 2] {
    [("passed", verdicts.passed), ("dropped", verdicts.dropped)].map(|(verdict, count)| {
        let mut labels: Labels = labels
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect();
        labels.push(("verdict", verdict.to_owned()));
        (labels, count)
    })
}

/// Returns two families of the same name, one that counts packets and one that
/// counts bytes.
pub(super) fn packets_and_bytes(
    name: &'static str,
    packets_help: &'static str,
    bytes_help: &'static str,
    counts: &[(Labels, Count)],
) -> [Family; 2] {
    let family = |help, unit, value: fn(&Count) -> u64| Family {
        name,
        help,
        unit: Some(unit),
        kind: Kind::Counter,
        samples: counts
            .iter()
            .map(|(labels, count)| (labels.clone(), value(count)))
            .collect(),
    };
    [
        family(packets_help, packets(), |count| count.packets),
        family(bytes_help, Unit::Bytes, |count| count.bytes),
    ]
}

pub(super) fn packets() -> Unit {
    Unit::Other("packets".to_owned())
}
