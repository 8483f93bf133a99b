//! Devices that send as much as they can.

use std::fs;

use jiff::SignedDuration;

use super::{Opened, ago, claim, days, flow, mac, noon, packets};
use crate::{
    evidence::{claim::NameSource, flow::Port},
    store::{FlowQuery, StoreLimits, StoreSettings},
};

fn limited(limits: StoreLimits) -> Opened {
    Opened::with(StoreSettings {
        limits,
        ..StoreSettings::default()
    })
}

fn named(opened: &Opened, device: u32) -> usize {
    let filter = FlowQuery {
        device: Some(mac(device)),
        limit: 100_000,
        ..FlowQuery::default()
    };
    let flows = opened.flows(&filter);
    flows
        .iter()
        .filter(|flow| flow.destination.is_some())
        .count()
}

#[test]
fn new_destinations_beyond_the_limit_are_summed_per_device() {
    let limits = StoreLimits {
        ends: 100,
        ends_of_device: 60,
        ..StoreLimits::default()
    };
    let mut opened = limited(limits);
    let yesterday = ago(days(1));
    opened.drain(
        &[flow(1, 0, 4, yesterday), flow(2, 0, 4, yesterday)],
        yesterday,
    );
    let flood: Vec<_> = (0..500).map(|to| flow(1, to, 4, noon())).collect();
    assert_eq!(opened.drain(&flood, noon()).unnamed, 500 - 61);
    // Another device still gets its own flows.
    let other: Vec<_> = (0..30).map(|to| flow(2, to, 4, noon())).collect();
    assert_eq!(opened.drain(&other, noon()).unnamed, 0);
    let flows = opened.flows(&FlowQuery {
        device: Some(mac(1)),
        ..FlowQuery::default()
    });
    let rest: Vec<_> = flows
        .iter()
        .filter(|flow| flow.destination.is_none())
        .collect();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].passed.packets, 4 * (500 - 61));
    assert_eq!((rest[0].protocol, rest[0].port), (0, Port::None));
    assert_eq!(rest[0].policies, [super::policy("strict")]);
    assert_eq!(packets(&mut opened.reader()), (5 * 532, 0));
    // A restart does not give the device another share, and the next day does.
    opened.store.known = super::super::writer::Known::default();
    assert_eq!(
        opened.drain(&[flow(1, 9_000, 4, noon())], noon()).unnamed,
        1
    );
    let tomorrow = noon() + days(1);
    assert_eq!(
        opened
            .drain(&[flow(1, 9_000, 4, tomorrow)], tomorrow)
            .unnamed,
        0
    );
    opened.verify();
}

#[test]
fn new_devices_leave_a_share_to_known_ones() {
    let limits = StoreLimits {
        ends: 100,
        ends_of_new_devices: 40,
        devices: 50,
        ..StoreLimits::default()
    };
    let mut opened = limited(limits);
    let yesterday = ago(days(1));
    opened.drain(&[flow(1, 0, 4, yesterday)], yesterday);
    let flood: Vec<_> = (0..200).map(|n| flow(1_000 + n, n, 4, noon())).collect();
    assert_eq!(opened.drain(&flood, noon()).unnamed, 160);
    let known: Vec<_> = (0..60).map(|to| flow(1, to, 4, noon())).collect();
    assert_eq!(opened.drain(&known, noon()).unnamed, 0);
    let flows = opened.flows(&FlowQuery::default());
    let others: u64 = flows
        .iter()
        .filter(|flow| flow.device.is_none())
        .map(|flow| flow.passed.packets)
        .sum();
    assert_eq!(others, 150 * 4);
    let mut reader = opened.reader();
    assert_eq!(
        reader.view().unwrap().devices(None, 1_000).unwrap().len(),
        51
    );
    assert_eq!(packets(&mut reader), (5 * 261, 0));
    opened.verify();
}

#[test]
fn rows_of_a_bucket_are_limited_per_device_and_together() {
    let limits = StoreLimits {
        rows: 100,
        rows_of_device: 40,
        ..StoreLimits::default()
    };
    let mut opened = limited(limits);
    let table: Vec<_> = (0..300).map(|n| flow(n % 5, n, 4, noon())).collect();
    assert_eq!(opened.drain(&table, noon()).unnamed, 200);
    assert_eq!(named(&opened, 0), 40);
    let rows = || -> u32 {
        opened
            .raw()
            .query_row("SELECT count(*) FROM count", [], |row| row.get(0))
            .unwrap()
    };
    assert!(rows() <= 100 + 5 + 1, "{}", rows());
    // Flows with a row of their own keep it.
    assert_eq!(opened.drain(&table, noon()).unnamed, 200);
    let later = noon() + SignedDuration::from_mins(5);
    let table: Vec<_> = (0..100).map(|n| flow(n % 5, n, 4, later)).collect();
    assert_eq!(opened.drain(&table, later).unnamed, 0);
    assert_eq!(packets(&mut opened.reader()), (5 * 700, 0));
    opened.verify();
}

#[test]
fn lists_beyond_the_limit_keep_the_effective_policy() {
    let limits = StoreLimits {
        lists: 4,
        ..StoreLimits::default()
    };
    let mut opened = limited(limits);
    let table: Vec<_> = (0..20)
        .map(|n| {
            let mut flow = flow(1, n, 4, noon());
            flow.policies = vec![
                super::policy(&format!("effective-{}", n % 2)),
                super::policy(&format!("other-{n}")),
            ];
            flow
        })
        .collect();
    opened.drain(&table, noon());
    let mut reader = opened.reader();
    let sums = reader
        .view()
        .unwrap()
        .recorded(super::INSTANCE.token)
        .unwrap();
    let found: Vec<_> = sums
        .iter()
        .map(|sum| (sum.policy.as_str(), sum.passed.packets))
        .collect();
    assert_eq!(found, [("effective-0", 40), ("effective-1", 40)]);
    let lists: u32 = opened
        .raw()
        .query_row("SELECT count(*) FROM list", [], |row| row.get(0))
        .unwrap();
    assert_eq!(lists, 6);
    opened.verify();
}

