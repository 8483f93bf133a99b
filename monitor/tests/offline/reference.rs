//! Tests of the reference model, on frames with known results.

use crate::support;

use std::{collections::BTreeSet, net::IpAddr};

use monitor::policy::{Action, MacAddress};
use monitor_common::Reason;
use support::{
    packets::{self, Builder, Fragment, PHONE, ethernet, to},
    reference::{Block, Entry, Family, Model, Outcome, Policy, Total, Verdict, judge, parse},
};

const V4: &str = "42.62.48.7";
const V6: &str = "2001:db8:42::7";
const FIVE_TAGS: [u16; 5] = [0x88a8, 0x8100, 0x9100, 0x9200, 0x8100];

/// Description, frame, and its destination or the reason that it has none.
fn cases() -> Vec<(&'static str, Vec<u8>, Result<&'static str, Reason>)> {
    let mut cases = good_cases();
    cases.extend(link_cases());
    cases.extend(network_cases());
    cases
}

fn good_cases() -> Vec<(&'static str, Vec<u8>, Result<&'static str, Reason>)> {
    vec![
        ("IPv4", to(V4).build(), Ok(V4)),
        ("IPv6", to(V6).build(), Ok(V6)),
        (
            "one tag of each kind",
            to(V4).tags(&FIVE_TAGS[..4]).build(),
            Ok(V4),
        ),
        ("four tags", to(V6).tags(&FIVE_TAGS[1..]).build(), Ok(V6)),
        ("IPv4 in PPPoE", to(V4).pppoe().build(), Ok(V4)),
        (
            "IPv6 in PPPoE behind a tag",
            to(V6).tags(&[0x8100]).pppoe().build(),
            Ok(V6),
        ),
        ("fixed IPv4 header only", to(V4).truncated(34), Ok(V4)),
        ("fixed IPv6 header only", to(V6).truncated(54), Ok(V6)),
        ("options", to(V4).options(10).build(), Ok(V4)),
        ("options cut off", to(V4).options(10).truncated(34), Ok(V4)),
        (
            "later fragment",
            to(V4).fragment(Fragment::Later(100)).build(),
            Ok(V4),
        ),
        (
            "extension headers",
            to(V6)
                .extensions(&[0, 60, 43])
                .fragment(Fragment::First)
                .build(),
            Ok(V6),
        ),
    ]
}

fn link_cases() -> Vec<(&'static str, Vec<u8>, Result<&'static str, Reason>)> {
    let tags = |frame: Builder| frame.tags(&FIVE_TAGS);
    vec![
        ("nothing", vec![], Err(Reason::TruncatedEthernet)),
        (
            "13 bytes",
            to(V4).truncated(13),
            Err(Reason::TruncatedEthernet),
        ),
        (
            "ARP",
            ethernet(PHONE, packets::ARP, &[0; 28]),
            Err(Reason::NonIp),
        ),
        (
            "a length (802.3)",
            ethernet(PHONE, 0x0026, &[0x42; 38]),
            Err(Reason::NonIp),
        ),
        (
            "PPPoE discovery",
            ethernet(PHONE, 0x8863, &[0x11; 20]),
            Err(Reason::NonIp),
        ),
        (
            "ARP behind a tag",
            ethernet(PHONE, 0x8100, &[0, 1, 8, 6, 0, 0]),
            Err(Reason::NonIp),
        ),
        ("five tags", tags(to(V4)).build(), Ok(V4)),
        ("28 tags", to(V4).tags(&[0x8100; 28]).build(), Ok(V4)),
        (
            "29 tags",
            to(V4).tags(&[0x8100; 29]).build(),
            Err(Reason::VlanDepth),
        ),
        (
            "29 tags, the last not there",
            to(V4).tags(&[0x8100; 29]).truncated(14 + 28 * 4),
            Err(Reason::VlanDepth),
        ),
        (
            "five tags, the fifth not there",
            tags(to(V4)).truncated(14 + 16),
            Err(Reason::TruncatedVlan),
        ),
        (
            "four tags, the fourth cut",
            tags(to(V4)).truncated(14 + 15),
            Err(Reason::TruncatedVlan),
        ),
        (
            "tag of three bytes",
            to(V4).tags(&[0x8100]).truncated(17),
            Err(Reason::TruncatedVlan),
        ),
        (
            "tag of no bytes",
            to(V4).tags(&[0x88a8]).truncated(14),
            Err(Reason::TruncatedVlan),
        ),
        (
            "PPPoE of seven bytes",
            to(V4).pppoe().truncated(21),
            Err(Reason::BadPppoe),
        ),
        (
            "PPPoE version 2",
            to(V4).pppoe_with(0x21, 0).build(),
            Ok(V4),
        ),
        ("PPPoE type 2", to(V6).pppoe_with(0x12, 0).build(), Ok(V6)),
        ("PPPoE code 9", to(V4).pppoe_with(0x11, 9).build(), Ok(V4)),
        (
            "LCP",
            ethernet(
                PHONE,
                0x8864,
                &[0x11, 0, 0, 1, 0, 6, 0xc0, 0x21, 9, 0, 0, 4],
            ),
            Err(Reason::NonIp),
        ),
    ]
}

