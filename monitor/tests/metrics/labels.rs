//! The labels of devices.

use monitor::{
    metrics::{DeviceLabel, DeviceLabels},
    policy::MacAddress,
};

use crate::{
    series::{encoded, key, labels, parse, sum},
    snapshots::{PHONE, TELEVISION, gateway, named},
};

#[test]
fn a_mac_is_a_label_only_where_asked_for() {
    let macs = [PHONE, TELEVISION].map(|mac| mac.to_string());
    let pseudonyms = encoded(&gateway(), &mut labels(10));
    assert!(macs.iter().all(|mac| !pseudonyms.contains(mac)));

    let mut labels = DeviceLabels::new(DeviceLabel::Mac, key(), 10);
    let series = parse(&encoded(&gateway(), &mut labels));
    assert_eq!(
        sum(&series, "monitor_device_packets", &[("device", &macs[0])]),
        32
    );
    assert_eq!(
        sum(&series, "monitor_device_packets", &[("device", &macs[1])]),
        4
    );
}

/// The labels of phone and television if they have these names.
fn labels_of(labels: &mut DeviceLabels, names: &[(MacAddress, &str)]) -> [Option<String>; 2] {
    labels.admit(&named(gateway(), names));
    [PHONE, TELEVISION].map(|mac| labels.label(mac))
}

#[test]
fn no_two_devices_share_a_label() {
    let names = [(PHONE, "Ana"), (TELEVISION, "Ana")];
    // The television's MAC is the lower one.
    assert_eq!(
        labels_of(&mut labels(10), &names),
        [Some(key().pseudonym(PHONE)), Some("Ana".to_owned())]
    );
}

#[test]
fn what_others_are_labelled_is_no_name() {
    let pseudonym = key().pseudonym(TELEVISION);
    let mac = TELEVISION.to_string();
    for reserved in ["other", "", &pseudonym, &mac] {
        let found = labels_of(&mut labels(10), &[(PHONE, reserved)]);
        assert_eq!(found[0], Some(key().pseudonym(PHONE)), "{reserved}");
    }
    let names = [(PHONE, "device-phone")];
    assert_eq!(
        labels_of(&mut labels(10), &names)[0].as_deref(),
        Some("device-phone")
    );
}

#[test]
fn a_name_that_was_a_label_stays_with_its_mac() {
    let mut labels = labels(10);
    let [phone, television] = [PHONE, TELEVISION].map(|mac| Some(key().pseudonym(mac)));
    let name = |name: &str| Some(name.to_owned());
    for (names, expected) in [
        (&[][..], [phone.clone(), television.clone()]),
        (&[(PHONE, "a")], [name("a"), television.clone()]),
        (&[(PHONE, "b")], [name("b"), television.clone()]),
        // The name is given to another device, and then given back.
        (&[(TELEVISION, "a")], [phone.clone(), television.clone()]),
        (&[(TELEVISION, "c"), (PHONE, "a")], [name("a"), name("c")]),
        (&[], [phone.clone(), television.clone()]),
    ] {
        assert_eq!(labels_of(&mut labels, names), expected, "{names:?}");
    }
}

#[test]
fn a_series_that_gets_a_name_begins_with_the_whole_count() {
    let mut labels = labels(10);
    let pseudonym = key().pseudonym(PHONE);
    let before = parse(&encoded(&gateway(), &mut labels));
    let after = named(gateway(), &[(PHONE, "phone")]);
    let after = parse(&encoded(&after, &mut labels));
    let of = |series, device| sum(series, "monitor_device_packets", &[("device", device)]);
    assert_eq!([of(&before, &pseudonym), of(&before, "phone")], [32, 0]);
    assert_eq!([of(&after, &pseudonym), of(&after, "phone")], [0, 32]);
}

#[test]
fn named_devices_come_first_and_who_has_a_label_keeps_one() {
    let mut labels = labels(1);
    let found = labels_of(&mut labels, &[(PHONE, "phone")]);
    assert_eq!(found, [Some("phone".to_owned()), None]);
    let found = labels_of(&mut labels, &[(TELEVISION, "television")]);
    assert_eq!(found, [Some(key().pseudonym(PHONE)), None]);
}

#[test]
fn made_up_devices_take_no_label_from_a_device_with_a_name() {
    let mut labels = labels(1);
    let mut flood = gateway();
    flood.policies[1].devices.truncate(1);
    flood.policies[2].devices.clear();
    labels.admit(&flood);
    let found = labels_of(&mut labels, &[(PHONE, "phone")]);
    let television = key().pseudonym(TELEVISION);
    assert_eq!(found, [Some("phone".to_owned()), Some(television)]);
    // After the device is gone, another one can get its label.
    let mut later = gateway();
    later.policies[1].devices.remove(0);
    labels.admit(&later);
    assert_eq!(labels.label(TELEVISION), None);
}
