//! Reloads by request, by signal, and after changes of files.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nix::sys::signal::Signal;
use support::{
    datagrams::{count_arrivals, send, send_until},
    lab::{BLOCKED, Daemon, Lab, OPEN, POLICIES, poll, text},
};

#[test]
fn a_reload_under_traffic_lets_nothing_through_and_loses_nothing() {
    let lab = Lab::new("reload");
    let (open, open_received) = count_arrivals(&lab, OPEN[0]);
    let (blocked, blocked_received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = lab.start(&["--mode", "generic"]);
    let sent = reload_under_traffic(&lab, &daemon, &["wlan0"], &[open, blocked]);
    poll("all innocent packets have arrived", || {
        open_received.load(Ordering::Relaxed) == sent
    });
    assert_eq!(blocked_received.load(Ordering::Relaxed), 0);
    assert_eq!(lab.policy("blocked"), (0, sent));
    assert_eq!(lab.policy("seen"), (sent, sent));
}

#[test]
fn a_changed_file_is_loaded_and_a_broken_one_is_not() {
    let lab = Lab::new("watch");
    let mut daemon = lab.start(&["--mode", "generic"]);
    assert_eq!(lab.generation("wlan0"), Some(1));

    lab.write_policies(&POLICIES.replace("action: drop", "action: dorp"));
    poll("the error is in the status", || {
        lab.status()["reload"]["success"] == false
    });
    let error = lab.status()["reload"]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("policies.yaml:4:13"), "{error}");
    assert_eq!(lab.generation("wlan0"), Some(1));
    assert!(lab.metrics().contains("monitor_reload_success 0"));
    assert!(daemon.log().contains("dorp"), "{}", daemon.log());
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(
        human.contains("NOT LOADED") && human.contains("dorp"),
        "{human}"
    );
    let reload = lab.monitor(&["reload"]);
    assert_eq!(reload.status.code(), Some(1));
    assert!(text(&reload.stderr).contains("generation 1 stays in force"));

    lab.write_policies(&POLICIES.replace("action: drop", "action: count"));
    poll("the fixed file is in force", || {
        lab.status()["reload"]["success"] == true
    });
    assert_eq!(lab.generation("wlan0"), Some(2));
    let status = lab.status();
    assert_eq!(status["reload"]["success"], true);
    assert_eq!(status["policies"][0]["action"], "count");
    assert!(lab.metrics().contains("monitor_reload_success 1"));
    assert!(daemon.is_running());
}

#[test]
fn a_list_file_is_watched_and_touching_it_changes_nothing() {
    let lab = Lab::new("list");
    let list = lab.policies().join("list.txt");
    fs::write(&list, "203.0.113.0/24\n").unwrap();
    lab.write_policies(
        "version: 1\npolicies:\n  - name: listed\n    action: count\n    destinations: [{list: list.txt}]\n",
    );
    let daemon = lab.start(&["--mode", "generic"]);
    fs::write(&list, "# the same\n203.0.113.0/24\n").unwrap();
    fs::write(&list, "203.0.113.0/24\n198.51.100.0/24\n").unwrap();
    poll("the longer list is in force", || {
        lab.status()["policies"][0]["prefixes"]["v4"] == 2
    });
    assert_eq!(lab.generation("wlan0"), Some(2), "{}", daemon.log());
}

#[test]
fn a_native_reload_under_ipv6_traffic_on_two_interfaces_loses_nothing() {
    let lab = Lab::new("reload6");
    lab.add_interface("wlan1");
    // A second route to the gateway: packets to these addresses arrive on
    // wlan1.
    lab.phone.ip("address add fd78::2/64 dev wlan1 nodad");
    lab.gateway.ip("address add fd78::1/64 dev wlan1 nodad");
    let second = ["2001:db8:1::20", "2001:db8:bad::20"];
    for address in second {
        lab.gateway
            .ip(&format!("address add {address}/128 nodad dev lo"));
        lab.phone
            .ip(&format!("-6 route add {address}/128 via fd78::1"));
    }
    let [open, blocked] = [OPEN[1], BLOCKED[1]].map(|address| count_arrivals(&lab, address));
    let [open2, blocked2] = second.map(|address| count_arrivals(&lab, address));
    let daemon = lab.start(&["--mode", "native", "--interface", "wlan1"]);
    let to = [open.0, blocked.0, open2.0, blocked2.0];
    let sent = reload_under_traffic(&lab, &daemon, &["wlan0", "wlan1"], &to);
    for (_, received) in [open, open2] {
        poll("all innocent packets have arrived", || {
            received.load(Ordering::Relaxed) == sent
        });
    }
    for (_, received) in [blocked, blocked2] {
        assert_eq!(received.load(Ordering::Relaxed), 0);
    }
    assert_eq!(lab.policy("blocked"), (0, 2 * sent));
    for interface in lab.status()["interfaces"].as_array().unwrap() {
        let dropped = &interface["ipv6"]["dropped"]["packets"];
        assert_eq!(dropped.as_u64(), Some(sent), "{interface:#}");
        assert_eq!(interface["mode"], "native");
    }
}

