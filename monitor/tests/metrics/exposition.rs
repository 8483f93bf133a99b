//! The metric families and samples of the metrics text.

use std::collections::{BTreeMap, BTreeSet};

use monitor::{
    metrics::{Format, encode_as},
    snapshot::{Snapshot, Unconfirmed},
};
use openmetrics_parser::{OpenMetricsType, openmetrics::parse_openmetrics};
use proptest::prelude::*;

use crate::{
    series::{Labels, encoded, key, labels, parse, sum},
    snapshots::{PHONE, TELEVISION, gateway, named, packets, verdicts},
};

#[test]
fn every_family_has_its_type_and_unit() {
    let text = encoded(&gateway(), &mut labels(10));
    let exposition = parse_openmetrics(&text).unwrap();
    let families: BTreeMap<_, _> = exposition
        .families
        .values()
        .map(|f| (f.family_name.as_str(), (f.family_type, f.unit.as_str())))
        .collect();
    let expected = BTreeMap::from([
        ("monitor_attached", (OpenMetricsType::Gauge, "")),
        ("monitor_blind", (OpenMetricsType::Gauge, "")),
        ("monitor_build", (OpenMetricsType::Info, "")),
        ("monitor_device_bytes", (OpenMetricsType::Counter, "bytes")),
        (
            "monitor_device_packets",
            (OpenMetricsType::Counter, "packets"),
        ),
        ("monitor_device_places", (OpenMetricsType::Gauge, "")),
        ("monitor_generation", (OpenMetricsType::Gauge, "")),
        (
            "monitor_interface_bytes",
            (OpenMetricsType::Counter, "bytes"),
        ),
        (
            "monitor_interface_packets",
            (OpenMetricsType::Counter, "packets"),
        ),
        (
            "monitor_effective_bytes",
            (OpenMetricsType::Counter, "bytes"),
        ),
        (
            "monitor_effective_packets",
            (OpenMetricsType::Counter, "packets"),
        ),
        ("monitor_evidence_failed", (OpenMetricsType::Gauge, "")),
        ("monitor_lost", (OpenMetricsType::Counter, "")),
        (
            "monitor_not_recorded_packets",
            (OpenMetricsType::Counter, "packets"),
        ),
        (
            "monitor_reject_answers_packets",
            (OpenMetricsType::Counter, "packets"),
        ),
        (
            "monitor_reject_unanswered_packets",
            (OpenMetricsType::Counter, "packets"),
        ),
        ("monitor_policy", (OpenMetricsType::Info, "")),
        ("monitor_policy_bytes", (OpenMetricsType::Counter, "bytes")),
        (
            "monitor_policy_packets",
            (OpenMetricsType::Counter, "packets"),
        ),
        ("monitor_policy_prefixes", (OpenMetricsType::Gauge, "")),
        ("monitor_policy_slots", (OpenMetricsType::Gauge, "")),
        ("monitor_reload_success", (OpenMetricsType::Gauge, "")),
        (
            "monitor_reload_timestamp_seconds",
            (OpenMetricsType::Gauge, "seconds"),
        ),
        ("monitor_rolled_back", (OpenMetricsType::Gauge, "")),
        ("monitor_unconfirmed", (OpenMetricsType::Gauge, "")),
        (
            "monitor_unparsed_packets",
            (OpenMetricsType::Counter, "packets"),
        ),
    ]);
    assert_eq!(families, expected);
    for family in exposition.families.values() {
        assert!(
            family.help.ends_with('.') && family.help.len() > 20,
            "{}",
            family.help
        );
    }
}

