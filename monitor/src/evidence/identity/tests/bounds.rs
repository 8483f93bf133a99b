//! Which facts and devices stay, and which values are quoted or left out.

use super::*;

#[test]
fn a_host_name_made_from_the_address_is_no_reason() {
    for (names, expected) in [
        (["phone", "ip-192-168-50-10.lan"], 0),
        (["phone", "C0A8320A"], 0),
        (["192.168.50.10", "192_168_50_10"], 0),
        (["phone", "ip-192-168-50-100"], 1),
        (["phone", "ip-192-168-50-1"], 1),
    ] {
        let mut identities = Identities::default();
        let leases = names.map(|name| lease(Some(PHONE), ipv4(10), name));
        identities.leases(&leases, at(0));
        assert_eq!(reasons(&identities).len(), expected, "{names:?}");
    }
}

#[test]
fn a_reason_quotes_what_a_device_chose() {
    let mut identities = Identities::default();
    for name in ["a` and `b", "c"] {
        let fact = Fact::Model(name.to_owned());
        identities.fact(PHONE, fact, FactSource::MiPush, at(0));
    }
    let reason = reasons(&identities).concat();
    assert!(
        reason.contains(r"the models `a\` and \`b` and `c`."),
        "{reason}"
    );
}

#[test]
fn old_facts_expire_and_devices_without_facts_go() {
    let mut identities = Identities::default();
    for (time, number) in [(0, 10), (0, 10), (100, 11)] {
        identities.frame(PHONE, ipv4(number), at(time));
        identities.leases(&[lease(Some(PHONE), ipv4(number), "redmi")], at(time));
    }
    identities.frame(PHONE, ipv4(10), at(101));
    identities.frame(TV, ipv4(12), at(99));
    assert_eq!(identities.take_changed().len(), 2);
    identities.expire(at(101));
    assert!(identities.get(TV).is_none());
    assert_eq!(addresses(&identities, PHONE), [ipv4(10)]);
    let device = identities.get(PHONE).unwrap();
    assert!(device.host_names().is_empty());
    assert_eq!(reasons(&identities).len(), 1);
    identities.expire(at(102));
    assert_eq!(identities.iter().count(), 0);
    assert!(identities.order.is_empty());
}

#[test]
fn a_device_is_changed_only_if_a_fact_is() {
    let mut identities = Identities::default();
    identities.neighbour(PHONE, ipv4(10), true, at(5));
    assert_eq!(identities.take_changed(), BTreeSet::from([PHONE]));
    identities.neighbour(PHONE, ipv4(10), true, at(5));
    assert!(identities.take_changed().is_empty());
    // A fact of an older time is a change too.
    identities.neighbour(PHONE, ipv4(10), true, at(1));
    assert_eq!(identities.take_changed(), BTreeSet::from([PHONE]));
}

/// An attacker answers ARP for many MACs, each later than the phone was seen.
#[test]
fn devices_of_the_store_and_of_the_operator_stay_in_a_flood() {
    let mut identities = few();
    identities.neighbour(PHONE, ipv4(10), true, at(0));
    identities.prefer(PHONE, Rank::Stored);
    // The operator names a device that is not known yet.
    identities.prefer(TV, Rank::Operator);
    for number in 0..100 {
        let time = at(1 + i64::try_from(number).unwrap());
        identities.neighbour(made_up(number), ipv4(12), true, time);
    }
    identities.leases(&[lease(Some(TV), ipv4(11), "tv")], at(200));
    assert!(identities.get(PHONE).is_some() && identities.get(TV).is_some());
}

#[test]
fn leases_of_known_devices_come_before_new_ones() {
    let mut identities = few();
    let old = lease(Some(PHONE), ipv4(10), "redmi");
    identities.leases(std::slice::from_ref(&old), at(0));
    let mut leases: Vec<_> = (0..100)
        .map(|number| lease(Some(made_up(number)), ipv4(12), "x"))
        .collect();
    leases.push(old);
    identities.leases(&leases, at(1));
    assert!(identities.get(PHONE).is_some());
}

#[test]
fn made_up_macs_do_not_displace_a_device_that_the_gateway_reached() {
    let mut identities = few();
    identities.neighbour(PHONE, ipv4(10), true, at(0));
    identities.frame(TV, ipv4(11), at(0));
    for number in 0..100 {
        let time = i64::try_from(number).unwrap() + 1;
        identities.frame(made_up(number), ipv4(12), at(time));
    }
    assert!(identities.get(PHONE).is_some() && identities.get(TV).is_none());
    assert_eq!(identities.iter().count(), 3);
    assert_eq!(identities.losses().devices_removed, 99);
    // A lease displaces no device that was seen …
    identities.leases(&[lease(Some(TV), ipv4(11), "tv")], at(500));
    assert!(identities.get(TV).is_none());
    assert_eq!(identities.losses().devices_refused, 1);
    // … and a device that the gateway reaches finds room.
    identities.neighbour(TV, ipv4(11), true, at(500));
    assert!(identities.get(PHONE).is_some() && identities.get(TV).is_some());
}

#[test]
fn a_flood_at_one_moment_displaces_nothing_of_that_moment() {
    let mut identities = few();
    for number in 0..100 {
        identities.frame(made_up(number), ipv4(12), at(0));
    }
    let kept: Vec<_> = identities.iter().map(|(mac, _)| mac).collect();
    assert_eq!(kept, [made_up(0), made_up(1), made_up(2)]);
    assert_eq!(identities.losses().devices_refused, 97);
}

#[test]
fn the_oldest_address_and_name_of_a_device_go_first() {
    let mut identities = few();
    identities.frame(TV, ipv4(99), at(0));
    for last in 1..=5 {
        identities.frame(PHONE, ipv4(last), at(i64::from(last)));
        let name = Fact::HostName(format!("name-{last}"));
        identities.fact(PHONE, name, DNSMASQ, at(i64::from(last)));
        let model = Fact::Model(format!("model-{last}"));
        identities.fact(PHONE, model, FactSource::MiPush, at(i64::from(last)));
    }
    assert_eq!(addresses(&identities, PHONE), [ipv4(3), ipv4(4), ipv4(5)]);
    assert_eq!(addresses(&identities, TV), [ipv4(99)]);
    let device = identities.get(PHONE).unwrap();
    assert!(device.host_names().keys().eq(&["name-4", "name-5"]));
    assert!(device.models().keys().eq(&["model-4", "model-5"]));
    let Losses {
        addresses,
        host_names,
        models,
        ..
    } = identities.losses();
    assert_eq!((addresses, host_names, models), (2, 3, 3));
}
