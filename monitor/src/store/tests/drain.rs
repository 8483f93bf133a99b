//! Writing drained tables and claims, and reading them back.

use jiff::SignedDuration;

use super::{
    INSTANCE, NOON, Opened, ago, claim, count, days, destination, flow, mac, noon, packets, policy,
};
use crate::{
    evidence::{
        claim::{Ech, NameSource},
        flow::{Direction, Port},
    },
    policy::MacAddress,
    store::{DestinationRange, Drained, FlowQuery, Instance, PolicySum, Store, StoreSettings},
};

#[test]
fn flows_and_the_epoch_are_written_together_and_once() {
    let mut opened = Opened::new();
    let flows = [flow(1, 1, 5, noon()), flow(2, 1, 7, noon())];
    let table = Drained {
        instance: INSTANCE,
        epoch: u64::MAX - 1,
        flows: &flows,
    };
    assert_eq!(opened.store.drained(INSTANCE.token).unwrap(), None);
    assert!(!opened.store.write_drained(&table, noon()).unwrap().repeated);
    for epoch in [u64::MAX - 1, 3] {
        let table = Drained { epoch, ..table };
        assert!(opened.store.write_drained(&table, noon()).unwrap().repeated);
    }
    let other = Drained {
        instance: Instance {
            token: 1,
            boot: None,
        },
        epoch: 0,
        flows: &flows[..1],
    };
    assert!(!opened.store.write_drained(&other, noon()).unwrap().repeated);
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    assert_eq!(view.drained(INSTANCE.token).unwrap(), Some(u64::MAX - 1));
    assert_eq!(view.drained(1).unwrap(), Some(0));
    assert_eq!(view.drained(2).unwrap(), None);
    let sum = |passed, dropped| {
        vec![PolicySum {
            policy: policy("strict"),
            passed: count(passed),
            dropped: count(dropped),
        }]
    };
    assert_eq!(view.recorded(INSTANCE.token).unwrap(), sum(12, 2));
    assert_eq!(view.recorded(1).unwrap(), sum(5, 1));
    assert_eq!(view.removed(1).unwrap(), []);
    drop(view);
    opened.verify();
}

#[test]
fn every_part_of_a_key_is_read_back() {
    let mut opened = Opened::new();
    let base = flow(1, 1, 5, noon());
    let mut flows = vec![base.clone()];
    let mut add = |change: &dyn Fn(&mut crate::evidence::flow::Flow)| {
        let mut flow = base.clone();
        change(&mut flow);
        flows.push(flow);
    };
    for port in [
        Port::Number(0),
        Port::None,
        Port::LaterFragment,
        Port::Truncated,
        Port::Hidden,
        Port::TooManyExtensions,
    ] {
        add(&|flow| flow.key.port = port);
    }
    add(&|flow| flow.key.direction = Direction::In);
    add(&|flow| flow.key.interface = "wlan0".to_owned());
    add(&|flow| flow.key.protocol = 255);
    add(&|flow| flow.key.destination = "::ffff:10.0.0.1".parse().unwrap());
    add(&|flow| flow.key.destination = "2001:db8::1".parse().unwrap());
    add(&|flow| flow.key.device = MacAddress([0xff; 6]));
    add(&|flow| flow.policies = vec![policy("all")]);
    opened.drain(&flows, noon());
    let mut stored: Vec<_> = opened
        .flows(&FlowQuery::default())
        .into_iter()
        .map(|stored| {
            assert_eq!((stored.passed, stored.dropped), (count(5), count(1)));
            assert_eq!((stored.first, stored.last), (noon(), noon()));
            let key = crate::evidence::flow::FlowKey {
                device: stored.device.unwrap(),
                interface: stored.interface,
                direction: stored.direction,
                destination: stored.destination.unwrap(),
                protocol: stored.protocol,
                port: stored.port,
            };
            (key, stored.policies)
        })
        .collect();
    let mut expected: Vec<_> = flows
        .into_iter()
        .map(|flow| (flow.key, flow.policies))
        .collect();
    expected.sort();
    stored.sort();
    assert_eq!(stored, expected);
}

