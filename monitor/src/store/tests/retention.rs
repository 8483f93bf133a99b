//! Retention, merging, and the size.

use std::fs;

use jiff::SignedDuration;

use super::{INSTANCE, Opened, ago, claim, days, flow, mac, noon, packets};
use crate::evidence::mark::{Mark, MarkKind};
use crate::store::{
    Drained, Event, FILE, FlowQuery, Instance, Loss, Removal, RemovedSum, Store, StoreSettings,
};

fn rows(opened: &Opened) -> u32 {
    let count = "SELECT count(*) FROM count";
    opened.raw().query_row(count, [], |row| row.get(0)).unwrap()
}

fn removed(opened: &Opened) -> Vec<RemovedSum> {
    opened
        .reader()
        .view()
        .unwrap()
        .removed(INSTANCE.token)
        .unwrap()
}

#[test]
fn old_buckets_are_merged_into_hours_without_changing_an_answer() {
    let mut opened = Opened::new();
    for step in 0..60 {
        let at =
            ago(days(4)) + SignedDuration::from_mins(5 * step) + SignedDuration::from_secs(step);
        let flows: Vec<_> = (0..3).map(|to| flow(to % 2, to, 4, at)).collect();
        opened.drain(&flows, at);
    }
    let before = opened.flows(&FlowQuery::default());
    assert_eq!(rows(&opened), 180);
    let compacted = opened.store.compact(noon()).unwrap();
    assert_eq!((compacted.merged, compacted.expired), (3 * 11 * 5, 0));
    assert_eq!(rows(&opened), 15);
    assert_eq!(opened.flows(&FlowQuery::default()), before);
    // A table that was drained late comes into an hour that is already merged.
    let late = ago(days(4)) + SignedDuration::from_mins(17);
    opened.drain(&[flow(0, 0, 4, late)], noon());
    assert_eq!(rows(&opened), 16);
    opened.store.compact(noon()).unwrap();
    assert_eq!(rows(&opened), 15);
    let filter = FlowQuery {
        until: Some(ago(days(4)) + SignedDuration::from_hours(1)),
        ..FlowQuery::default()
    };
    let first = opened.flows(&filter);
    assert_eq!(first[0].passed.packets, 4 * 13);
    opened.verify();
}

#[test]
fn buckets_of_the_last_two_days_are_not_merged() {
    let mut opened = Opened::new();
    for step in 0..24 {
        let at = ago(SignedDuration::from_mins(48 * 60 - 5 * step));
        opened.drain(&[flow(1, 1, 4, at)], at);
    }
    assert_eq!(opened.store.compact(noon()).unwrap().merged, 0);
    let hour = noon() + SignedDuration::from_mins(60);
    assert_eq!(opened.store.compact(hour).unwrap().merged, 11);
    assert_eq!(rows(&opened), 13);
}

#[test]
fn rows_older_than_the_retention_go_and_their_sums_stay() {
    let mut opened = Opened::new();
    for day in (0..40).rev() {
        let at = ago(days(day));
        let to = u32::try_from(day).unwrap();
        opened.drain(&[flow(to % 3, to, 4, at)], at);
        opened
            .store
            .write_claims(&[claim(to % 3, to, "a.example", at)], at)
            .unwrap();
        opened
            .store
            .write_losses(
                &[Loss {
                    reason: "full".to_owned(),
                    policy: None,
                    packets: 1,
                    bytes: 0,
                }],
                at,
            )
            .unwrap();
        opened
            .store
            .write_event(
                &Event {
                    at,
                    kind: "name".to_owned(),
                    device: Some(mac(to % 3)),
                    json: "{}".to_owned(),
                },
                at,
            )
            .unwrap();
    }
    // A device that was seen only once, long ago.
    opened.drain(&[flow(9, 9, 4, ago(days(39)))], ago(days(39)));
    let compacted = opened.store.compact(noon()).unwrap();
    assert_eq!(compacted.expired, 10);
    assert_eq!(rows(&opened), 31);
    let removed = removed(&opened);
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].reason, Removal::Expired);
    assert_eq!(removed[0].sum.passed.packets, 40);
    assert_eq!(
        removed[0].until,
        Some(ago(days(31)) + SignedDuration::from_mins(5))
    );
    assert_eq!(packets(&mut opened.reader()), (31 * 5, 50));
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    assert_eq!(view.devices(None, 9).unwrap().len(), 3);
    assert_eq!(view.losses(ago(days(99))).unwrap().len(), 31);
    let mut events = view.events(0, 999).unwrap();
    events.retain(|event| event.event.json == "{}");
    assert_eq!(events.len(), 31);
    assert_eq!(view.oldest().unwrap(), Some(ago(days(30))));
    drop(view);
    for table in ["flow_end", "claim"] {
        let count: u32 = opened
            .raw()
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(count, 31, "{table}");
    }
    opened.verify();
    // The last instance keeps its sums. An earlier one goes with its last row.
    let later = noon() + days(31);
    opened.store.compact(later).unwrap();
    assert_eq!(packets(&mut opened.reader()), (0, 41 * 5));
    let next = Drained {
        instance: Instance {
            token: 1,
            boot: None,
        },
        epoch: 0,
        flows: &[flow(1, 1, 4, later)],
    };
    opened.store.write_drained(&next, later).unwrap();
    opened.verify();
    opened.store.compact(later + days(1)).unwrap();
    assert_eq!(opened.store.drained(INSTANCE.token).unwrap(), None);
    assert_eq!(packets(&mut opened.reader()), (0, 0));
    opened.verify();
}

