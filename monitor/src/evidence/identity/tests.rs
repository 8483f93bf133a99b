use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::devices::leases::LeaseFormat;

mod bounds;
mod same;

const PHONE: MacAddress = MacAddress([0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33]);
const TV: MacAddress = MacAddress([0x64, 0xcc, 0x2e, 0x11, 0x22, 0x34]);
const DNSMASQ: FactSource = FactSource::Lease(LeaseFormat::Dnsmasq);

/// Returns a time, in seconds after the start of the tests.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_796_000_000 + second).unwrap()
}

fn ipv4(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 168, 50, last).into()
}

fn ipv6(last: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()
}

/// Returns a MAC that a device made up.
fn made_up(number: usize) -> MacAddress {
    let [.., a, b, c] = number.to_be_bytes();
    MacAddress([2, 0, 0, a, b, c])
}

fn lease(mac: Option<MacAddress>, address: IpAddr, name: &str) -> Lease {
    Lease {
        mac,
        address,
        host_name: Some(name.to_owned()),
        expires: Some(at(3600)),
        source: LeaseFormat::Dnsmasq,
    }
}

fn few() -> Identities {
    Identities::new(Limits {
        devices: 3,
        addresses: 3,
        names: 2,
    })
}

fn reasons(identities: &Identities) -> Vec<String> {
    let device = identities.get(PHONE).unwrap();
    device.several().iter().map(ToString::to_string).collect()
}

fn addresses(identities: &Identities, mac: MacAddress) -> Vec<IpAddr> {
    let device = identities.get(mac).unwrap();
    device.addresses().keys().copied().collect()
}

#[test]
fn the_addresses_of_a_mac_are_one_device_and_each_source_has_its_times() {
    let mut identities = Identities::default();
    identities.frame(PHONE, ipv4(10), at(5));
    identities.frame(PHONE, ipv4(10), at(9));
    identities.neighbour(PHONE, ipv4(10), true, at(20));
    identities.frame(PHONE, ipv6(1), at(2));
    identities.leases(&[lease(Some(PHONE), ipv4(10), "redmi")], at(30));
    assert_eq!(identities.iter().count(), 1);
    assert_eq!(addresses(&identities, PHONE), [ipv4(10), ipv6(1)]);
    let device = identities.get(PHONE).unwrap();
    let period = |first, last| Period {
        first: at(first),
        last: at(last),
    };
    let known = &device.addresses()[&ipv4(10)];
    assert_eq!(
        known.sources(),
        [
            (FactSource::Frame, period(5, 9)),
            (FactSource::Neighbour, period(20, 20)),
            (DNSMASQ, period(30, 30)),
        ]
    );
    // A lease does not show that the device is there.
    assert_eq!(device.seen(), Some(period(2, 20)));
    assert_eq!(device.host_names()["redmi"].period(), Some(period(30, 30)));
    assert!(device.several().is_empty());
    assert_eq!(identities.losses(), Losses::default());
}

#[test]
fn groups_and_addresses_of_no_device_are_counted() {
    let mut identities = Identities::default();
    for mac in [[0xff; 6], [0; 6], [1, 0, 0x5e, 0, 0, 1]] {
        identities.frame(MacAddress(mac), ipv4(10), at(0));
    }
    for address in [
        "0.0.0.0",
        "127.0.0.1",
        "255.255.255.255",
        "224.0.0.1",
        "::",
        "::1",
        "ff02::1",
    ] {
        identities.frame(PHONE, address.parse().unwrap(), at(0));
        identities.neighbour(PHONE, address.parse().unwrap(), true, at(0));
    }
    assert_eq!(identities.iter().count(), 0);
    let losses = identities.losses();
    assert_eq!((losses.not_a_device, losses.not_an_address), (3, 14));
}

#[test]
fn a_lease_without_a_mac_goes_to_the_only_user_of_its_address() {
    let window = WINDOW.as_secs();
    let mut identities = Identities::default();
    identities.frame(TV, ipv6(1), at(0));
    identities.neighbour(PHONE, ipv6(1), true, at(1));
    let leases = [
        lease(None, ipv6(1), "redmi"),
        lease(None, ipv6(2), "unknown"),
    ];
    let names = |identities: &Identities| {
        [PHONE, TV].map(|mac| identities.get(mac).unwrap().host_names().len())
    };
    // Two devices used the address lately: the lease may be of each.
    identities.leases(&leases, at(window));
    assert_eq!(names(&identities), [0, 0]);
    assert_eq!(identities.losses().leases_without_device, 2);
    identities.leases(&leases, at(window + 1));
    assert_eq!(names(&identities), [1, 0]);
    // A device that used the address long ago has left it.
    let later = [lease(None, ipv6(1), "tv")];
    identities.leases(&later, at(window + 2));
    assert_eq!(names(&identities), [1, 0]);
    assert_eq!(identities.losses().leases_without_device, 4);
}