fn network_cases() -> Vec<(&'static str, Vec<u8>, Result<&'static str, Reason>)> {
    let first_byte = |destination: &str, byte: u8| {
        let mut frame = to(destination).build();
        frame[14] = byte;
        frame
    };
    vec![
        (
            "no IPv4 header",
            to(V4).truncated(14),
            Err(Reason::TruncatedIpv4),
        ),
        (
            "19 bytes of IPv4",
            to(V4).truncated(33),
            Err(Reason::TruncatedIpv4),
        ),
        (
            "19 bytes of IPv4 in PPPoE",
            to(V4).pppoe().truncated(41),
            Err(Reason::TruncatedIpv4),
        ),
        (
            "19 bytes of something",
            ethernet(PHONE, packets::IPV4, &[0; 19]),
            Err(Reason::TruncatedIpv4),
        ),
        (
            "header length 4",
            first_byte(V4, 0x44),
            Err(Reason::BadIpv4),
        ),
        (
            "version 6 as IPv4",
            first_byte(V4, 0x65),
            Err(Reason::BadIpv4),
        ),
        (
            "39 bytes of IPv6",
            to(V6).truncated(53),
            Err(Reason::TruncatedIpv6),
        ),
        (
            "39 bytes of something",
            ethernet(PHONE, packets::IPV6, &[0; 39]),
            Err(Reason::TruncatedIpv6),
        ),
        (
            "version 4 as IPv6",
            first_byte(V6, 0x40),
            Err(Reason::BadIpv6),
        ),
    ]
}

#[test]
fn frames_are_read_or_have_one_reason() {
    for (description, frame, expected) in cases() {
        let expected = expected.map(|destination| destination.parse::<IpAddr>().unwrap());
        let packet = parse(&frame);
        assert_eq!(
            packet.map(|packet| packet.destination),
            expected,
            "{description}"
        );
        if let Ok(packet) = packet {
            assert_eq!(packet.source, MacAddress(PHONE), "{description}");
        }
    }
}

#[test]
fn the_cases_show_every_reason() {
    let shown: BTreeSet<Reason> = cases()
        .into_iter()
        .filter_map(|(_, _, expected)| expected.err())
        .collect();
    assert_eq!(shown, BTreeSet::from(Reason::ALL));
}

#[test]
fn blocks_contain_their_first_and_last_address_and_no_more() {
    for (block, first, last) in [
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("42.62.48.0/24", "42.62.48.0", "42.62.48.255"),
        ("42.62.48.7/31", "42.62.48.6", "42.62.48.7"),
        ("42.62.48.7", "42.62.48.7", "42.62.48.7"),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        (
            "2001:db8::/33",
            "2001:db8::",
            "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff",
        ),
        ("2001:db8::1", "2001:db8::1", "2001:db8::1"),
    ] {
        let block: Block = block.parse().unwrap();
        let (first, last): (IpAddr, IpAddr) = (first.parse().unwrap(), last.parse().unwrap());
        assert_eq!((block.first(), block.last()), (first, last));
        assert!(block.contains(first) && block.contains(last), "{block}");
    }
    let block: Block = "42.62.48.0/24".parse().unwrap();
    for outside in [
        "42.62.47.255",
        "42.62.49.0",
        "::42.62.48.7",
        "::ffff:42.62.48.7",
    ] {
        assert!(!block.contains(outside.parse().unwrap()), "{outside}");
    }
    let everything: Block = "::/0".parse().unwrap();
    assert!(!everything.contains(V4.parse().unwrap()));
    assert!("42.62.48.0/33".parse::<Block>().is_err());
}