/// Replaces the directory of the policies with `replace`, and then edits the
/// file twice.
fn replaced(test: &str, replace: impl Fn(&Path, &str)) {
    let lab = Lab::new(test);
    let policies = lab.policies();
    if test == "relinked" {
        let start = policies.with_extension("start");
        fs::rename(&policies, &start).unwrap();
        symlink(&start, &policies).unwrap();
    }
    let _daemon = lab.start(&["--mode", "generic"]);
    replace(
        &policies,
        &POLICIES.replace("action: drop", "action: count"),
    );
    let is = |action: &str| lab.status()["policies"][0]["action"] == action;
    poll("the new directory is in force", || is("count"));
    for action in ["allow", "drop"] {
        let edited = POLICIES.replace("action: drop", &format!("action: {action}"));
        fs::write(policies.join("policies.yaml"), edited).unwrap();
        poll("the edit is in force", || is(action));
    }
}

#[test]
fn a_directory_that_is_moved_over_the_old_one_is_watched() {
    replaced("moved", |policies, text| {
        let new = policies.with_extension("new");
        fs::create_dir(&new).unwrap();
        fs::write(new.join("policies.yaml"), text).unwrap();
        fs::rename(policies, policies.with_extension("old")).unwrap();
        fs::rename(new, policies).unwrap();
    });
}

#[test]
fn a_directory_that_is_removed_and_made_again_is_watched() {
    replaced("remade", |policies, text| {
        fs::remove_dir_all(policies).unwrap();
        fs::create_dir(policies).unwrap();
        fs::write(policies.join("policies.yaml"), text).unwrap();
    });
}

#[test]
fn a_link_that_points_to_another_directory_is_followed() {
    replaced("relinked", |policies, text| {
        let new = policies.with_extension("new");
        fs::create_dir(&new).unwrap();
        fs::write(new.join("policies.yaml"), text).unwrap();
        let link = policies.with_extension("link");
        symlink(new, &link).unwrap();
        fs::rename(link, policies).unwrap();
    });
}

#[test]
fn the_target_of_a_linked_file_is_watched() {
    let lab = Lab::new("target");
    let file = lab.policies().join("policies.yaml");
    let elsewhere = lab.directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let target = elsewhere.join("real.yaml");
    fs::rename(&file, &target).unwrap();
    symlink(&target, &file).unwrap();
    let _daemon = lab.start(&["--mode", "generic"]);
    fs::write(target, POLICIES.replace("action: drop", "action: count")).unwrap();
    poll("the edited target is in force", || {
        lab.status()["policies"][0]["action"] == "count"
    });
}

/// An error of the kernel must not be reported as an error in the files.
#[test]
fn a_reload_that_the_kernel_refuses_says_so() {
    let lab = Lab::new("refused");
    lab.gateway.ip("link add br0 type bridge");
    let daemon = lab.start(&["--mode", "generic", "--interface", "br0"]);
    lab.gateway.ip("link set wlan0 master br0");
    let output = lab.monitor(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    for told in [text(&output.stderr), daemon.log()] {
        assert!(told.contains("the policies are fine"), "{told}");
        assert!(told.contains("generation 1 stays in force"), "{told}");
        assert!(told.contains("wlan0 is a port of the bridge br0"), "{told}");
    }
}

/// The daemon loads the program of a large ruleset before it knows the tries, for tries of the
/// shape that they had. The third and the fourth ruleset have another shape.
#[test]
fn a_large_ruleset_is_in_force_whatever_shape_its_tries_have() {
    let lab = Lab::new("shape");
    let list = lab.policies().join("list.txt");
    let write = |count: usize, last: &str| {
        let each = (0..count).map(|n| format!("60.{}.{}.0/25\n", n / 256, n % 256));
        let lines: String = each.chain([last.to_owned()]).collect();
        fs::write(&list, lines).unwrap();
    };
    let addresses = [BLOCKED[0], OPEN[0]];
    let receivers = addresses.map(|address| count_arrivals(&lab, address));
    write(12_000, BLOCKED[0]);
    lab.write_policies(
        "version: 1\npolicies:\n  - name: listed\n    action: drop\n    destinations: [{list: list.txt}]\n",
    );
    let _daemon = lab.start(&["--mode", "generic", "--no-watch"]);
    let mut passed = [0; 2];
    for (count, dropped) in [(12_000, 1), (12_000, 0), (40_000, 1), (11_000, 0)] {
        write(count, addresses[dropped]);
        let reload = lab.monitor(&["reload"]);
        assert!(reload.status.success(), "{}", text(&reload.stderr));
        passed[1 - dropped] += 10;
        for (to, _) in receivers {
            send(&lab, to, 10);
        }
        poll("the datagrams to the address off the list arrive", || {
            receivers.map(|(_, arrived)| arrived.load(Ordering::Relaxed)) == passed
        });
    }
    assert_eq!(lab.policy("listed"), (0, 40));
}

/// Reloads by command and by SIGHUP in turn while datagrams go to every
/// address. Returns the number sent to each.
fn reload_under_traffic(lab: &Lab, daemon: &Daemon, interfaces: &[&str], to: &[SocketAddr]) -> u64 {
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| send_until(lab, &stop, to));
        for round in 0..20 {
            let next = lab.generation("wlan0").unwrap() + 1;
            if round % 2 == 0 {
                let output = lab.monitor(&["reload"]);
                assert!(output.status.success(), "{}", text(&output.stderr));
            } else {
                daemon.signal(Signal::SIGHUP);
            }
            poll("the next generation is in force", || {
                interfaces
                    .iter()
                    .all(|interface| lab.generation(interface) == Some(next))
            });
        }
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    assert!(sent > 100, "hardly any traffic: {sent} packets each");
    sent
}
