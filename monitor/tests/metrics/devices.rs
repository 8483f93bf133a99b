//! What devices sent adds up, whatever they are called.

use std::collections::BTreeSet;

use monitor::{
    policy::{Action, MacAddress},
    snapshot::{DeviceSnapshot, PolicySnapshot, Prefixes, Snapshot, Verdicts},
};
use proptest::prelude::*;

use crate::{
    series::{Series, encoded, labels, parse, sum},
    snapshots::{named, verdicts},
};

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
            past: Verdicts::default(),
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
}
