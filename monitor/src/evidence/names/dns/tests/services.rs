//! HTTPS and SVCB records.

use super::*;
use crate::evidence::names::ech_config::tests::{CLOUDFLARE, bytes};

fn parameter(key: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    [&key.to_be_bytes(), &length.to_be_bytes(), value].concat()
}

fn service(priority: u16, target: &str, parameters: &[Vec<u8>]) -> Vec<u8> {
    [
        &priority.to_be_bytes()[..],
        &name(target),
        &parameters.concat(),
    ]
    .concat()
}

#[test]
fn https_records_give_hints_targets_and_configurations() {
    let asked = name("www.example.com");
    let parameters = [
        parameter(1, b"\x02h2"),
        parameter(4, &[192, 0, 2, 1, 192, 0, 2, 2]),
        parameter(5, &bytes(CLOUDFLARE)),
        parameter(6, &[0x20; 16]),
    ];
    let records = [
        record(&asked, HTTPS, &service(1, ".", &parameters)),
        record(
            &asked,
            HTTPS,
            &service(2, "pool.example.net", &[parameter(4, &[192, 0, 2, 3])]),
        ),
    ];
    let answer = parse(&message(&asked, HTTPS, &records)).unwrap();
    let hints: Vec<_> = answer
        .hints
        .iter()
        .map(|hint| (hint.address.to_string(), hint.target.as_deref()))
        .collect();
    let expected = [
        ("192.0.2.1", None),
        ("192.0.2.2", None),
        ("2020:2020:2020:2020:2020:2020:2020:2020", None),
        ("192.0.2.3", Some("pool.example.net")),
    ];
    assert_eq!(
        hints,
        expected.map(|(address, target)| (address.to_owned(), target))
    );
    assert_eq!(answer.targets, ["pool.example.net"]);
    assert_eq!(answer.configurations.len(), 1);
    assert_eq!(answer.configurations[0].config_id, 0xf2);
    assert_eq!(answer.asked, Asked::Https);
    assert!(answer.https_known);
}

#[test]
fn https_records_are_known_only_after_a_complete_answer() {
    let asked = name("www.example.com");
    let known = |records: &[Vec<u8>]| parse(&message(&asked, HTTPS, records)).unwrap().https_known;
    assert!(known(&[]));
    let alias = record(&asked, HTTPS, &service(0, "pool.example.net", &[]));
    assert!(!known(std::slice::from_ref(&alias)));
    let malformed = record(&asked, HTTPS, &[0]);
    assert!(!known(&[malformed]));
    let plain = record(&asked, HTTPS, &service(1, ".", &[]));
    assert!(known(std::slice::from_ref(&plain)));
    let whole = message(&asked, HTTPS, std::slice::from_ref(&plain));
    assert!(!parse(&whole[..whole.len() - 1]).unwrap().https_known);
    let changed = |place: usize, value: u8| {
        let mut message = whole.clone();
        message[place] = value;
        parse(&message).unwrap().https_known
    };
    assert!(!changed(2, 0x83), "truncated by the server");
    assert!(!changed(3, 0x82), "server failure");
    assert!(changed(3, 0x83), "no such name");
    assert!(!parse(&message(&asked, A, &[])).unwrap().https_known);
}

#[test]
fn hints_of_a_wrong_length_and_unordered_parameters_do_not_count() {
    let asked = name("www.example.com");
    let wrong = service(
        1,
        ".",
        &[parameter(4, &[192, 0, 2]), parameter(6, &[1; 17])],
    );
    let answer = parse(&message(&asked, HTTPS, &[record(&asked, HTTPS, &wrong)])).unwrap();
    assert_eq!(answer.hints, []);
    let unordered = service(
        1,
        ".",
        &[parameter(4, &[192, 0, 2, 1]), parameter(1, b"\x02h2")],
    );
    let answer = parse(&message(
        &asked,
        HTTPS,
        &[record(&asked, HTTPS, &unordered)],
    ))
    .unwrap();
    assert_eq!((answer.hints.len(), answer.defects.malformed), (0, 1));
}

#[test]
fn a_question_for_designated_resolvers_is_recognised() {
    let data = service(1, "dns.google", &[parameter(4, &[8, 8, 8, 8])]);
    for (asked, is_discovery) in [
        ("_dns.resolver.arpa", true),
        ("_DNS.Resolver.ARPA", true),
        ("_853._dns.resolver.arpa", true),
        ("x_dns.resolver.arpa", false),
        ("resolver.arpa", false),
    ] {
        let wire = name(asked);
        let answer = parse(&message(&wire, SVCB, &[record(&wire, SVCB, &data)])).unwrap();
        let found = answer.asked == Asked::DesignatedResolvers;
        assert_eq!(found, is_discovery, "{asked}");
        assert_eq!(answer.targets, ["dns.google"]);
        assert_eq!(answer.hints.len(), 1);
    }
}
