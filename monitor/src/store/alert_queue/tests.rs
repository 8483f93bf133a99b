//! Tests of the queue: which alerts are sent once, sent again, held back, and erased.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    rows::{MOST_QUEUED, MOST_SEEN},
    *,
};
use crate::alerts::{
    AlertKind, Command, Condition, DeviceOfAlert, Include, Rule, Target, new_devices,
};

const PHONE: MacAddress = MacAddress([0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33]);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

fn settings(include: &[Include]) -> AlertSettings {
    let command = Command {
        program: "/bin/true".into(),
        arguments: Vec::new(),
    };
    AlertSettings {
        targets: BTreeMap::from([("a".to_owned(), Target::Command(command))]),
        rules: vec![Rule {
            on: AlertKind::ALL.into_iter().collect(),
            policies: BTreeSet::new(),
            to: BTreeSet::from(["a".to_owned()]),
            include: include.iter().copied().collect(),
        }],
        quiet: None,
        repeat_after: Duration::from_hours(1),
        most_per_hour: 3,
    }
}

fn device(mac: MacAddress) -> DeviceOfAlert {
    DeviceOfAlert {
        mac,
        name: None,
        host_name: Some("Redmi".to_owned()),
    }
}

fn devices(numbers: std::ops::Range<u8>, now: Timestamp) -> Vec<Alert> {
    let macs = numbers.map(|number| MacAddress([2, 0, 0, 0, 0, number]));
    new_devices(macs, device, now)
}

fn condition(kind: AlertKind) -> BTreeMap<String, Condition> {
    let found = Condition {
        kind,
        subject: "wlan0".to_owned(),
        detail: None,
    };
    BTreeMap::from([(format!("{}/wlan0", kind.word()), found)])
}

/// Two looks that find the same.
fn steady(found: &BTreeMap<String, Condition>) -> Lasting {
    Lasting::new(found, found.clone(), true)
}

fn open() -> (tempfile::TempDir, AlertQueue) {
    let directory = tempfile::tempdir().unwrap();
    let queue = AlertQueue::open(directory.path()).unwrap();
    (directory, queue)
}

/// The texts that are due, each taken.
fn take_all(queue: &AlertQueue, now: Timestamp) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(queued) = queue.next("a", now).unwrap() {
        queue.done(queued.row).unwrap();
        texts.push(queued.message.text);
    }
    texts
}

#[test]
fn a_device_is_new_once_also_after_a_restart() {
    let (directory, mut queue) = open();
    assert_eq!(queue.cursor().unwrap(), None);
    queue.remember(&devices(0..1, at(0)), 7).unwrap();
    assert_eq!(queue.cursor().unwrap(), Some(7));
    queue
        .take(&devices(0..2, at(9)), 8, &settings(&[]), at(9))
        .unwrap();
    drop(queue);
    let mut queue = AlertQueue::open(directory.path()).unwrap();
    let first = queue.next("a", at(9)).unwrap().unwrap();
    assert_eq!(
        first.message.text,
        "a device without a name is new on this network"
    );
    let again = AlertQueue::open(directory.path()).unwrap().next("a", at(9));
    assert_eq!(again.unwrap().unwrap().id, first.id, "the same at each try");
    assert_eq!(take_all(&queue, at(9)).len(), 1);
    let later = at(90 * 24 * 3_600);
    queue
        .take(&devices(0..2, later), 9, &settings(&[]), later)
        .unwrap();
    assert!(take_all(&queue, later).is_empty());
    assert!(queue.next("b", later).unwrap().is_none());
}

#[test]
fn private_parts_are_stored_only_if_a_rule_includes_them() {
    for (include, shown) in [(&[][..], false), (&[Include::Mac, Include::HostName], true)] {
        let (directory, mut queue) = open();
        let alerts = new_devices([PHONE], device, at(0));
        queue.take(&alerts, 1, &settings(include), at(0)).unwrap();
        let queued = queue.next("a", at(0)).unwrap().unwrap();
        let json = serde_json::to_string(&queued.message).unwrap();
        assert_eq!(json.contains("64:cc:2e"), shown, "{json}");
        assert_eq!(json.contains("Redmi"), shown, "{json}");
        drop(queue);
        forget_alerts(directory.path(), &[PHONE]).unwrap();
        for file in std::fs::read_dir(directory.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for erased in [&PHONE.0[..], &b"64:cc:2e:11:22:33"[..], &b"Redmi"[..]] {
                let mut windows = bytes.windows(erased.len());
                assert!(!windows.any(|window| window == erased));
            }
        }
    }
}

#[test]
fn beyond_the_limit_alerts_are_counted_and_told_after_an_hour() {
    let (_directory, mut queue) = open();
    let settings = settings(&[]);
    queue
        .take(&devices(0..20, at(0)), 1, &settings, at(0))
        .unwrap();
    assert_eq!(take_all(&queue, at(0)).len(), 3);
    queue.take(&[], 1, &settings, at(3_599)).unwrap();
    assert!(take_all(&queue, at(3_599)).is_empty());
    queue
        .take(&devices(30..31, at(3_600)), 1, &settings, at(3_600))
        .unwrap();
    let texts = take_all(&queue, at(3_600));
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts[1].starts_with("17 more alerts (new-device)"),
        "{texts:?}"
    );
}

