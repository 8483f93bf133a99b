use proptest::prelude::*;

use super::{
    table::{MAX_NAMES, MAX_TEXT_BYTES},
    *,
};
use crate::evidence::names::{dns::Defects, ech_config::EchConfiguration};

const NAS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const PHONE: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53));

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn device(number: u32) -> MacAddress {
    let [one, two, three, four] = number.to_be_bytes();
    MacAddress([6, 0, one, two, three, four])
}

fn address(number: u32) -> IpAddr {
    IpAddr::from(number.to_be_bytes())
}

/// Returns an answer that gives `addresses` for the last name of `chain`.
fn answer(chain: &[&str], addresses: &[IpAddr]) -> Answer {
    let found = |address: &IpAddr| AnswerAddress {
        address: *address,
        owner: chain.len() - 1,
        target: None,
    };
    Answer {
        chain: chain.iter().map(|name| (*name).to_owned()).collect(),
        asked: Asked::Address,
        addresses: addresses.iter().map(found).collect(),
        hints: Vec::new(),
        configurations: Vec::new(),
        targets: Vec::new(),
        https_known: false,
        defects: Defects::default(),
    }
}

fn https(name: &str, configuration: Option<(u8, &str)>) -> Answer {
    let configurations = configuration.map(|(config_id, public_name)| EchConfiguration {
        config_id,
        public_name: public_name.to_owned(),
    });
    Answer {
        asked: Asked::Https,
        configurations: configurations.into_iter().collect(),
        https_known: true,
        ..answer(&[name], &[])
    }
}

fn memory(answers: usize) -> Answers {
    let settings = AnswerSettings {
        answers,
        ..AnswerSettings::default()
    };
    Answers::new(settings, at(0))
}

fn names(
    answers: &Answers,
    device: MacAddress,
    number: u32,
    now: i64,
) -> Vec<(NameSource, String)> {
    let claims = answers.names(device, address(number), at(now));
    claims
        .into_iter()
        .map(|claim| (claim.source, claim.name))
        .collect()
}

#[test]
fn a_name_is_of_this_device_or_of_another() {
    let mut answers = memory(1000);
    let chain = ["www.example.com", "edge.example.net"];
    answers.learn(PHONE, SERVER, &answer(&chain, &[address(1)]), at(10));
    answers.learn(PHONE, SERVER, &answer(&chain, &[address(1)]), at(20));
    let claim = Claim {
        name: "www.example.com".to_owned(),
        source: NameSource::Dns,
        server: Some(SERVER),
        chain: chain.map(str::to_owned).to_vec(),
        ech: None,
        first: at(10),
        last: at(20),
    };
    assert_eq!(
        answers.names(PHONE, address(1), at(30)),
        std::slice::from_ref(&claim)
    );
    let other = Claim {
        source: NameSource::DnsOther,
        ..claim
    };
    assert_eq!(answers.names(NAS, address(1), at(30)), [other]);
    assert_eq!(answers.names(NAS, address(2), at(30)), []);
    assert_eq!(answers.len(), 1);
}

#[test]
fn names_stay_side_by_side_and_a_name_of_this_device_hides_the_same_of_another() {
    let mut answers = memory(1000);
    answers.learn(
        PHONE,
        SERVER,
        &answer(&["one.example"], &[address(1)]),
        at(1),
    );
    answers.learn(
        PHONE,
        SERVER,
        &answer(&["two.example"], &[address(1)]),
        at(2),
    );
    answers.learn(NAS, SERVER, &answer(&["two.example"], &[address(1)]), at(3));
    answers.learn(
        NAS,
        SERVER,
        &answer(&["three.example"], &[address(1)]),
        at(4),
    );
    let expected = [
        (NameSource::DnsOther, "three.example"),
        (NameSource::Dns, "one.example"),
        (NameSource::Dns, "two.example"),
    ];
    let mut found = names(&answers, PHONE, 1, 9);
    let mut expected = expected
        .map(|(source, name)| (source, name.to_owned()))
        .to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let claims = answers.names(PHONE, address(1), at(9));
    assert!(claims.is_sorted());
}

#[test]
fn equal_answers_of_other_devices_make_one_claim() {
    let mut answers = memory(1000);
    for number in 0..10 {
        let seen = at(100 + i64::from(number));
        answers.learn(
            device(number),
            SERVER,
            &answer(&["a.example"], &[address(1)]),
            seen,
        );
    }
    let claims = answers.names(PHONE, address(1), at(200));
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].first, claims[0].last), (at(100), at(109)));
}

#[test]
fn hints_are_claims_of_the_device_that_got_them() {
    let mut answers = memory(1000);
    let mut hints = answer(&["www.example.com"], &[]);
    hints.hints.push(AnswerAddress {
        address: address(1),
        owner: 0,
        target: Some("pool.example.net".to_owned()),
    });
    answers.learn(PHONE, SERVER, &hints, at(1));
    let claims = answers.names(PHONE, address(1), at(2));
    assert_eq!(claims[0].source, NameSource::DnsHint);
    assert_eq!(claims[0].chain, ["www.example.com", "pool.example.net"]);
    assert!(answers.names(NAS, address(1), at(2)).is_empty());
}