#[test]
fn claims_are_limited_in_bytes_per_device_and_day() {
    let limits = StoreLimits {
        claim_bytes_of_device: 10_000,
        claim_bytes: 15_000,
        ..StoreLimits::default()
    };
    let mut opened = limited(limits);
    let yesterday = ago(days(1));
    opened.drain(
        &[flow(1, 0, 4, yesterday), flow(2, 0, 4, yesterday)],
        yesterday,
    );
    let flood = |device| -> Vec<_> {
        (0..100)
            .map(|n| claim(device, n, &format!("{n:0>250}"), noon()))
            .collect()
    };
    assert_eq!(opened.store.write_claims(&flood(1), noon()).unwrap(), 60);
    assert_eq!(opened.store.write_claims(&flood(2), noon()).unwrap(), 80);
    // Repeated claims cost nothing.
    assert_eq!(opened.store.write_claims(&flood(1), noon()).unwrap(), 60);
    let mut reader = opened.reader();
    let losses = reader.view().unwrap().losses(noon()).unwrap();
    assert_eq!(
        (losses[0].loss.reason.as_str(), losses[0].loss.packets),
        ("claim", 200)
    );
}

#[test]
fn a_long_chain_loses_its_end() {
    let mut opened = Opened::new();
    opened.drain(&[flow(1, 1, 4, noon())], noon());
    let (end, mut claim) = claim(1, 1, "a.example", noon());
    claim.chain = (0..1_000).map(|n| format!("{n:\u{1}>255}")).collect();
    opened
        .store
        .write_claims(&[(end, claim.clone())], noon())
        .unwrap();
    let stored = opened
        .flows(&FlowQuery::default())
        .remove(0)
        .claims
        .remove(0);
    // A control character takes six bytes in JSON.
    assert_eq!(stored.chain, claim.chain[..1]);
}

/// One device floods with new destinations and names of 255 bytes for days; the store keeps
/// to its size, and the flows of another device stay.
#[test]
fn a_flood_of_destinations_and_names_keeps_to_the_size() {
    let size = StoreSettings::LEAST_SIZE;
    let limits = StoreLimits {
        ends_of_device: 1_500,
        claim_bytes_of_device: 200_000,
        ..StoreLimits::default()
    };
    let mut opened = Opened::with(StoreSettings {
        size,
        limits,
        ..StoreSettings::default()
    });
    let mut packets_sent = 0;
    for step in 0..60_u32 {
        let now = ago(days(15)) + SignedDuration::from_hours(6 * i64::from(step));
        let mut table: Vec<_> = (0..1_000)
            .map(|n| flow(1, step * 1_000 + n, 4, now))
            .collect();
        table.push(flow(2, 0, 4, now));
        packets_sent += 5 * table.len() as u64;
        opened.drain(&table, now);
        let mut claims: Vec<_> = (0..500)
            .map(|n| claim(1, step * 1_000 + n, &format!("{n:0>255}"), now))
            .collect();
        claims.push(claim(2, 0, "a.example", now));
        opened.store.write_claims(&claims, now).unwrap();
        opened.store.compact(now).unwrap();
        let bytes: u64 = opened
            .path()
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_name() != "evidence.db-shm")
            .map(|entry| fs::metadata(entry.path()).unwrap().len())
            .sum();
        assert!(bytes <= size, "{bytes}");
    }
    let (recorded, removed) = packets(&mut opened.reader());
    assert_eq!(recorded + removed, packets_sent);
    assert!(removed > 0);
    let other = opened.flows(&FlowQuery {
        device: Some(mac(2)),
        ..FlowQuery::default()
    });
    assert_eq!(other[0].passed.packets, 60 * 4);
    assert_eq!(other[0].claims.len(), 1);
    opened.verify();
    opened.store.log_all(noon()).unwrap();
    let mut reader = opened.reader();
    let check = reader.view().unwrap().check_log(0).unwrap();
    assert!(check.removed > 0);
    assert_eq!(check.wrong, [], "each packet has a line");
}

#[test]
fn the_claims_of_an_answer_are_bounded_in_bytes() {
    let mut opened = Opened::new();
    opened.drain(&[flow(1, 1, 4, noon())], noon());
    let claims: Vec<_> = (0..40_i64)
        .map(|n| {
            let at = ago(SignedDuration::from_mins(n));
            let (end, mut claim) = claim(1, 1, &format!("{n:0>255}"), at);
            claim.source = [NameSource::Dns, NameSource::Sni, NameSource::Asked]
                [usize::try_from(n).unwrap() % 3];
            (end, claim)
        })
        .collect();
    assert_eq!(opened.store.write_claims(&claims, noon()).unwrap(), 0);
    let stored = opened.flows(&FlowQuery::default()).remove(0);
    let mut latest: Vec<_> = claims
        .into_iter()
        .take(16)
        .map(|(_, claim)| claim)
        .collect();
    latest.sort();
    assert_eq!(stored.claims, latest);
    assert_eq!(stored.more_claims, 24);
}