#[test]
fn a_condition_begins_and_ends_and_a_flapping_one_is_told_once() {
    let (_directory, mut queue) = open();
    let settings = settings(&[]);
    let gone = condition(AlertKind::InterfaceGone);
    let (lasting, none) = (steady(&gone), steady(&BTreeMap::new()));
    for second in 0..10 {
        queue.compare(&lasting, &settings, at(2 * second)).unwrap();
        assert_eq!(queue.next("a", at(0)).unwrap().unwrap().problems, 1);
        queue.compare(&none, &settings, at(2 * second + 1)).unwrap();
    }
    let texts = take_all(&queue, at(20));
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("NOT filtered"));
    assert!(texts[1].contains("filtered again"));
    queue.compare(&lasting, &settings, at(21)).unwrap();
    assert!(
        take_all(&queue, at(21)).is_empty(),
        "it came again too soon"
    );
    queue.compare(&lasting, &settings, at(3_600)).unwrap();
    assert_eq!(
        take_all(&queue, at(3_600)).len(),
        1,
        "and still lasts after `repeat_after`"
    );
    queue.compare(&lasting, &settings, at(9_999)).unwrap();
    assert!(take_all(&queue, at(9_999)).is_empty());
}

#[test]
fn one_look_begins_and_ends_nothing_and_blindness_needs_a_look_for_it() {
    let (_directory, mut queue) = open();
    let settings = settings(&[]);
    let blind = condition(AlertKind::Blind);
    let none = BTreeMap::new();
    let mut look = |before: &BTreeMap<_, _>, now: &BTreeMap<_, _>, is_known| {
        let lasting = Lasting::new(before, now.clone(), is_known);
        queue.compare(&lasting, &settings, at(0)).unwrap();
        take_all(&queue, at(0)).len()
    };
    assert_eq!(look(&none, &blind, true), 0);
    assert_eq!(look(&blind, &none, true), 0);
    assert_eq!(look(&blind, &blind, true), 1);
    assert_eq!(look(&blind, &none, true), 0);
    assert_eq!(look(&none, &none, false), 0, "a daemon that starts");
    assert_eq!(look(&none, &none, true), 1);
}

#[test]
fn a_target_that_does_not_answer_is_tried_less_and_less_then_given_up() {
    let (_directory, mut queue) = open();
    queue
        .take(&devices(0..1, at(0)), 1, &settings(&[]), at(0))
        .unwrap();
    let mut now = at(0);
    let mut waits = Vec::new();
    loop {
        let queued = queue.next("a", now).unwrap().unwrap();
        if queue.failed(queued.row, now).unwrap() == AfterFailure::GivenUp {
            break;
        }
        let before = now;
        while queue.next("a", now).unwrap().is_none() {
            now += SignedDuration::from_secs(10);
        }
        waits.push(now.duration_since(before).as_secs());
    }
    assert_eq!(waits[..4], [10, 20, 40, 80]);
    assert_eq!(waits.last(), Some(&3_600));
    assert!(now.duration_since(at(0)) > GIVE_UP);
    assert!(take_all(&queue, now).is_empty());
}

#[test]
fn the_queue_and_what_it_remembers_are_bounded() {
    let (_directory, mut queue) = open();
    let settings = AlertSettings {
        most_per_hour: u32::MAX,
        ..settings(&[])
    };
    let macs = (0..=u16::MAX).map(|n| {
        let [high, low] = n.to_be_bytes();
        MacAddress([2, 0, 0, 0, high, low])
    });
    let mut alerts = new_devices(macs, device, at(0));
    for (second, alert) in (0..).zip(&mut alerts) {
        alert.at = at(second);
    }
    let (few, all) = (&alerts[..1_200], &alerts);
    queue.take(few, 1, &settings, at(0)).unwrap();
    let number = |queue: &AlertQueue, table: &str| {
        let select = format!("SELECT count(*) FROM {table}");
        let number = queue
            .connection
            .query_row(&select, [], |row| row.get::<_, u32>(0));
        number.unwrap()
    };
    assert_eq!(number(&queue, "queue"), MOST_QUEUED);
    queue.remember(all, 1).unwrap();
    queue.take(&[], 1, &settings, at(0)).unwrap();
    assert_eq!(number(&queue, "seen"), MOST_SEEN);
}

#[test]
fn in_quiet_hours_alerts_wait() {
    let (_directory, mut queue) = open();
    let quiet = crate::alerts::Quiet {
        from: jiff::civil::Time::constant(0, 0, 0, 0),
        to: jiff::civil::Time::constant(23, 0, 0, 0),
        zone: jiff::tz::TimeZone::UTC,
        except: BTreeSet::new(),
    };
    let settings = AlertSettings {
        quiet: Some(quiet),
        ..settings(&[])
    };
    let night: Timestamp = "2026-07-01T03:00:00Z".parse().unwrap();
    queue
        .take(&devices(0..1, night), 1, &settings, night)
        .unwrap();
    assert!(queue.next("a", night).unwrap().is_none());
    let evening: Timestamp = "2026-07-01T23:00:00Z".parse().unwrap();
    assert!(queue.next("a", evening).unwrap().is_some());
}