fn names(policies: &[Policy], destination: &str) -> (Vec<String>, Verdict) {
    match judge(policies, "br-lan", &to(destination).build()) {
        Outcome::Parsed {
            matched, verdict, ..
        } => (
            matched
                .iter()
                .map(|&index| policies[index].name.clone())
                .collect(),
            verdict,
        ),
        Outcome::Unparsed(reason, _) => panic!("{reason:?}"),
    }
}

#[test]
fn an_allow_wins_else_a_drop_whatever_the_prefix_length() {
    let mut policies = vec![
        Policy::new("allow", Action::Allow, &["42.62.0.0/16"]),
        Policy::new("count", Action::Count, &["42.0.0.0/8", "43.0.0.0/8"]),
        Policy::new(
            "drop",
            Action::Drop,
            &["42.62.48.0/24", "43.0.0.0/30", "43.0.0.2/31"],
        ),
    ];
    policies[2].entries.push(Entry {
        block: "44.0.0.0/24".parse().unwrap(),
        except: vec![
            "44.0.0.8/29".parse().unwrap(),
            "43.0.0.0/8".parse().unwrap(),
        ],
    });
    for (destination, matched, verdict) in [
        (
            "42.62.48.7",
            &["allow", "count", "drop"][..],
            Verdict::Passed,
        ),
        ("42.63.0.1", &["count"], Verdict::Passed),
        ("43.0.0.2", &["count", "drop"], Verdict::Dropped),
        ("44.0.0.7", &["drop"], Verdict::Dropped),
        ("44.0.0.8", &[], Verdict::Passed),
        ("44.0.0.15", &[], Verdict::Passed),
        ("44.0.0.16", &["drop"], Verdict::Dropped),
        (V6, &[], Verdict::Passed),
    ] {
        let matched = matched.iter().map(ToString::to_string).collect();
        assert_eq!(
            names(&policies, destination),
            (matched, verdict),
            "{destination}"
        );
    }
}

#[test]
fn a_packet_adds_to_one_interface_cell_and_to_each_policy() {
    let policies = vec![
        Policy::new("count", Action::Count, &["42.62.0.0/16"]),
        Policy::new("drop", Action::Drop, &["42.62.48.0/24"]),
    ];
    let mut model = Model::new(policies);
    assert_eq!(
        model.receive("br-lan", &to(V4).build(), 100),
        Verdict::Dropped
    );
    assert_eq!(
        model.receive("br-lan", &to("42.62.0.1").build(), 200),
        Verdict::Passed
    );
    assert_eq!(
        model.receive("wlan0", &to(V6).build(), 300),
        Verdict::Passed
    );
    assert_eq!(model.receive("wlan0", &[0; 13], 13), Verdict::Passed);
    model.replace_policies(Vec::new());
    assert_eq!(
        model.receive("br-lan", &to(V4).build(), 400),
        Verdict::Passed
    );

    let total = |packets, bytes| Total { packets, bytes };
    let interface = |name: &str, verdict, family| (name.to_owned(), verdict, family);
    let policy = |name: &str, verdict| (name.to_owned(), verdict);
    let device = |name: &str, verdict| (MacAddress(PHONE), name.to_owned(), verdict);
    let unparsed = Family::Other(Reason::TruncatedEthernet);
    let interfaces = [
        (
            interface("br-lan", Verdict::Dropped, Family::Ipv4),
            total(1, 100),
        ),
        (
            interface("br-lan", Verdict::Passed, Family::Ipv4),
            total(2, 600),
        ),
        (
            interface("wlan0", Verdict::Passed, Family::Ipv6),
            total(1, 300),
        ),
        (interface("wlan0", Verdict::Passed, unparsed), total(1, 13)),
    ];
    assert_eq!(model.cells.interfaces, interfaces.into());
    let matched = [
        ("count", Verdict::Dropped, total(1, 100)),
        ("count", Verdict::Passed, total(1, 200)),
        ("drop", Verdict::Dropped, total(1, 100)),
    ];
    assert_eq!(
        model.cells.policies,
        matched
            .map(|(name, verdict, total)| (policy(name, verdict), total))
            .into()
    );
    assert_eq!(
        model.cells.devices,
        matched
            .map(|(name, verdict, total)| (device(name, verdict), total))
            .into()
    );
}
