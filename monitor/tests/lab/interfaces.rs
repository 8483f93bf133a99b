//! Interfaces that appear, disappear and change while the daemon runs.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use serde_json::Value;
use support::lab::{BLOCKED, Daemon, Lab, OPEN, binary, poll, poll_long, text};

fn waiting(lab: &Lab) -> Vec<Value> {
    lab.status()["daemon"]["waiting"]
        .as_array()
        .unwrap()
        .clone()
}

/// Packets that an interface's filter dropped.
fn dropped_on(lab: &Lab, name: &str) -> u64 {
    let status = lab.status();
    let interfaces = status["interfaces"].as_array().unwrap();
    let interface = interfaces.iter().find(|other| other["name"] == name);
    let Some(interface) = interface else { return 0 };
    interface["ipv4"]["dropped"]["packets"].as_u64().unwrap()
}

/// Five datagrams from the phone's end of a second pair are dropped at the other.
fn is_filtered(lab: &Lab, name: &str) {
    let before = dropped_on(lab, name);
    lab.phone.ip(&format!(
        "route replace {}/32 dev {name} src 10.77.0.2",
        BLOCKED[0]
    ));
    let peer = mac(lab, name);
    lab.phone.ip(&format!(
        "neighbour replace {} lladdr {peer} dev {name}",
        BLOCKED[0]
    ));
    lab.send_udp(BLOCKED[0], 5);
    poll("they are dropped and counted", || {
        dropped_on(lab, name) == before + 5
    });
}

fn mac(lab: &Lab, name: &str) -> String {
    let output = lab
        .gateway
        .command("ip")
        .args(["-json", "link", "show", "dev", name])
        .output()
        .unwrap();
    let links: Value = serde_json::from_slice(&output.stdout).unwrap();
    links[0]["address"].as_str().unwrap().to_owned()
}

#[test]
fn an_interface_that_is_not_there_at_the_start_is_filtered_when_it_appears() {
    let lab = Lab::new("absent");
    let daemon = lab.start(&["--mode", "generic", "--interface", "wlan1"]);
    assert_eq!(lab.generation("wlan0"), Some(1));
    let [missing] = &waiting(&lab)[..] else {
        panic!("one interface is awaited");
    };
    assert_eq!(missing["interface"], "wlan1");
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(
        human.contains(
            "WAITING    wlan1: there is no such interface; it is filtered when it appears"
        ),
        "{human}"
    );
    let log = daemon.log();
    assert_eq!(log.matches("wlan1: there is no such").count(), 1, "{log}");
    lab.add_interface("wlan1");
    poll("it is filtered", || waiting(&lab).is_empty());
    assert_eq!(lab.generation("wlan1"), lab.generation("wlan0"));
    is_filtered(&lab, "wlan1");
    assert!(daemon.log().contains("wlan1: is there, and filtered"));
}

#[test]
fn without_any_interface_the_daemon_waits_and_is_not_healthy() {
    let lab = Lab::new("none");
    let mut command = lab.daemon_command(&["--interface", "wlan7"]);
    let log = lab.directory.path().join("wait.log");
    let child = command
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let _daemon = Daemon::from_child(child);
    poll("the daemon answers", || {
        lab.monitor(&["status", "--json"]).status.success() && waiting(&lab).len() == 1
    });
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("there are: lo, wlan0"), "{log}");
    assert_eq!(lab.generation("wlan7"), None);
    lab.add_interface("wlan7");
    poll("it is filtered", || lab.generation("wlan7").is_some());
    is_filtered(&lab, "wlan7");
}

/// hostapd deletes and creates interfaces in this way.
#[test]
fn an_interface_that_is_deleted_and_made_again_keeps_its_counters() {
    let lab = Lab::new("hostapd");
    lab.add_interface("wlan1");
    let daemon = lab.start(&["--mode", "generic", "--interface", "wlan1"]);
    is_filtered(&lab, "wlan1");
    for round in 1..=3 {
        lab.gateway.ip("link del wlan1");
        poll("its absence is told", || waiting(&lab).len() == 1);
        assert_eq!(lab.generation("wlan1"), None);
        lab.add_interface("wlan1");
        poll("it is filtered again", || waiting(&lab).is_empty());
        is_filtered(&lab, "wlan1");
        assert_eq!(dropped_on(&lab, "wlan1"), 5 * (round + 1));
    }
    lab.send_udp(OPEN[0], 1);
    let log = daemon.log();
    assert_eq!(
        log.matches("wlan1: is there, and filtered").count(),
        3,
        "{log}"
    );
}

