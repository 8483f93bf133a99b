//! Metrics, read by a parser that is not the encoder.

#![expect(
    clippy::unwrap_used,
    reason = "a test panics where it fails, helpers included"
)]

mod snapshots;

use std::collections::{BTreeMap, BTreeSet};

use monitor::{
    metrics::{DeviceKey, DeviceLabel, DeviceLabels, encode},
    policy::{Action, MacAddress},
    snapshot::{DeviceSnapshot, PolicySnapshot, Prefixes, Snapshot, Unconfirmed, Verdicts},
};
use openmetrics_parser::{
    MetricNumber, OpenMetricsType, OpenMetricsValue, openmetrics::parse_openmetrics,
};
use proptest::prelude::*;
use snapshots::{PHONE, TELEVISION, gateway, named, packets, verdicts};

/// Labels of a series, by name.
type Labels = BTreeMap<String, String>;

/// Values by name of the family and labels.
type Series = BTreeMap<(String, Labels), i64>;

fn key() -> DeviceKey {
    DeviceKey::new([7; DeviceKey::LEN])
}

fn labels(capacity: usize) -> DeviceLabels {
    DeviceLabels::new(DeviceLabel::Pseudonym, key(), capacity)
}

fn encoded(snapshot: &Snapshot, labels: &mut DeviceLabels) -> String {
    labels.admit(snapshot);
    encode(snapshot, labels).unwrap()
}

