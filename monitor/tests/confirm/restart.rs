//! A daemon that ends or starts during a trial.

use serde_json::Value;

use super::{
    LONG, action, assert_counted, generations, is_rolled_back, passing, start,
    support::{
        datagrams::count_arrivals,
        lab::{BLOCKED, Lab, poll},
        verbs::refused,
    },
    under_traffic, verb,
};

#[test]
fn a_run_before_the_deadline_waits_on_and_can_be_confirmed() {
    let lab = Lab::new("waits-on");
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", LONG]);
    daemon.kill();
    let next = start(&lab, &[]);
    assert!(next.log().contains("NOT CONFIRMED"), "{}", next.log());
    let status = lab.status();
    assert_eq!(status["interfaces"][0]["generation"], 3);
    assert_eq!(status["unconfirmed"]["previous"], 1, "{status:#}");
    assert_eq!(status["unconfirmed"]["rolled_back"], false);
    verb(&lab, &["confirm"]);
    assert_eq!(generations(&lab), ["gen-3"]);
    next.kill();
    let _third = start(&lab, &[]);
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
    assert_eq!(action(&lab), "count");
}

#[test]
fn a_run_before_the_deadline_goes_back_to_what_was_confirmed() {
    let lab = Lab::new("waits-in-vain");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    let sent = under_traffic(&lab, blocked, || {
        verb(&lab, &["reload", "--confirm", "4s"]);
        daemon.kill();
        let _next = start(&lab, &[]);
        poll("it is rolled back for good", || {
            is_rolled_back(&lab) && generations(&lab) == ["gen-1"]
        });
        assert_eq!(action(&lab), "drop");
    });
    assert_counted(&lab, received, sent);
}

#[test]
fn without_a_daemon_it_can_be_confirmed_too() {
    let lab = Lab::new("no-daemon");
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", LONG]);
    daemon.kill();
    let state = lab.directory.path().join("state");
    verb(&lab, &["confirm", "--state-dir", state.to_str().unwrap()]);
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
    assert_eq!(generations(&lab), ["gen-2"]);
    let _next = start(&lab, &[]);
    assert_eq!(action(&lab), "count");
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
}

#[test]
fn after_a_restart_of_the_machine_what_was_confirmed_is_in_force() {
    let lab = Lab::new("restart");
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", LONG]);
    daemon.kill();
    // After a restart of the machine, the state directory exists and the pins
    // do not.
    verb(&lab, &["detach"]);
    let next = start(&lab, &[]);
    assert!(next.log().contains("not confirmed"), "{}", next.log());
    assert_eq!(action(&lab), "drop");
    assert!(is_rolled_back(&lab));
}

#[test]
fn run_confirm_goes_back_on_every_interface_to_what_was_in_force_before() {
    let lab = Lab::new("run");
    lab.add_interface("wlan1");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    start(&lab, &["--interface", "wlan1"]).kill();
    lab.write_policies(&passing());
    let sent = under_traffic(&lab, blocked, || {
        // The new start does not name wlan1. wlan1 must keep its filter until the start is
        // confirmed.
        let daemon = start(&lab, &["--confirm", "3s"]);
        assert_eq!(lab.generation("wlan1"), Some(1), "{}", daemon.log());
        assert!(daemon.log().contains("the new generation is confirmed"));
        daemon.kill();
        poll("it is rolled back", || is_rolled_back(&lab));
    });
    assert_counted(&lab, received, sent);
    for interface in ["wlan0", "wlan1"] {
        assert_eq!(lab.generation(interface), Some(1));
    }
    let daemon = start(&lab, &["--confirm", LONG, "--interface", "wlan1"]);
    verb(&lab, &["confirm"]);
    for interface in ["wlan0", "wlan1"] {
        assert_eq!(lab.generation(interface), Some(3), "{}", daemon.log());
    }
}

/// A start that fails before it changes the kernel must not mark unconfirmed
/// files as good.
#[test]
fn a_start_that_fails_does_not_forget_that_files_were_not_confirmed() {
    let lab = Lab::new("forgets");
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", LONG]);
    daemon.kill();
    verb(&lab, &["detach"]);
    lab.gateway.ip("link add br0 type bridge");
    lab.gateway.ip("link set wlan0 master br0");
    let both = ["--interface", "wlan0", "--interface", "br0"];
    let said = refused(&lab, &[&both[..], &["--confirm", LONG]].concat());
    assert!(said.contains("wlan0 is a port of the bridge br0"), "{said}");
    lab.gateway.ip("link set wlan0 nomaster");
    let _next = start(&lab, &[]);
    assert_eq!(action(&lab), "drop");
    assert!(is_rolled_back(&lab));
}