#[test]
fn answers_end_after_the_time_to_keep() {
    const DAY: i64 = 24 * 3600;
    let mut answers = memory(1000);
    answers.learn(
        PHONE,
        SERVER,
        &answer(&["a.example"], &[address(1)]),
        at(100),
    );
    assert_eq!(names(&answers, PHONE, 1, 100 + DAY).len(), 1);
    assert_eq!(names(&answers, PHONE, 1, 101 + DAY).len(), 0);
    answers.expire(at(100 + DAY));
    assert_eq!(answers.len(), 1);
    answers.expire(at(101 + DAY));
    assert!(answers.is_empty());
    assert_eq!(answers.text_bytes(), 0);
    assert_eq!(answers.losses(), AnswerLosses::default());
    assert_eq!(answers.seen_since(at(101 + DAY)), at(101));
}

#[test]
fn ech_is_told_from_grease_by_the_answers() {
    let mut answers = memory(1000);
    let ech = |answers: &Answers, id, name: &str| answers.ech(name, id, name);
    assert_eq!(ech(&answers, 7, "www.example.com"), Ech::Unknown);
    answers.learn(NAS, SERVER, &https("www.example.com", None), at(1));
    assert_eq!(ech(&answers, 7, "www.example.com"), Ech::Grease);
    let configuration = Some((7, "cover.example"));
    answers.learn(PHONE, SERVER, &https("site.example", configuration), at(1));
    assert_eq!(ech(&answers, 7, "cover.example"), Ech::Real);
    assert_eq!(ech(&answers, 8, "cover.example"), Ech::Unknown);
    assert_eq!(ech(&answers, 7, "site.example"), Ech::Grease);
    // A public name whose HTTPS records are known, with a configuration that was not seen.
    answers.learn(NAS, SERVER, &https("cover.example", None), at(1));
    assert_eq!(ech(&answers, 8, "cover.example"), Ech::Unknown);
    let mut alias = https("alias.example", None);
    alias.https_known = false;
    answers.learn(NAS, SERVER, &alias, at(1));
    assert_eq!(ech(&answers, 7, "alias.example"), Ech::Unknown);
}

#[test]
fn a_device_is_forgotten_completely() {
    let mut answers = memory(1000);
    answers.learn(PHONE, SERVER, &answer(&["a.example"], &[address(1)]), at(5));
    answers.learn(
        PHONE,
        SERVER,
        &https("a.example", Some((1, "b.example"))),
        at(5),
    );
    answers.learn(NAS, SERVER, &answer(&["c.example"], &[address(2)]), at(5));
    answers.forget(PHONE);
    assert_eq!(answers.len(), 1);
    assert!(names(&answers, NAS, 1, 6).is_empty());
    assert_eq!(answers.ech("b.example", 1, "b.example"), Ech::Unknown);
    assert!(!format!("{answers:?}").contains("a.example"));
    // The answers were seen, so the gateway cannot say that they were not.
    assert_eq!(answers.seen_since(at(6)), at(6));
    assert_eq!(answers.seen_since_by(PHONE, at(6)), at(6));
}

#[test]
fn a_device_that_floods_removes_only_its_own_answers() {
    let mut answers = memory(4000);
    for number in 0..900 {
        let name = format!("n{number}.example");
        for quiet in [NAS, device(0)] {
            answers.learn(quiet, SERVER, &answer(&[&name], &[address(number)]), at(1));
        }
    }
    for number in 0..20_000 {
        let name = format!("{number}.{}.example", "f".repeat(60));
        let flood = answer(&[&name], &[address(1_000_000 + number)]);
        answers.learn(PHONE, SERVER, &flood, at(100 + i64::from(number)));
        assert!(answers.len() <= 2800);
    }
    assert_eq!(answers.len(), 2800);
    assert_eq!(answers.losses().evicted, 19_000);
    for number in 0..900 {
        for quiet in [NAS, device(0)] {
            let source = (NameSource::Dns, format!("n{number}.example"));
            assert_eq!(names(&answers, quiet, number, 30_000), [source]);
        }
    }
    assert_eq!(names(&answers, PHONE, 1_019_999, 30_000).len(), 1);
    assert_eq!(names(&answers, PHONE, 1_018_999, 30_000).len(), 0);
    // The last removed answer is the one of second 100 + 18,999.
    assert_eq!(answers.seen_since(at(30_000)), at(19_100));
    assert_eq!(answers.seen_since_by(PHONE, at(30_000)), at(19_100));
    assert_eq!(answers.seen_since_by(NAS, at(30_000)), at(0));
}

