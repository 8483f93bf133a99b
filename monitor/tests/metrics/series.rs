//! Converts a snapshot into the series that a scraper should read.

use std::collections::BTreeMap;

use monitor::{
    metrics::{DeviceKey, DeviceLabel, DeviceLabels, encode},
    snapshot::Snapshot,
};
use openmetrics_parser::{MetricNumber, OpenMetricsValue, openmetrics::parse_openmetrics};

/// Labels of a series, by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// Values by name of the family and labels.
pub(crate) type Series = BTreeMap<(String, Labels), i64>;

pub(crate) fn key() -> DeviceKey {
    DeviceKey::new([7; DeviceKey::LEN])
}

pub(crate) fn labels(capacity: usize) -> DeviceLabels {
    DeviceLabels::new(DeviceLabel::Pseudonym, key(), capacity)
}

pub(crate) fn encoded(snapshot: &Snapshot, labels: &mut DeviceLabels) -> String {
    labels.admit(snapshot);
    encode(snapshot, labels).unwrap()
}

pub(crate) fn parse(text: &str) -> Series {
    let exposition = parse_openmetrics(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut series = Series::new();
    for (name, family) in &exposition.families {
        for sample in family.iter_samples() {
            let labels = family
                .get_label_names()
                .iter()
                .zip(sample.get_labelset().unwrap().iter_values())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            let value = match &sample.value {
                OpenMetricsValue::Gauge(number) => whole(*number),
                OpenMetricsValue::Counter(counter) => whole(counter.value),
                OpenMetricsValue::Info => 1,
                other => panic!("{name} is {other:?}"),
            };
            assert!(
                series.insert((name.clone(), labels), value).is_none(),
                "{name} twice"
            );
        }
    }
    series
}

fn whole(number: MetricNumber) -> i64 {
    number.as_i64().unwrap()
}

/// The sum over all series of a family that carry these labels.
pub(crate) fn sum(series: &Series, family: &str, wanted: &[(&str, &str)]) -> i64 {
    series
        .iter()
        .filter(|((name, labels), _)| {
            name == family
                && wanted
                    .iter()
                    .all(|(key, value)| labels.get(*key).is_some_and(|v| v == value))
        })
        .map(|(_, value)| value)
        .sum()
}