#[test]
fn a_lease_that_has_ended_says_nothing() {
    let mut identities = Identities::default();
    identities.leases(&[lease(Some(PHONE), ipv4(10), "redmi")], at(3600));
    assert_eq!(identities.iter().count(), 0);
    identities.leases(&[lease(Some(PHONE), ipv4(10), "redmi")], at(3599));
    assert_eq!(identities.get(PHONE).unwrap().seen(), None);
}

#[test]
fn several_host_names_at_once_are_a_reason_and_a_new_name_is_not() {
    let name = |identities: &mut Identities, name: &str, time| {
        identities.fact(PHONE, Fact::HostName(name.to_owned()), DNSMASQ, at(time));
    };
    let mut identities = Identities::default();
    name(&mut identities, "old", 0);
    name(&mut identities, "old", 9);
    name(&mut identities, "new", 10);
    name(&mut identities, "NEW.lan", 20);
    assert!(reasons(&identities).is_empty());
    name(&mut identities, "old", 15);
    assert_eq!(
        reasons(&identities),
        [
            "This MAC had the host names `new` and `old`, in turn or at once. One device mostly has one host name."
        ]
    );
    let mut identities = Identities::default();
    for text in ["f", "e", "d", "c", "b", "a"] {
        name(&mut identities, text, 0);
    }
    let [reason] = &reasons(&identities)[..] else {
        panic!("one reason");
    };
    assert!(
        reason.contains("`a`, `b`, `c`, `d` and 2 more, in"),
        "{reason}"
    );
}

#[test]
fn two_models_are_a_reason_at_any_time() {
    let mut identities = Identities::default();
    for (time, model) in [(0, "Redmi Note 9 Pro"), (1, "redmi note 9 pro")] {
        identities.fact(
            PHONE,
            Fact::Model(model.to_owned()),
            FactSource::MiPush,
            at(time),
        );
    }
    assert!(reasons(&identities).is_empty());
    let model = Fact::Model("Redmi Note 8T".to_owned());
    identities.fact(PHONE, model, FactSource::MiPush, at(1 << 20));
    let [reason] = &reasons(&identities)[..] else {
        panic!("one reason");
    };
    assert!(
        reason.contains("the models `Redmi Note 8T`, `Redmi Note 9 Pro` and `redmi"),
        "{reason}"
    );
}

#[test]
fn ipv4_addresses_in_turn_are_a_reason_and_a_new_address_is_not() {
    let of = |uses: &[(u8, i64)]| {
        let mut identities = Identities::default();
        for (address, time) in uses {
            identities.frame(PHONE, ipv4(*address), at(*time));
        }
        identities.get(PHONE).unwrap().several()
    };
    let reason = |most, first, last| {
        let (first, last) = (at(first), at(last));
        vec![Several::Ipv4 {
            most,
            period: Period { first, last },
        }]
    };
    for (uses, expected) in [
        // The server gives another address.
        (&[(10, 0), (10, 5), (11, 6), (11, 9), (12, 10)][..], vec![]),
        // The first address is used again, after more than the window.
        (&[(10, 0), (11, 300), (10, 601)], vec![]),
        (&[(10, 0), (11, 300), (10, 600)], reason(2, 600, 600)),
        (
            &[(10, 0), (11, 1), (12, 2), (10, 3), (11, 4), (12, 5)],
            reason(3, 3, 5),
        ),
        // Two uses at the same second show no order.
        (&[(10, 0), (11, 0), (10, 0)], vec![]),
    ] {
        assert_eq!(of(uses), expected, "{uses:?}");
    }
    assert_eq!(
        reason(3, 3, 5)[0].to_string(),
        "This MAC used 3 IPv4 addresses in turn within 10 minutes. One device uses one IPv4 address on a network."
    );
}

