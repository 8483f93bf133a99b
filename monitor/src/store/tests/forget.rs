//! Forgetting a device.

use std::fs;

use jiff::SignedDuration;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{Opened, ago, claim, days, flow, mac, noon, packets};
use crate::store::{DeviceFact, EncryptedDns, Event, FlowQuery, Removal};

/// Destinations, names, facts and events of a device contain its number, so that their
/// bytes are found.
fn fill(opened: &mut Opened, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..20 {
        let now = ago(SignedDuration::from_mins(5 * (20 - round)));
        let mut next = |most: u32| random.random_range(0..most);
        let mut flows: Vec<_> = (0..300)
            .map(|_| {
                let device = next(7);
                flow(device, own_destination(device, next(2_000)), 1, now)
            })
            .collect();
        flows.sort_by(|a, b| a.key.cmp(&b.key));
        flows.dedup_by(|a, b| a.key == b.key);
        opened.drain(&flows, now);
        let claims: Vec<_> = (0..150)
            .map(|_| {
                let (device, to) = (next(7), next(2_000));
                let long = "x".repeat(next(150) as usize);
                let name = format!("name-of-{device}-{to}-{long}.example");
                claim(device, own_destination(device, to), &name, now)
            })
            .collect();
        opened.store.write_claims(&claims, now).unwrap();
        for device in 0..7 {
            write_records(opened, device, now);
        }
    }
}

fn own_destination(device: u32, to: u32) -> u32 {
    (0xd0 + device) << 16 | to
}

fn write_records(opened: &mut Opened, device: u32, now: jiff::Timestamp) {
    let fact = DeviceFact {
        kind: "host-name".to_owned(),
        value: format!("host-of-{device}-at-{now}"),
        source: "dnsmasq".to_owned(),
        first: now,
        last: now,
    };
    let dns = EncryptedDns {
        device: mac(device),
        kind: "doh".to_owned(),
        address: None,
        port: 443,
        name: format!("resolver-of-{device}-at-{now}"),
        first: now,
        last: now,
    };
    let event = Event {
        at: now,
        kind: "new-device".to_owned(),
        device: Some(mac(device)),
        json: format!(
            "{{\"mac\":\"{}\",\"text\":\"event-of-{device}-\"}}",
            mac(device)
        ),
    };
    opened
        .store
        .write_device_facts(mac(device), &[fact], now)
        .unwrap();
    opened.store.write_encrypted(&[dns], now).unwrap();
    opened.store.write_event(&event, now).unwrap();
}

/// Number of places where the files of the state directory hold a trace of a device.
fn traces(opened: &Opened, device: u32) -> usize {
    let network = [10, 0xd0 + u8::try_from(device).unwrap()];
    let texts = ["name-of", "host-of", "resolver-of", "event-of"]
        .map(|kind| format!("{kind}-{device}-").into_bytes());
    let mut needles = vec![mac(device).0.to_vec(), mac(device).to_string().into_bytes()];
    needles.extend(texts);
    let mut found = 0;
    for entry in opened.path().read_dir().unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for needle in &needles {
            found += bytes
                .windows(needle.len())
                .filter(|window| window == needle)
                .count();
        }
        // An address with its port in the row behind it, and in the key of the index.
        found += bytes
            .windows(7)
            .filter(|window| window[..2] == network && window[4..] == [6, 1, 187])
            .count();
    }
    found
}

#[test]
fn no_byte_of_a_forgotten_device_is_left_in_any_file() {
    for seed in 0..4 {
        let mut opened = Opened::new();
        fill(&mut opened, seed);
        let damaged = opened.path().join("evidence.db.damaged-20261129T101500Z");
        let copy = opened.path().join("evidence.db.version-1-20261129T101500Z");
        for path in [&damaged, &copy] {
            fs::copy(opened.path().join(crate::store::FILE), path).unwrap();
        }
        let before = [3, 4].map(|device| traces(&opened, device));
        assert!(before[0] > 1_000, "{before:?}");
        let all = packets(&mut opened.reader());
        let own = opened.flows(&FlowQuery {
            device: Some(mac(4)),
            ..FlowQuery::default()
        });
        let forgotten = opened.store.forget(mac(3), noon()).unwrap();
        assert!(forgotten.complete);
        assert_eq!(forgotten.files, 2);
        assert_eq!(traces(&opened, 3), 0);
        assert!(traces(&opened, 4) > 500);
        let others = opened.flows(&FlowQuery {
            device: Some(mac(4)),
            ..FlowQuery::default()
        });
        assert_eq!(others, own);
        let after = packets(&mut opened.reader());
        assert_eq!(all.0, after.0 + after.1);
        assert!(after.1 > 0);
        let mut reader = opened.reader();
        let removed = reader
            .view()
            .unwrap()
            .removed(super::INSTANCE.token)
            .unwrap();
        assert_eq!(removed.len(), 1);
        assert_eq!(removed[0].reason, Removal::Forgotten);
        opened.verify();
    }
}

#[test]
fn a_device_that_a_reader_still_sees_is_not_completely_forgotten() {
    let mut opened = Opened::new();
    fill(&mut opened, 9);
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    assert!(!opened.store.forget(mac(3), noon()).unwrap().complete);
    let filter = FlowQuery {
        device: Some(mac(3)),
        ..FlowQuery::default()
    };
    assert!(!view.flows(&filter).unwrap().flows.is_empty());
    drop(view);
    assert!(
        reader
            .view()
            .unwrap()
            .flows(&filter)
            .unwrap()
            .flows
            .is_empty()
    );
    assert!(opened.store.forget(mac(3), noon()).unwrap().complete);
    assert_eq!(traces(&opened, 3), 0);
}

#[test]
fn a_forgotten_device_can_come_back() {
    let mut opened = Opened::new();
    fill(&mut opened, 1);
    opened.store.forget(mac(3), noon()).unwrap();
    assert_eq!(opened.store.forget(mac(3), noon()).unwrap().rows, 0);
    opened.drain(&[flow(3, 1, 5, noon())], noon());
    let device = opened.flows(&FlowQuery {
        device: Some(mac(3)),
        ..FlowQuery::default()
    });
    assert_eq!(device.len(), 1);
    assert!(device[0].claims.is_empty());
    opened.store.compact(noon() + days(40)).unwrap();
    opened.verify();
}