#[test]
fn a_flow_is_summed_over_the_period_with_its_first_and_last_packet() {
    let mut opened = Opened::new();
    for minutes in [0, 1, 4, 9, 70] {
        let at = ago(SignedDuration::from_mins(minutes));
        opened.drain(&[flow(1, 1, 10, at)], at);
    }
    let find = |since: Option<i64>, until: Option<i64>| {
        let filter = FlowQuery {
            since: since.map(|minutes| ago(SignedDuration::from_mins(minutes))),
            until: until.map(|minutes| ago(SignedDuration::from_mins(minutes))),
            ..FlowQuery::default()
        };
        let found = opened.flows(&filter);
        assert!(found.len() <= 1);
        found.first().map(|flow| {
            let minutes = |at: jiff::Timestamp| (NOON - at.as_second()) / 60;
            (flow.passed.packets, minutes(flow.first), minutes(flow.last))
        })
    };
    assert_eq!(find(None, None), Some((50, 70, 0)));
    assert_eq!(find(Some(10), None), Some((40, 9, 0)));
    assert_eq!(find(Some(0), None), Some((10, 0, 0)));
    // The packets 4 and 1 minutes before noon are in one row.
    assert_eq!(find(Some(3), Some(2)), Some((20, 4, 1)));
    assert_eq!(find(None, Some(60)), Some((10, 70, 70)));
    assert_eq!(find(Some(60), Some(20)), None);
    assert_eq!(find(None, Some(70)), None);
}

/// A table that could not be drained for hours holds flows that began long before their
/// bucket.
#[test]
fn a_flow_that_began_long_before_its_bucket_is_found_at_its_begin() {
    let mut opened = Opened::new();
    let mut long = flow(1, 1, 10, noon());
    long.first = ago(SignedDuration::from_hours(7));
    opened.drain(&[long], noon());
    let filter = |hours| FlowQuery {
        until: Some(ago(SignedDuration::from_hours(hours))),
        ..FlowQuery::default()
    };
    assert_eq!(opened.flows(&filter(6)).len(), 1);
    assert_eq!(opened.flows(&filter(8)).len(), 0);
    opened.store.compact(noon() + days(3)).unwrap();
    assert_eq!(opened.flows(&filter(6)).len(), 1);
    assert_eq!(opened.flows(&filter(8)).len(), 0);
}

#[test]
fn filters_select_device_policy_and_destination() {
    let mut opened = Opened::new();
    let mut flows: Vec<_> = (0..4).map(|n| flow(n % 2, n, 1, noon())).collect();
    flows[3].policies = vec![policy("all")];
    let mut v6 = flow(0, 0, 1, noon());
    v6.key.destination = "::a00:1".parse().unwrap();
    flows.push(v6);
    opened.drain(&flows, noon());
    let find = |filter: FlowQuery| -> Vec<_> {
        let found = opened.flows(&filter);
        found
            .into_iter()
            .map(|flow| flow.destination.unwrap().to_string())
            .collect()
    };
    let device = Some(mac(1));
    let range = |first: &str, last: &str| {
        Some(DestinationRange {
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
        })
    };
    assert_eq!(
        find(FlowQuery {
            device,
            ..FlowQuery::default()
        }),
        ["10.0.0.1", "10.0.0.3"]
    );
    let unknown = Some(mac(9));
    assert!(
        find(FlowQuery {
            device: unknown,
            ..FlowQuery::default()
        })
        .is_empty()
    );
    let strict = Some(policy("strict"));
    assert_eq!(
        find(FlowQuery {
            device,
            policy: strict,
            ..FlowQuery::default()
        }),
        ["10.0.0.1"]
    );
    let all = Some(policy("all"));
    assert_eq!(
        find(FlowQuery {
            policy: all,
            ..FlowQuery::default()
        })
        .len(),
        5
    );
    let destination = range("10.0.0.1", "10.0.0.2");
    assert_eq!(
        find(FlowQuery {
            destination,
            ..FlowQuery::default()
        }),
        ["10.0.0.2", "10.0.0.1"]
    );
    assert_eq!(
        find(FlowQuery {
            device,
            destination,
            ..FlowQuery::default()
        }),
        ["10.0.0.1"]
    );
    let destination = range("0.0.0.0", "255.255.255.255");
    assert_eq!(
        find(FlowQuery {
            destination,
            ..FlowQuery::default()
        })
        .len(),
        4
    );
    let destination = range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_eq!(
        find(FlowQuery {
            destination,
            ..FlowQuery::default()
        }),
        ["::a00:1"]
    );
    let destination = range("10.0.0.9", "10.0.0.9");
    assert!(
        find(FlowQuery {
            destination,
            ..FlowQuery::default()
        })
        .is_empty()
    );
}