#[test]
fn while_the_clock_is_not_synchronised_nothing_expires() {
    let mut opened = Opened::new();
    opened.drain(&[flow(1, 1, 4, noon())], noon());
    let wrong = noon() + days(5_000);
    opened.store.write_clock(false, wrong).unwrap();
    assert_eq!(opened.store.compact(wrong).unwrap().expired, 0);
    assert_eq!(packets(&mut opened.reader()), (5, 0));
    opened
        .store
        .write_clock(true, wrong + SignedDuration::from_secs(1))
        .unwrap();
    assert_eq!(opened.store.compact(wrong).unwrap().expired, 1);
}

/// Writes tables of new flows until rows were removed several times.
fn write_until_full(opened: &mut Opened, device: impl Fn(u32) -> u32) -> u64 {
    let size = StoreSettings::LEAST_SIZE;
    let mut packets = 0;
    for table in 0..700_u32 {
        let now = ago(days(20)) + SignedDuration::from_mins(5 * i64::from(table));
        let flows: Vec<_> = (0..200).map(|n| flow(device(n), n % 300, 4, now)).collect();
        packets += 5 * flows.len() as u64;
        opened.drain(&flows, now);
        let files = [FILE.to_owned(), format!("{FILE}-wal")];
        let bytes: u64 = files
            .iter()
            .map(|name| fs::metadata(opened.path().join(name)).map_or(0, |file| file.len()))
            .sum();
        assert!(bytes <= size, "{bytes}");
    }
    packets
}

fn small() -> StoreSettings {
    StoreSettings {
        size: StoreSettings::LEAST_SIZE,
        ..StoreSettings::default()
    }
}

#[test]
fn at_the_size_the_oldest_rows_go_and_their_sums_stay() {
    let mut opened = Opened::with(small());
    let all = write_until_full(&mut opened, |n| n % 10);
    let (recorded, gone) = packets(&mut opened.reader());
    assert_eq!(recorded + gone, all);
    assert!(gone > 0 && recorded > all / 3, "{recorded} {gone}");
    let removed = removed(&opened);
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].reason, Removal::Size);
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    // Rows are left only after the removed ones.
    assert!(
        view.oldest().unwrap() >= Some(removed[0].until.unwrap() - SignedDuration::from_mins(5))
    );
    let events = view.events(0, 10).unwrap();
    let removed = events.iter().find(|event| event.event.kind == "removed");
    let json = &removed.unwrap().event.json;
    let expected = "{\"event\":\"removed\",\"reason\":\"size\",\"rows\":";
    assert!(json.starts_with(expected), "{json}");
    drop(view);
    opened.verify();
}

#[test]
fn at_the_size_a_device_with_most_rows_loses_only_its_own() {
    let mut opened = Opened::with(small());
    write_until_full(&mut opened, |n| if n < 190 { 0 } else { 1 + n % 5 });
    let kept = |device| -> u64 {
        let filter = FlowQuery {
            device: Some(mac(device)),
            ..FlowQuery::default()
        };
        opened
            .flows(&filter)
            .iter()
            .map(|flow| flow.passed.packets)
            .sum()
    };
    for device in 1..6 {
        assert_eq!(kept(device), 700 * 2 * 4);
    }
    let most = kept(0);
    assert!(most < 600 * 190 * 4 && most > 200 * 190 * 4, "{most}");
    opened.verify();
}

#[test]
fn a_store_that_is_larger_than_a_new_setting_shrinks() {
    let mut opened = Opened::new();
    for table in 0..900_u32 {
        let now = ago(days(20)) + SignedDuration::from_mins(5 * i64::from(table));
        let flows: Vec<_> = (0..200).map(|n| flow(n % 10, n % 300, 4, now)).collect();
        opened.drain(&flows, now);
    }
    opened.store.empty_log().unwrap();
    let file = opened.path().join(FILE);
    assert!(fs::metadata(&file).unwrap().len() > StoreSettings::LEAST_SIZE);
    let now = ago(days(16));
    let (store, _) = Store::open(opened.path(), small(), now).unwrap();
    opened.store = store;
    opened.drain(&[flow(1, 1, 4, now)], now);
    opened.store.compact(now).unwrap();
    opened.store.empty_log().unwrap();
    assert!(fs::metadata(&file).unwrap().len() <= StoreSettings::LEAST_SIZE / 10 * 7);
    let (recorded, removed) = packets(&mut opened.reader());
    assert_eq!(recorded + removed, 900 * 200 * 5 + 5);
    opened.verify();
}

/// A mark is no packet, so its device was not seen at its time. The device stays until its last
/// mark goes, so that the mark still names it.
#[test]
fn a_device_stays_as_long_as_its_marks() {
    let mut opened = Opened::new();
    let seen = ago(days(40));
    opened.drain(&[flow(1, 1, 4, seen)], seen);
    let mark = Mark {
        text: "off".to_owned(),
        kind: MarkKind::Other,
        model: None,
        firmware: None,
        accounts: None,
        sim: None,
        set: None,
    };
    let at = ago(days(10));
    let written = opened.store.write_mark(&mark, Some(mac(1)), at, at, true);
    assert!(written.unwrap().is_some());
    opened.store.compact(noon()).unwrap();
    let marks = |opened: &Opened| {
        let mut reader = opened.reader();
        let marks = reader.view().unwrap().marks(seen, noon()).unwrap();
        marks
            .into_iter()
            .map(|mark| mark.event.device)
            .collect::<Vec<_>>()
    };
    assert_eq!(marks(&opened), [Some(mac(1))]);
    let last = "SELECT last FROM device WHERE id <> 0";
    let last: i64 = opened.raw().query_row(last, [], |row| row.get(0)).unwrap();
    assert_eq!(last, seen.as_millisecond());
    opened.store.compact(noon() + days(25)).unwrap();
    assert_eq!(marks(&opened), []);
    let count = "SELECT count(*) FROM device WHERE id <> 0";
    let count: i64 = opened.raw().query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 0);
}
