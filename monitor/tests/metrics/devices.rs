//! The counts of devices add up, with any names for devices.

use std::collections::BTreeSet;

use monitor::{
    policy::{Action, MacAddress},
    snapshot::{DeviceSnapshot, PolicySnapshot, Prefixes, Snapshot, Verdicts},
};
use proptest::prelude::*;

use crate::{
    series::{Series, encoded, key, labels, parse, sum},
    snapshots::{named, verdicts},
};

/// Packets that a policy matched: the policy, the device (`None`: lost), true
/// if dropped, the number.
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

/// A change of the counts.
#[derive(Clone, Debug)]
enum Event {
    Arrival(Arrival),
    /// The device is forgotten: its places are freed.
    Forget(u8),
}

/// The snapshot after these events.
fn after(events: &[Event]) -> Snapshot {
    let mut policies: Vec<_> = (0..POLICIES)
        .map(|policy| PolicySnapshot {
            name: format!("p{policy}"),
            action: Some(Action::Count),
            prefixes: Prefixes::default(),
            matched: Verdicts::default(),
            incoming: Verdicts::default(),
            other: Verdicts::default(),
            past: Verdicts::default(),
            devices: vec![],
        })
        .collect();
    for event in events {
        let (policy, number, dropped, count) = match event {
            Event::Arrival(arrival) => arrival,
            Event::Forget(number) => {
                for policy in &mut policies {
                    forget(policy, device(*number));
                }
                continue;
            }
        };
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

fn forget(policy: &mut PolicySnapshot, mac: MacAddress) {
    let gone = policy.devices.extract_if(.., |device| device.mac == mac);
    for device in gone {
        add(&mut policy.past, device.matched);
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

/// Asserts that no series decreases, although names and so the set of series
/// change. This includes a series that ended and began again. Only the series
/// of a forgotten device may decrease.
fn assert_nothing_falls(before: &Series, now: &Series) {
    for (name, later) in now {
        let value = before.get(name).unwrap_or(later);
        assert!(later >= value, "{name:?} fell from {value} to {later}");
    }
}

/// A few arrivals, and sometimes a forgotten device.
fn step() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        5 => arrival().prop_map(Event::Arrival),
        1 => (0..9_u8).prop_map(Event::Forget),
    ];
    prop::collection::vec(event, 0..12)
}

/// True if the label is possible for the device: its pseudonym, or one of the
/// names.
fn may_be(label: Option<&String>, mac: MacAddress) -> bool {
    let names = ["tv", "tablet", "phone"];
    label.is_some_and(|label| names.contains(&label.as_str()) || *label == key().pseudonym(mac))
}

/// Names for some of the devices, as policy files may give them.
fn names() -> impl Strategy<Value = Vec<(MacAddress, &'static str)>> {
    let name = prop::sample::select(vec!["tv", "tablet", "phone", "other", "past", ""]);
    prop::collection::vec(((0..9_u8).prop_map(device), name), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn devices_add_up_and_no_series_falls(
        capacity in 0..12_usize,
        steps in prop::collection::vec((step(), names()), 1..8),
    ) {
        let mut labels = labels(capacity);
        let mut events = vec![];
        let mut named_once = BTreeSet::new();
        let mut before = Series::new();
        for (step, names) in steps {
            for event in &step {
                if let Event::Forget(number) = event {
                    before.retain(|(_, labels), _| !may_be(labels.get("device"), device(*number)));
                }
            }
            events.extend(step);
            named_once.extend(names.iter().map(|(mac, _)| *mac));
            let snapshot = named(after(&events), &names);
            let series = parse(&encoded(&snapshot, &mut labels));
            for policy in 0..POLICIES {
                assert_devices_add_up(&series, &format!("p{policy}"));
            }
            assert_nothing_falls(&before, &series);
            let labelled: BTreeSet<_> = series.keys().filter_map(|(_, labels)| labels.get("device")).collect();
            prop_assert!(labelled.len() <= capacity + named_once.len() + 2, "{labelled:?}");
            let own: Vec<_> = (0..9).filter_map(|number| labels.label(device(number))).collect();
            prop_assert_eq!(own.iter().collect::<BTreeSet<_>>().len(), own.len(), "{:?}", own);
            before.extend(series);
        }
    }

    #[test]
    fn what_found_no_room_is_lost(arrivals in prop::collection::vec(arrival(), 0..40)) {
        let events: Vec<_> = arrivals.iter().copied().map(Event::Arrival).collect();
        let lost: u64 = arrivals.iter().filter(|(_, device, _, _)| device.is_none()).map(|(_, _, _, n)| n).sum();
        let series = parse(&encoded(&after(&events), &mut labels(4)));
        prop_assert_eq!(sum(&series, "monitor_lost", &[("reason", "device_table")]), i64::try_from(lost).unwrap());
    }
}