#[test]
fn the_limit_takes_the_latest_flows_and_keeps_their_whole_sums() {
    let mut opened = Opened::new();
    for hours in (0..6).rev() {
        let at = ago(SignedDuration::from_hours(hours));
        let to = u32::try_from(hours).unwrap() / 2;
        opened.drain(&[flow(1, to, 10, at)], at);
    }
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    let found = |limit| {
        let found = view
            .flows(&FlowQuery {
                limit,
                ..FlowQuery::default()
            })
            .unwrap();
        let flows: Vec<_> = found
            .flows
            .iter()
            .map(|flow| (flow.destination.unwrap(), flow.passed.packets))
            .collect();
        (flows, found.more)
    };
    let all = [0, 1, 2].map(|to| (destination(to), 20));
    assert_eq!(found(2), (all[..2].to_vec(), true));
    assert_eq!(found(3), (all.to_vec(), false));
    assert_eq!(found(0), (vec![], true));
}

#[test]
fn claims_stay_side_by_side_and_repeated_ones_move_their_times() {
    let mut opened = Opened::new();
    opened.drain(&[flow(1, 1, 5, noon())], noon());
    let (end, sni) = claim(1, 1, "a.example", noon());
    let mut dns = sni.clone();
    dns.source = NameSource::Dns;
    dns.server = Some("2001:db8::53".parse().unwrap());
    dns.chain = vec!["b.example".to_owned(), "c\\\"\u{202e}.example".to_owned()];
    let mut earlier = sni.clone();
    earlier.first = ago(SignedDuration::from_millis(1_500));
    earlier.last = earlier.first;
    earlier.ech = Some(Ech::Unknown);
    let mut later = sni.clone();
    later.ech = Some(Ech::Grease);
    let claims = [&sni, &dns, &later, &earlier].map(|claim| (end.clone(), claim.clone()));
    assert_eq!(opened.store.write_claims(&claims, noon()).unwrap(), 0);
    let flows = opened.flows(&FlowQuery::default());
    later.first = earlier.first;
    let mut expected = vec![later, dns];
    expected.sort();
    assert_eq!(flows[0].claims, expected);
    assert_eq!(flows[0].more_claims, 0);
}

#[test]
fn claims_of_a_source_and_in_an_answer_are_limited() {
    let mut opened = Opened::new();
    opened.drain(&[flow(1, 1, 5, noon())], noon());
    let sources = [
        NameSource::Dns,
        NameSource::DnsOther,
        NameSource::DnsHint,
        NameSource::Sni,
        NameSource::Asked,
    ];
    let mut claims = Vec::new();
    for source in sources {
        for n in 0..20 {
            let (end, mut claim) = claim(1, 1, &format!("host-{n}.example"), noon());
            claim.source = source;
            claims.push((end, claim));
        }
    }
    claims.push(claim(1, 1, &"x".repeat(256), noon()));
    claims.push(claim(1, 1, "", noon()));
    assert_eq!(
        opened.store.write_claims(&claims, noon()).unwrap(),
        5 * 4 + 2
    );
    let flows = opened.flows(&FlowQuery::default());
    assert_eq!((flows[0].claims.len(), flows[0].more_claims), (64, 16));
    let mut reader = opened.reader();
    let losses = reader.view().unwrap().losses(ago(days(1))).unwrap();
    let found: Vec<_> = losses
        .iter()
        .map(|stored| (stored.loss.reason.as_str(), stored.loss.packets))
        .collect();
    assert_eq!(found, [("claim", 22)]);
}

#[test]
fn a_store_that_was_closed_is_found_as_it_was() {
    let mut opened = Opened::new();
    opened.drain(&[flow(1, 1, 5, noon())], noon());
    let Opened {
        directory, store, ..
    } = opened;
    store.close().unwrap();
    let names: Vec<_> = directory
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["evidence.db"]);
    let (store, found) = Store::open(directory.path(), StoreSettings::default(), noon()).unwrap();
    assert_eq!(found, super::super::Opened::default());
    assert_eq!(store.drained(INSTANCE.token).unwrap(), Some(1));
    let mut reader = super::StoreReader::open(directory.path()).unwrap().unwrap();
    assert_eq!(packets(&mut reader), (6, 0));
}

#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut opened = Opened::new();
    opened.drain(&[flow(1, 1, 5, noon())], noon());
    let mut names = Vec::new();
    for entry in opened.path().read_dir().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["evidence.db", "evidence.db-shm", "evidence.db-wal"]);
}
