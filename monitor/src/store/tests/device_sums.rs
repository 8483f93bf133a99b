//! Devices of a period, and what each of them sent.

use jiff::SignedDuration;

use super::{Opened, ago, count, days, destination, flow, mac, noon, policy};
use crate::store::{DestinationRange, DeviceSums, FlowQuery};

/// Devices 1 (today and two days ago), 2 (two days ago) and 3 (today, another policy).
fn opened() -> Opened {
    let mut opened = Opened::new();
    let before = ago(days(2));
    opened.drain(&[flow(1, 1, 5, before), flow(2, 2, 7, before)], before);
    let mut other = flow(3, 3, 1, noon());
    other.policies = vec![policy("other")];
    opened.drain(&[flow(1, 4, 10, noon()), other], noon());
    opened
}

fn sums(opened: &Opened, filter: &FlowQuery) -> DeviceSums {
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    view.device_sums(filter).unwrap()
}

/// Device numbers with their passed packets.
fn packets(sums: &DeviceSums) -> Vec<(u8, u64)> {
    let devices = sums.devices.iter();
    devices
        .map(|sum| (sum.device.unwrap().0[5], sum.passed.packets))
        .collect()
}

#[test]
fn the_rows_of_a_device_are_added_up() {
    let opened = opened();
    let found = sums(&opened, &FlowQuery::default());
    assert_eq!(packets(&found), [(1, 15), (2, 7), (3, 1)]);
    assert!(!found.more);
    let first = &found.devices[0];
    assert_eq!((first.first, first.last), (ago(days(2)), noon()));
    assert_eq!(first.dropped, count(2));
    let policies: Vec<_> = first.policies.iter().cloned().collect();
    assert_eq!(policies, [policy("all"), policy("strict")]);
}

#[test]
fn a_filter_selects_the_rows_that_count() {
    let opened = opened();
    let since = FlowQuery {
        since: Some(ago(SignedDuration::from_hours(1))),
        ..FlowQuery::default()
    };
    assert_eq!(packets(&sums(&opened, &since)), [(1, 10), (3, 1)]);
    let of_device = FlowQuery {
        device: Some(mac(1)),
        ..FlowQuery::default()
    };
    assert_eq!(packets(&sums(&opened, &of_device)), [(1, 15)]);
    let of_policy = FlowQuery {
        policy: Some(policy("other")),
        ..FlowQuery::default()
    };
    assert_eq!(packets(&sums(&opened, &of_policy)), [(3, 1)]);
    let to = |number| FlowQuery {
        destination: Some(DestinationRange {
            first: destination(number),
            last: destination(number),
        }),
        ..FlowQuery::default()
    };
    assert_eq!(packets(&sums(&opened, &to(4))), [(1, 10)]);
    assert_eq!(packets(&sums(&opened, &to(9))), []);
}

#[test]
fn the_limit_keeps_the_devices_of_the_latest_rows() {
    let limited = FlowQuery {
        limit: 2,
        ..FlowQuery::default()
    };
    let found = sums(&opened(), &limited);
    assert_eq!(packets(&found), [(1, 15), (3, 1)]);
    assert!(found.more);
}

#[test]
fn a_device_is_found_by_its_mac() {
    let opened = opened();
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    let all = view.devices(None, 10).unwrap();
    assert_eq!(view.device(mac(2)).unwrap().as_ref(), all.get(1));
    assert_eq!(view.device(mac(9)).unwrap(), None);
}