#[test]
fn the_largest_account_makes_room_and_new_macs_push_out_no_device() {
    let mut answers = memory(4000);
    for number in 0..3 {
        answers.learn(
            NAS,
            SERVER,
            &answer(&["nas.example"], &[address(number)]),
            at(1),
        );
    }
    for number in 0..12_000 {
        let flood = answer(&["flood.example"], &[address(1000 + number)]);
        answers.learn(device(number), SERVER, &flood, at(2));
    }
    assert!(answers.len() <= 4000);
    for number in 0..3 {
        assert_eq!(names(&answers, NAS, number, 3).len(), 1);
    }
    for number in 0..1000 {
        assert_eq!(names(&answers, device(number), 1000 + number, 3).len(), 1);
    }
    // A device without an account of its own is forgotten too.
    let last = device(11_999);
    assert_eq!(names(&answers, last, 12_999, 3).len(), 1);
    answers.forget(last);
    assert_eq!(names(&answers, last, 12_999, 3).len(), 0);
}

#[test]
fn long_names_stay_within_the_bytes_for_text() {
    let mut answers = memory(50_000);
    for number in 0..32_000 {
        let name = format!("{number}.{}", "x".repeat(245));
        let sender = device(number % 8);
        answers.learn(sender, SERVER, &answer(&[&name], &[address(number)]), at(1));
        assert!(answers.text_bytes() <= MAX_TEXT_BYTES);
    }
    assert!(answers.text_bytes() > MAX_TEXT_BYTES - 400);
    assert!(answers.losses().evicted > 0);
    for number in 0..8 {
        answers.forget(device(number));
    }
    assert_eq!((answers.len(), answers.text_bytes()), (0, 0));
}

#[test]
fn an_address_with_very_many_names_keeps_the_last_ones() {
    let mut answers = memory(50_000);
    for number in 0..1000 {
        let name = format!("n{number:04}.example");
        let seen = at(i64::from(number));
        answers.learn(PHONE, SERVER, &answer(&[&name], &[address(1)]), seen);
    }
    assert_eq!(answers.len(), MAX_NAMES);
    assert_eq!(answers.losses().replaced, 1000 - MAX_NAMES as u64);
    let found = answers.names(PHONE, address(1), at(1000));
    assert_eq!(found.len(), MAX_CLAIMS);
    assert!(
        found
            .iter()
            .all(|claim| claim.name.as_str() >= "n0984.example")
    );
    let found = answers.names(NAS, address(1), at(1000));
    assert_eq!(found.len(), MAX_CLAIMS_OF_OTHER);
}

#[test]
fn lost_copies_and_incomplete_answers_move_the_time_since_which_absence_counts() {
    let mut answers = memory(1000);
    let mut cut = answer(&["a.example"], &[address(1)]);
    cut.defects.incomplete = true;
    answers.learn(PHONE, SERVER, &cut, at(50));
    assert_eq!(answers.seen_since(at(60)), at(51));
    assert_eq!(answers.seen_since_by(PHONE, at(60)), at(51));
    assert_eq!(answers.seen_since_by(NAS, at(60)), at(0));
    assert_eq!(answers.losses().incomplete, 1);
    cut.asked = Asked::Other;
    answers.learn(NAS, SERVER, &cut, at(55));
    assert_eq!(answers.seen_since(at(60)), at(51));
    answers.missed(at(58));
    assert_eq!(answers.seen_since_by(NAS, at(60)), at(58));
}

#[test]
fn times_outside_of_the_range_do_no_harm() {
    let mut answers = memory(100);
    for now in [Timestamp::MIN, Timestamp::MAX, at(-1), at(1 << 33), at(5)] {
        answers.learn(PHONE, SERVER, &answer(&["a.example"], &[address(1)]), now);
        let _ = answers.names(PHONE, address(1), now);
        let _ = answers.seen_since(now);
        answers.expire(now);
    }
}

proptest! {
    #[test]
    fn the_table_stays_consistent_and_within_its_bounds(
        steps in proptest::collection::vec((0_u32..6, 0_u32..40, 0_u32..30, 0_u8..20, 0_i64..50), 1..300),
    ) {
        let mut answers = memory(40);
        let mut now = 0;
        for (sender, number, name, action, later) in steps {
            now += later * 600;
            let sender = device(sender);
            let name = format!("{name}.example");
            match action {
                0 => answers.forget(sender),
                1 => answers.expire(at(now)),
                2 => answers.learn(sender, SERVER, &https(&name, Some((action, "c.example"))), at(now)),
                _ => answers.learn(sender, SERVER, &answer(&[&name], &[address(number)]), at(now)),
            }
            prop_assert!(answers.len() <= 40);
            prop_assert!(answers.table.is_consistent());
            let claims = answers.names(sender, address(number), at(now));
            prop_assert!(claims.len() <= 3 * MAX_CLAIMS && claims.is_sorted());
            prop_assert!(answers.seen_since_by(sender, at(now)) <= answers.seen_since(at(now)));
        }
        for number in 0..6 {
            answers.forget(device(number));
        }
        prop_assert_eq!((answers.len(), answers.text_bytes()), (0, 0));
    }
}
