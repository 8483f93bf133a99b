//! Conditions on devices, interfaces and services in the real daemon, in
//! network namespaces.

use crate::support;

use support::lab::{Lab, OPEN, PHONE_MAC, poll};

const DATAGRAMS: u64 = 10;

/// True if a `drop` with these conditions drops packets of the phone to port 9.
fn drops(lab: &Lab, conditions: &str) -> bool {
    lab.write_policies(&format!(
        "version: 1
devices:
  phone: \"{PHONE_MAC}\"
  phones: [phone, \"02:00:00:00:00:77\"]
  here: {{interface: wlan0}}
  elsewhere: {{interface: wlan9}}
policies:
  - {{name: all, action: count, destinations: [192.0.2.0/24]}}
  - name: scoped
    action: drop
    destinations: [192.0.2.0/24]
{conditions}"
    ));
    let daemon = lab.start(&["--mode", "generic"]);
    let seen = |lab: &Lab| {
        let (passed, dropped) = lab.policy("all");
        passed + dropped
    };
    let (before, dropped_before) = (seen(lab), lab.policy("scoped").1);
    lab.send_udp(OPEN[0], DATAGRAMS);
    poll("every datagram is counted", || {
        seen(lab) == before + DATAGRAMS
    });
    drop(daemon);
    match lab.policy("scoped").1 - dropped_before {
        DATAGRAMS => true,
        0 => false,
        some => panic!("{conditions}: {some} of {DATAGRAMS} dropped"),
    }
}

#[test]
fn a_policy_is_about_the_packets_that_meet_its_conditions() {
    let lab = Lab::new("scopes");
    for (conditions, expected) in [
        ("    devices: [phone]\n", true),
        ("    devices: [phones]\n", true),
        ("    devices: [\"64:cc:2e:00:00:00/24\"]\n", true),
        ("    devices: [\"64:cc:2f:00:00:00/24\"]\n", false),
        ("    except_devices: [phones]\n", false),
        ("    devices: [here]\n", true),
        ("    devices: [elsewhere]\n", false),
        ("    devices: [here]\n    except_devices: [phone]\n", false),
        ("    devices: [elsewhere, phone]\n", true),
        ("    interfaces: [wlan0]\n", true),
        ("    interfaces: [wlan9]\n", false),
        ("    services: [udp/9]\n", true),
        ("    services: [tcp/9, udp/10-20, icmp]\n", false),
        ("    services: [udp/1-100]\n    devices: [phone]\n", true),
    ] {
        assert_eq!(drops(&lab, conditions), expected, "{conditions}");
    }
}

#[test]
fn an_interface_that_the_filter_is_not_on_is_told() {
    let lab = Lab::new("elsewhere");
    lab.write_policies(
        "version: 1
policies:
  - {name: guests, action: drop, destinations: [203.0.113.0/24], interfaces: [wlan0, wlan0-guest]}
",
    );
    let daemon = lab.start(&["--mode", "generic"]);
    let log = daemon.log();
    assert!(
        log.contains("the interface wlan0-guest, and the filter is not on it"),
        "{log}"
    );
    assert!(!log.contains("the interface wlan0,"), "{log}");
}
