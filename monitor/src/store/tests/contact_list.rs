//! Lists of contacts, their sums by time, and what a policy would drop.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Opened, ago, claim, count, days, destination, flow, mac, noon, policy};
use crate::{
    policy::Direction,
    store::{ContactList, ContactQuery, DestinationRange, To, Verdict},
};

fn query() -> ContactQuery {
    ContactQuery {
        since: ago(days(1)),
        until: noon() + SignedDuration::from_secs(1),
        devices: Vec::new(),
        policy: None,
        to: None,
        verdict: None,
        skip: 0,
        limit: 10,
    }
}

fn hours(hours: i64) -> Timestamp {
    ago(SignedDuration::from_hours(hours))
}

/// Contacts (device, destination): (1, 1) now and five hours ago, (2, 2) two hours ago,
/// (1, 3) five hours ago under another policy, (3, 3) two days ago. Destination 1 has a name.
fn opened() -> Opened {
    let mut opened = Opened::new();
    opened.drain(&[flow(3, 3, 9, ago(days(2)))], ago(days(2)));
    let mut other = flow(1, 3, 1, hours(5));
    other.policies = vec![policy("other"), policy("all")];
    other.dropped = count(0);
    opened.drain(&[flow(1, 1, 5, hours(5)), other], hours(5));
    opened.drain(&[flow(2, 2, 7, hours(2))], hours(2));
    opened.drain(&[flow(1, 1, 11, noon())], noon());
    let named = [claim(1, 1, "api.example.net", noon())];
    opened.store.write_claims(&named, noon()).unwrap();
    opened
}

fn found(opened: &Opened, query: &ContactQuery) -> ContactList {
    let mut reader = opened.reader();
    reader.view().unwrap().contacts(query).unwrap()
}

/// Device and destination of each contact, with its passed packets.
fn ends(list: &ContactList) -> Vec<(u8, u32, u64)> {
    let contacts = list.contacts.iter();
    let ends = contacts.map(|own| {
        let to = (1..9).find(|number| own.destination == Some(destination(*number)));
        (own.device.unwrap().0[5], to.unwrap(), own.passed.packets)
    });
    ends.collect()
}

#[test]
fn a_contact_is_listed_once_with_all_of_its_rows_the_latest_first() {
    let opened = opened();
    let list = found(&opened, &query());
    assert_eq!(ends(&list), [(1, 1, 16), (2, 2, 7), (1, 3, 1)]);
    assert!(!list.more);
    let first = &list.contacts[0];
    assert_eq!((first.first, first.last), (hours(5), noon()));
    assert_eq!(first.dropped, count(2));
    assert_eq!(first.policies, [[policy("strict"), policy("all")]]);
    assert_eq!(first.claims[0].name, "api.example.net");
}

#[test]
fn pages_of_a_list_have_each_contact_once() {
    let opened = opened();
    let mut all = Vec::new();
    for skip in 0..3 {
        let list = found(
            &opened,
            &ContactQuery {
                skip,
                limit: 1,
                ..query()
            },
        );
        assert_eq!(list.more, skip < 2);
        all.extend(ends(&list));
    }
    assert_eq!(all, ends(&found(&opened, &query())));
}

#[test]
fn each_condition_selects() {
    let opened = opened();
    let range = |to| {
        To::Range(DestinationRange {
            first: destination(to),
            last: destination(to),
        })
    };
    let of = |change: fn(&mut ContactQuery)| {
        let mut own = query();
        change(&mut own);
        ends(&found(&opened, &own))
    };
    assert_eq!(of(|own| own.devices = vec![mac(2), mac(9)]), [(2, 2, 7)]);
    assert_eq!(of(|own| own.policy = Some(policy("other"))), [(1, 3, 1)]);
    assert_eq!(
        of(|own| own.verdict = Some(Verdict::Dropped)),
        [(1, 1, 16), (2, 2, 7)]
    );
    assert_eq!(of(|own| own.since = ago(days(3))).len(), 4);
    assert_eq!(of(|own| own.until = hours(2)), [(1, 1, 5), (1, 3, 1)]);
    assert_eq!(
        of(|own| own.to = Some(To::Name("example.n".to_owned()))),
        [(1, 1, 16)]
    );
    assert_eq!(of(|own| own.to = Some(To::Name("%".to_owned()))), []);
    let to = ContactQuery {
        to: Some(range(3)),
        since: ago(days(3)),
        ..query()
    };
    assert_eq!(ends(&found(&opened, &to)), [(1, 3, 1), (3, 3, 9)]);
}