#[test]
fn samples_are_written_to_the_letter() {
    let text = encoded(&named(gateway(), &[(PHONE, "phone")]), &mut labels(10));
    let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let packets: Vec<_> = samples
        .into_iter()
        .filter(|line| !line.contains("_bytes_total"))
        .collect();
    let version = format!(
        "monitor_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    let television = key().pseudonym(TELEVISION);
    let pseudonym = |line: &str| line.replace("TELEVISION", &television);
    let mut expected = vec![version];
    expected.extend(
        include_str!("../snapshots/gateway.txt")
            .lines()
            .map(pseudonym),
    );
    assert_eq!(packets, expected);
}

#[test]
fn what_is_to_be_confirmed_and_what_was_not_are_told_apart() {
    let mut snapshot = gateway();
    let waiting = Unconfirmed {
        generation: Some(8),
        previous: Some(7),
        within_seconds: 60,
        seconds_left: 43,
        rolled_back: false,
    };
    let mut values = |unconfirmed| {
        snapshot.unconfirmed = Some(unconfirmed);
        let series = parse(&encoded(&snapshot, &mut labels(1)));
        ["unconfirmed", "unconfirmed_left_seconds", "rolled_back"].map(|name| {
            let family = (format!("monitor_{name}"), Labels::new());
            series.get(&family).copied()
        })
    };
    let (yes, no) = (Some(1), Some(0));
    assert_eq!(values(waiting.clone()), [yes, Some(43), no]);
    let rolled_back = Unconfirmed {
        seconds_left: 0,
        rolled_back: true,
        ..waiting
    };
    assert_eq!(values(rolled_back), [no, None, yes]);
}

#[test]
fn a_packet_that_passed_not_confirmed_is_lost_and_in_one_cell_of_its_interface() {
    let mut snapshot = gateway();
    let before = parse(&encoded(&snapshot, &mut labels(1)));
    snapshot.interfaces[0].not_confirmed = packets(5);
    snapshot.interfaces[1].not_confirmed = packets(2);
    let after = parse(&encoded(&snapshot, &mut labels(1)));
    let added = |family, labels: &[_]| sum(&after, family, labels) - sum(&before, family, labels);
    let other = [("verdict", "passed"), ("family", "other")];
    assert_eq!(added("monitor_interface_packets", &other), 7);
    assert_eq!(added("monitor_interface_packets", &[]), 7);
    assert_eq!(added("monitor_interface_bytes", &other), 700);
    assert_eq!(added("monitor_lost", &[("reason", "not_confirmed")]), 7);
    assert_eq!(added("monitor_lost", &[]), 7);
}

#[test]
fn bytes_have_the_series_of_packets() {
    let series = parse(&encoded(&gateway(), &mut labels(1)));
    for subject in ["interface", "policy", "device"] {
        let of = |unit: &str| -> BTreeMap<_, _> {
            let family = format!("monitor_{subject}_{unit}");
            series
                .iter()
                .filter(|((name, _), _)| *name == family)
                .map(|((_, labels), value)| (labels.clone(), *value))
                .collect()
        };
        let hundredfold: BTreeMap<_, _> = of("packets")
            .into_iter()
            .map(|(labels, n)| (labels, n * 100))
            .collect();
        assert!(!hundredfold.is_empty());
        assert_eq!(of("bytes"), hundredfold, "{subject}");
    }
}

#[test]
fn the_text_ends_once_and_is_always_the_same() {
    let text = encoded(&gateway(), &mut labels(10));
    assert!(text.ends_with("\n# EOF\n"));
    assert_eq!(text.matches("# EOF").count(), 1);
    assert_eq!(text, encoded(&gateway(), &mut labels(10)));
}

#[test]
fn an_empty_snapshot_is_valid() {
    let series = parse(&encoded(&Snapshot::default(), &mut labels(10)));
    let names: BTreeSet<_> = series.keys().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "monitor_build",
        "monitor_lost",
        "monitor_policy_slots",
        "monitor_reload_success",
        "monitor_reload_timestamp_seconds",
        "monitor_rolled_back",
        "monitor_unconfirmed",
    ];
    assert_eq!(names, BTreeSet::from(expected));
}

#[test]
fn hostile_names_come_back_unchanged() {
    let hostile = "a\"b\\c\nd} 1\n# EOF\n{é";
    let mut snapshot = gateway();
    hostile.clone_into(&mut snapshot.interfaces[0].name);
    let snapshot = named(snapshot, &[(PHONE, hostile)]);
    let mut known = labels(10);
    let text = encoded(&snapshot, &mut known);
    // The older form escapes the same bytes in the same way.
    let plain = encode_as(Format::Prometheus, &snapshot, &known).unwrap();
    let samples = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(samples(&plain), samples(&text));
    let series = parse(&text);
    let interface = [
        ("interface", hostile),
        ("verdict", "dropped"),
        ("family", "ipv4"),
    ];
    assert_eq!(sum(&series, "monitor_interface_packets", &interface), 30);
    assert_eq!(
        sum(
            &series,
            "monitor_device_packets",
            &[("device", hostile), ("policy", "telemetry")]
        ),
        21
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn other_frames_are_the_unparsed_ones(counts in prop::collection::vec((0..1_000_000_u64, 0..1_000_000_u64), 0..9)) {
        let mut snapshot = gateway();
        let [passed, dropped] = [0, 1].map(|verdict| {
            let each = counts.iter().map(|(passed, dropped)| [passed, dropped][verdict]);
            i64::try_from(each.sum::<u64>()).unwrap()
        });
        let reasons = counts.iter().enumerate();
        snapshot.interfaces[0].unparsed = reasons.map(|(i, (p, d))| (format!("r{i}"), verdicts(*p, *d))).collect();
        let series = parse(&encoded(&snapshot, &mut labels(4)));
        for (verdict, packets) in [("passed", passed), ("dropped", dropped)] {
            let other = [("interface", "br-lan"), ("family", "other"), ("verdict", verdict)];
            prop_assert_eq!(sum(&series, "monitor_interface_packets", &other), packets);
            prop_assert_eq!(sum(&series, "monitor_interface_bytes", &other), packets * 100);
        }
        prop_assert_eq!(sum(&series, "monitor_unparsed_packets", &[("interface", "br-lan")]), passed + dropped);
    }
}