fn parse(text: &str) -> Series {
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
fn sum(series: &Series, family: &str, wanted: &[(&str, &str)]) -> i64 {
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
        ("monitor_build", (OpenMetricsType::Info, "")),
        ("monitor_device_bytes", (OpenMetricsType::Counter, "bytes")),
        (
            "monitor_device_packets",
            (OpenMetricsType::Counter, "packets"),
        ),
        ("monitor_generation", (OpenMetricsType::Gauge, "")),
        (
            "monitor_interface_bytes",
            (OpenMetricsType::Counter, "bytes"),
        ),
        (
            "monitor_interface_packets",
            (OpenMetricsType::Counter, "packets"),
        ),
        ("monitor_lost", (OpenMetricsType::Counter, "")),
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
    expected.extend(include_str!("snapshots/gateway.txt").lines().map(pseudonym));
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
fn an_undecided_packet_is_lost_and_in_one_cell_of_its_interface() {
    let mut snapshot = gateway();
    let before = parse(&encoded(&snapshot, &mut labels(1)));
    snapshot.interfaces[0].undecided = packets(5);
    snapshot.interfaces[1].undecided = packets(2);
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
    let series = parse(&encoded(&snapshot, &mut labels(10)));
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

#[test]
fn a_mac_is_a_label_only_where_asked_for() {
    let macs = [PHONE, TELEVISION].map(|mac| mac.to_string());
    let pseudonyms = encoded(&gateway(), &mut labels(10));
    assert!(macs.iter().all(|mac| !pseudonyms.contains(mac)));

    let mut labels = DeviceLabels::new(DeviceLabel::Mac, key(), 10);
    let series = parse(&encoded(&gateway(), &mut labels));
    assert_eq!(
        sum(&series, "monitor_device_packets", &[("device", &macs[0])]),
        32
    );
    assert_eq!(
        sum(&series, "monitor_device_packets", &[("device", &macs[1])]),
        4
    );
}

/// What the labels of phone and television are when they have these names.
fn labels_of(labels: &mut DeviceLabels, names: &[(MacAddress, &str)]) -> [Option<String>; 2] {
    labels.admit(&named(gateway(), names));
    [PHONE, TELEVISION].map(|mac| labels.label(mac))
}

#[test]
fn no_two_devices_share_a_label() {
    let names = [(PHONE, "Ana"), (TELEVISION, "Ana")];
    // The television's MAC is the lower one.
    assert_eq!(
        labels_of(&mut labels(10), &names),
        [Some(key().pseudonym(PHONE)), Some("Ana".to_owned())]
    );
}

#[test]
fn what_others_are_labelled_is_no_name() {
    let pseudonym = key().pseudonym(TELEVISION);
    let mac = TELEVISION.to_string();
    for reserved in ["other", "", &pseudonym, &mac] {
        let found = labels_of(&mut labels(10), &[(PHONE, reserved)]);
        assert_eq!(found[0], Some(key().pseudonym(PHONE)), "{reserved}");
    }
    let names = [(PHONE, "device-phone")];
    assert_eq!(
        labels_of(&mut labels(10), &names)[0].as_deref(),
        Some("device-phone")
    );
}

#[test]
fn a_name_that_was_a_label_stays_with_its_mac() {
    let mut labels = labels(10);
    let [phone, television] = [PHONE, TELEVISION].map(|mac| Some(key().pseudonym(mac)));
    let name = |name: &str| Some(name.to_owned());
    for (names, expected) in [
        (&[][..], [phone.clone(), television.clone()]),
        (&[(PHONE, "a")], [name("a"), television.clone()]),
        (&[(PHONE, "b")], [name("b"), television.clone()]),
        // Given to another device, and given back.
        (&[(TELEVISION, "a")], [phone.clone(), television.clone()]),
        (&[(TELEVISION, "c"), (PHONE, "a")], [name("a"), name("c")]),
        (&[], [phone.clone(), television.clone()]),
    ] {
        assert_eq!(labels_of(&mut labels, names), expected, "{names:?}");
    }
}

#[test]
fn a_series_that_gets_a_name_begins_with_the_whole_count() {
    let mut labels = labels(10);
    let pseudonym = key().pseudonym(PHONE);
    let before = parse(&encoded(&gateway(), &mut labels));
    let after = named(gateway(), &[(PHONE, "phone")]);
    let after = parse(&encoded(&after, &mut labels));
    let of = |series, device| sum(series, "monitor_device_packets", &[("device", device)]);
    assert_eq!([of(&before, &pseudonym), of(&before, "phone")], [32, 0]);
    assert_eq!([of(&after, &pseudonym), of(&after, "phone")], [0, 32]);
}

#[test]
fn named_devices_come_first_and_who_has_a_label_keeps_one() {
    let mut labels = labels(1);
    let found = labels_of(&mut labels, &[(PHONE, "phone")]);
    assert_eq!(found, [Some("phone".to_owned()), None]);
    let found = labels_of(&mut labels, &[(TELEVISION, "television")]);
    assert_eq!(found, [Some(key().pseudonym(PHONE)), None]);
}

/// Packets that a policy matched: which policy, which device (`None`: lost),
/// whether dropped, how many.
type Arrival = (usize, Option<u8>, bool, u64);

const POLICIES: usize = 3;

fn arrival() -> impl Strategy<Value = Arrival> {
    (
        0..POLICIES,
        proptest::option::weighted(0.9, 0..9_u8),
        any::<bool>(),
        0..1_000_000_u64,
    )
}

fn device(number: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, number])
}

/// What a snapshot says after these arrivals.
fn after(arrivals: &[Arrival]) -> Snapshot {
    let mut policies: Vec<_> = (0..POLICIES)
        .map(|policy| PolicySnapshot {
            name: format!("p{policy}"),
            action: Some(Action::Count),
            prefixes: Prefixes::default(),
            matched: Verdicts::default(),
            other: Verdicts::default(),
            devices: vec![],
        })
        .collect();
    for (policy, number, dropped, count) in arrivals {
        let policy = &mut policies[*policy];
        let verdicts = if *dropped {
            verdicts(0, *count)
        } else {
            verdicts(*count, 0)
        };
        add(&mut policy.matched, verdicts);
        match number {
            None => add(&mut policy.other, verdicts),
            Some(number) => add(&mut cell(policy, device(*number)).matched, verdicts),
        }
    }
    Snapshot {
        policies,
        ..Snapshot::default()
    }
}

fn cell(policy: &mut PolicySnapshot, mac: MacAddress) -> &mut DeviceSnapshot {
    let place = policy
        .devices
        .binary_search_by_key(&mac, |d| d.mac)
        .unwrap_or_else(|place| {
            policy.devices.insert(
                place,
                DeviceSnapshot {
                    mac,
                    name: None,
                    matched: Verdicts::default(),
                },
            );
            place
        });
    &mut policy.devices[place]
}

fn add(to: &mut Verdicts, verdicts: Verdicts) {
    to.passed += verdicts.passed;
    to.dropped += verdicts.dropped;
}

fn assert_devices_add_up(series: &Series, policy: &str) {
    for verdict in ["passed", "dropped"] {
        for unit in ["packets", "bytes"] {
            let of = |subject| {
                sum(
                    series,
                    &format!("monitor_{subject}_{unit}"),
                    &[("policy", policy), ("verdict", verdict)],
                )
            };
            assert_eq!(of("device"), of("policy"), "{policy} {verdict} {unit}");
        }
    }
}

/// Names change, and with them which series there are; none falls, also not
/// where it ended and is there again.
fn assert_nothing_falls(before: &Series, now: &Series) {
    for (name, later) in now {
        let value = before.get(name).unwrap_or(later);
        assert!(later >= value, "{name:?} fell from {value} to {later}");
    }
}

/// Names for some of the devices, as policy files may give them.
fn names() -> impl Strategy<Value = Vec<(MacAddress, &'static str)>> {
    let name = prop::sample::select(vec!["tv", "tablet", "phone", "other", ""]);
    prop::collection::vec(((0..9_u8).prop_map(device), name), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn devices_add_up_and_no_series_falls(
        capacity in 0..12_usize,
        steps in prop::collection::vec((prop::collection::vec(arrival(), 0..12), names()), 1..6),
    ) {
        let mut labels = labels(capacity);
        let mut arrivals = vec![];
        let mut before = Series::new();
        for (step, names) in steps {
            arrivals.extend(step);
            let snapshot = named(after(&arrivals), &names);
            let series = parse(&encoded(&snapshot, &mut labels));
            for policy in 0..POLICIES {
                assert_devices_add_up(&series, &format!("p{policy}"));
            }
            assert_nothing_falls(&before, &series);
            let labelled: BTreeSet<_> = series.keys().filter_map(|(_, labels)| labels.get("device")).collect();
            prop_assert!(labelled.len() <= capacity + 1, "{labelled:?}");
            let own: Vec<_> = (0..9).filter_map(|number| labels.label(device(number))).collect();
            prop_assert_eq!(own.iter().collect::<BTreeSet<_>>().len(), own.len(), "{:?}", own);
            before.extend(series);
        }
    }

    #[test]
    fn what_found_no_room_is_lost(arrivals in prop::collection::vec(arrival(), 0..40)) {
        let lost: u64 = arrivals.iter().filter(|(_, device, _, _)| device.is_none()).map(|(_, _, _, n)| n).sum();
        let series = parse(&encoded(&after(&arrivals), &mut labels(4)));
        prop_assert_eq!(sum(&series, "monitor_lost", &[("reason", "device_table")]), i64::try_from(lost).unwrap());
    }

    #[test]
    fn other_frames_are_the_unparsed_ones(counts in prop::collection::vec(0..1_000_000_u64, 0..9)) {
        let mut snapshot = gateway();
        let total: u64 = counts.iter().sum();
        snapshot.interfaces[0].unparsed = counts.iter().enumerate().map(|(i, n)| (format!("r{i}"), packets(*n))).collect();
        let series = parse(&encoded(&snapshot, &mut labels(4)));
        let other = [("interface", "br-lan"), ("family", "other")];
        let total = i64::try_from(total).unwrap();
        prop_assert_eq!(sum(&series, "monitor_interface_packets", &other), total);
        prop_assert_eq!(sum(&series, "monitor_interface_bytes", &other), total * 100);
        prop_assert_eq!(sum(&series, "monitor_unparsed_packets", &[("interface", "br-lan")]), total);
    }
}