#[test]
fn the_chart_has_the_packets_of_the_list() {
    let opened = opened();
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    let slots = view.time_slots(&query(), 100).unwrap();
    assert_eq!((slots.seconds, slots.slots.len()), (900, 97));
    assert_eq!(slots.sum(), (24, 3));
    let place = |at: Timestamp| {
        let after = at.duration_since(slots.first).as_secs();
        usize::try_from(after / slots.seconds).unwrap()
    };
    assert_eq!(slots.slots[place(noon())], (11, 1));
    assert_eq!(slots.slots[place(hours(5))], (6, 1));
    let of_device = ContactQuery {
        devices: vec![mac(2)],
        ..query()
    };
    assert_eq!(view.time_slots(&of_device, 100).unwrap().sum(), (7, 1));
    // The rows of all devices have the packets of the sums.
    let of_all = ContactQuery {
        devices: vec![mac(1), mac(2), mac(3)],
        ..query()
    };
    assert_eq!(view.time_slots(&of_all, 100).unwrap(), slots);
    let of_policy = ContactQuery {
        policy: Some(policy("other")),
        ..query()
    };
    assert_eq!(view.time_slots(&of_policy, 100).unwrap().sum(), (1, 0));
    let by_device = view.device_slots(&query(), 24).unwrap();
    assert_eq!(by_device[&mac(1)].sum(), (17, 2));
    assert_eq!(by_device.len(), 2);
    assert_eq!(view.totals().unwrap(), (4, 3, Some(ago(days(2)))));
    let seen: Vec<_> = view
        .devices_since(hours(24))
        .unwrap()
        .iter()
        .map(|own| own.mac)
        .collect();
    assert_eq!(seen, [mac(1), mac(2)]);
}

#[test]
fn a_policy_would_hit_what_it_matched_and_no_other_policy_decided() {
    let opened = opened();
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    let hits = |exempting: &[&str]| {
        let names =
            |names: &[&str]| -> BTreeSet<_> { names.iter().map(|name| policy(name)).collect() };
        view.hits(&query(), &names(&["all"]), &names(exempting), 5)
            .unwrap()
    };
    let all = &hits(&[])[&policy("all")];
    assert_eq!(all.devices, [(mac(1), 17), (mac(2), 7)]);
    assert_eq!((all.contacts, all.packets), (3, 24));
    assert_eq!(all.names, ["api.example.net"]);
    let without = &hits(&["other"])[&policy("all")];
    assert_eq!(
        (without.contacts, without.packets),
        (2, 23),
        "an allow exempts"
    );
    assert!(hits(&["all"]).is_empty());
}

#[test]
fn answers_are_told_apart_from_what_was_sent() {
    let mut opened = opened();
    let mut answer = flow(1, 1, 40, hours(1));
    answer.key.direction = Direction::In;
    let mut unasked = flow(2, 4, 9, hours(1));
    unasked.key.direction = Direction::In;
    opened.drain(&[answer, unasked], noon());
    opened.verify();
    let list = found(&opened, &query());
    assert_eq!(ends(&list), [(1, 1, 16), (2, 2, 7), (1, 3, 1)]);
    assert_eq!(list.contacts[0].answered, count(40));
    assert_eq!(list.contacts[1].answered, count(0));
    let mut reader = opened.reader();
    let slots = reader.view().unwrap().time_slots(&query(), 100).unwrap();
    assert_eq!(slots.sum(), (24, 3), "a chart has what was sent");
}

/// A search for few destinations looks for each of them. A search for many reads all rows.
#[test]
fn searches_for_few_and_for_many_destinations_find_the_same() {
    let opened = opened();
    opened
        .raw()
        .execute_batch(
            "INSERT INTO flow_end (device, destination, protocol, port, day)
            WITH RECURSIVE number (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM number LIMIT 70000)
            SELECT 1, unhex(printf('0b%06x', i)), 6, 443, 0 FROM number",
        )
        .unwrap();
    let of = |last: &str, devices: Vec<_>| ContactQuery {
        to: Some(To::Range(DestinationRange {
            first: "10.0.0.0".parse().unwrap(),
            last: last.parse().unwrap(),
        })),
        devices,
        ..query()
    };
    for devices in [vec![], vec![mac(1)], vec![mac(1), mac(2)]] {
        let mut answers = ["10.255.255.255", "11.255.255.255"].map(|last| {
            let query = of(last, devices.clone());
            let mut reader = opened.reader();
            let view = reader.view().unwrap();
            let slots = view.time_slots(&query, 100).unwrap();
            (slots, view.contacts(&query).unwrap())
        });
        let (slots, list) = std::mem::take(&mut answers[0]);
        assert_eq!(answers[1], (slots, list.clone()));
        assert_eq!(list.contacts.len(), if devices.len() == 1 { 2 } else { 3 });
    }
}