#[test]
fn link_local_addresses_do_not_count() {
    let mut identities = Identities::default();
    for time in 0..40 {
        let link_local: IpAddr = Ipv4Addr::new(169, 254, 0, 1).into();
        identities.frame(
            PHONE,
            if time % 2 == 0 { ipv4(10) } else { link_local },
            at(time),
        );
        let last = u16::try_from(time).unwrap();
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last);
        identities.frame(PHONE, link_local.into(), at(time));
    }
    assert!(reasons(&identities).is_empty());
}

#[test]
fn temporary_ipv6_addresses_are_normal_and_more_are_a_reason() {
    let mut identities = Identities::default();
    let most = u16::try_from(MAX_IPV6_AT_ONCE).unwrap();
    for last in 1..=most {
        identities.frame(PHONE, ipv6(last), at(i64::from(last)));
    }
    assert!(reasons(&identities).is_empty());
    // A new address each day, as RFC 8981 asks for.
    for day in 1..30 {
        identities.frame(PHONE, ipv6(100 + day), at(86_400 * i64::from(day)));
    }
    assert!(reasons(&identities).is_empty());
    let mut identities = Identities::default();
    for last in 1..=most + 1 {
        identities.frame(PHONE, ipv6(last), at(i64::from(last)));
    }
    assert_eq!(
        reasons(&identities),
        [
            "This MAC used 17 IPv6 addresses within 10 minutes. One device uses at most 16, with its temporary addresses (RFC 8981)."
        ]
    );
}

#[test]
fn forget_removes_the_device_and_no_other() {
    let mut identities = Identities::default();
    identities.frame(PHONE, ipv4(10), at(0));
    identities.frame(TV, ipv4(11), at(0));
    assert!(identities.forget(PHONE));
    assert!(!identities.forget(PHONE));
    assert!(identities.get(PHONE).is_none());
    assert!(identities.facts().all(|(mac, ..)| mac == TV));
}

#[test]
fn facts_survive_the_store() {
    let mut identities = Identities::default();
    for (address, time) in [(10, 0), (11, 1), (10, 2)] {
        identities.frame(PHONE, ipv4(address), at(time));
    }
    identities.neighbour(TV, ipv6(1), false, at(3));
    identities.leases(&[lease(Some(PHONE), ipv4(10), "redmi")], at(4));
    let model = Fact::Model("Redmi Note 8T".to_owned());
    identities.fact(PHONE, model, FactSource::MiPush, at(5));
    let mut restored = Identities::default();
    for (mac, fact, source, period) in identities.facts() {
        let (kind, value) = fact.words();
        let fact = Fact::from_words(kind, &value).unwrap();
        let source = FactSource::from_word(source.word()).unwrap();
        restored.restore(mac, fact, source, period);
    }
    assert!(restored.facts().eq(identities.facts()));
    assert_eq!(reasons(&restored), reasons(&identities));
    let seen =
        |identities: &Identities| identities.iter().map(|it| it.1.seen()).collect::<Vec<_>>();
    assert_eq!(seen(&restored), seen(&identities));
    assert_eq!(Fact::from_words("name", "x"), None);
    assert_eq!(FactSource::from_word("x"), None);
}

proptest! {
    #[test]
    fn the_limits_hold_for_any_input(
        steps in prop::collection::vec((0..5_u8, 0..6_usize, 0..6_u16, any::<bool>(), 0..900_i64), 0..120)
    ) {
        let mut identities = few();
        let mut macs = BTreeSet::new();
        for (kind, device, value, flag, time) in steps {
            let mac = made_up(device);
            macs.insert(mac);
            let address = if flag { ipv6(value) } else { ipv4(u8::try_from(value).unwrap()) };
            match kind {
                0 => identities.frame(mac, address, at(time)),
                1 => identities.neighbour(mac, address, flag, at(time)),
                2 => identities.leases(&[lease(flag.then_some(mac), address, "x")], at(time)),
                3 => identities.fact(mac, Fact::Model(value.to_string()), FactSource::MiPush, at(time)),
                _ => { identities.forget(mac); }
            }
            prop_assert!(identities.iter().count() <= 3);
            prop_assert_eq!(identities.order.len(), identities.devices.len());
            for (mac, device) in identities.iter() {
                prop_assert!(macs.contains(&mac));
                prop_assert!(device.addresses().len() <= 3);
                prop_assert!(device.models().len() <= 2 && device.host_names().len() <= 2);
                let is_ordered = |period: Option<Period>| period.is_none_or(|it| it.first <= it.last);
                prop_assert!(is_ordered(device.seen()));
                prop_assert!(device.addresses().values().all(|it| is_ordered(it.period())));
                let _ = device.several();
            }
        }
    }
}