#[test]
fn the_filter_stays_on_an_interface_that_is_renamed() {
    let lab = Lab::new("renamed");
    lab.add_interface("wlan1");
    let _daemon = lab.start(&["--mode", "generic", "--interface", "wlan1"]);
    is_filtered(&lab, "wlan1");
    lab.gateway.ip("link set wlan1 down");
    lab.gateway.ip("link set wlan1 name other1");
    lab.gateway.ip("link set other1 up");
    let send = || {
        let before = dropped_on(&lab, "wlan1");
        lab.send_udp(BLOCKED[0], 5);
        poll("they are dropped and counted under the old name", || {
            dropped_on(&lab, "wlan1") == before + 5
        });
    };
    send();
    let output = lab.monitor(&["reload"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let notes = text(&output.stderr);
    assert!(
        notes.contains("wlan1: is called other1 now; the filter stays on it"),
        "{notes}"
    );
    assert_eq!(lab.generation("wlan1"), lab.generation("wlan0"));
    assert!(waiting(&lab).is_empty());
    send();
}

#[test]
fn a_bridge_a_new_mtu_and_a_down_do_not_lose_the_filter() {
    let lab = Lab::new("changes");
    lab.add_interface("wlan1");
    let _daemon = lab.start(&["--mode", "generic", "--interface", "wlan1"]);
    is_filtered(&lab, "wlan1");
    lab.gateway.ip("link set wlan1 mtu 1400");
    is_filtered(&lab, "wlan1");
    lab.gateway.ip("link set wlan1 down");
    lab.gateway.ip("link set wlan1 up");
    is_filtered(&lab, "wlan1");
    lab.gateway.ip("link add br0 type bridge");
    lab.gateway.ip("link set wlan1 master br0");
    is_filtered(&lab, "wlan1");
    assert!(waiting(&lab).is_empty());
    assert_eq!(
        lab.generation("wlan1"),
        Some(1),
        "nothing was attached anew"
    );
}

/// Another program is attached first. The daemon never replaces it, and
/// attaches when it is gone.
#[test]
fn an_interface_that_comes_with_another_program_is_named_and_awaited() {
    let (lab, other) = (Lab::new("taken"), Lab::new("taker"));
    lab.add_interface("wlan1");
    other.belongs_to_root();
    let occupier = lab
        .gateway
        .command(binary())
        .args(["run", "--interface", "wlan2", "--mode", "generic"])
        .args(["--listen", "127.0.0.1:0", "--policies"])
        .arg(other.policies())
        .arg("--state-dir")
        .arg(other.directory.path().join("state"))
        .arg("--pin-dir")
        .arg(&other.pin_dir)
        .arg("--socket")
        .arg(other.socket())
        .spawn()
        .unwrap();
    let holder = match lab.daemon_user() {
        0 => format!("process {} ", occupier.id()),
        // Only root can see the name of a program and the process that holds
        // it.
        _ => "XDP program with id ".to_owned(),
    };
    let _occupier = Daemon::from_child(occupier);
    poll("the other daemon waits for wlan2", || {
        other.monitor(&["status"]).status.success() && waiting(&other).len() == 1
    });
    lab.add_interface("wlan2");
    poll("the other daemon has it", || waiting(&other).is_empty());
    let _daemon = lab.start(&["--mode", "generic", "--interface", "wlan3"]);
    lab.gateway.ip("link set wlan2 down");
    lab.gateway.ip("link set wlan2 name wlan3");
    poll("it is told who holds it", || {
        waiting(&lab)[0]["why"]
            .as_str()
            .unwrap()
            .contains("wlan3: is NOT filtered")
    });
    let why = waiting(&lab)[0]["why"].clone();
    assert!(why.as_str().unwrap().contains(&holder), "{why}");
    let detached = other.monitor(&["detach"]);
    assert!(detached.status.success(), "{}", text(&detached.stderr));
    poll_long("it is taken when it is free", || waiting(&lab).is_empty());
    assert_eq!(lab.generation("wlan3"), lab.generation("wlan0"));
}

/// `ip link property add … altname …`: udev gives such names as well.
#[test]
fn an_alternative_name_is_resolved_at_the_start_and_when_it_comes() {
    let lab = Lab::new("altname");
    // Longer than the limit for an interface's main name.
    let long = "wireless-lan-of-the-second-floor";
    lab.gateway
        .ip(&format!("link property add dev wlan0 altname {long}"));
    lab.add_interface("wlan1");
    // `start` adds wlan0 as well, which is the same interface.
    let daemon = lab.start(&[
        "--mode",
        "generic",
        "--interface",
        long,
        "--interface",
        "later",
    ]);
    assert!(
        daemon
            .log()
            .contains(&format!("{long} is an alternative name of wlan0")),
        "{}",
        daemon.log()
    );
    assert_eq!(lab.generation("wlan0"), Some(1));
    let waits: Vec<_> = waiting(&lab)
        .iter()
        .map(|one| one["interface"].clone())
        .collect();
    assert_eq!(waits, ["later"]);

    lab.gateway.ip("link property add dev wlan1 altname later");
    poll("it is filtered", || lab.generation("wlan1") == Some(2));
    poll("nothing is awaited", || waiting(&lab).is_empty());
    let health = lab.try_get("127.0.0.1:9641".parse().unwrap(), "/healthz", "");
    assert!(health.unwrap().ends_with("\r\n\r\nok\n"));

    // The next daemon knows the interface by its main name.
    daemon.kill();
    let _next = lab.start(&["--mode", "generic", "--interface", "later"]);
    assert_eq!(lab.generation("wlan1"), lab.generation("wlan0"));
    assert_eq!(lab.generation("wlan1"), Some(3));
}

#[test]
fn a_policy_that_names_an_alternative_name_is_told_the_real_one() {
    let lab = Lab::new("altpolicy");
    lab.gateway
        .ip("link property add dev wlan0 altname wifilan");
    lab.write_policies(
        "version: 1\npolicies: [{name: a, action: count, destinations: [192.0.2.0/24], interfaces: [wifilan]}]\n",
    );
    let daemon = lab.start(&["--mode", "generic"]);
    let log = daemon.log();
    assert!(
        log.contains("alternative name of wlan0: write wlan0"),
        "{log}"
    );
}
