//! The daemon as a service: the units of `packaging/systemd` under a real
//! systemd, which applies all their settings. In these tests, a system call
//! that the unit does not allow ends the daemon.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod book;
mod machine;
#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "../feeds/server.rs"]
mod server;
#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

use std::{fs, process::Command, sync::atomic::Ordering};

use machine::{Machine, here};
use server::Server;
use support::{
    datagrams::{count_arrivals, send},
    lab::{BLOCKED, OPEN, POLICIES, binary, poll, text},
};

/// `CAP_NET_ADMIN` is 12, `CAP_PERFMON` 38, `CAP_BPF` 39 (linux/capability.h).
const CAPABILITIES: u64 = 1 << 12 | 1 << 38 | 1 << 39;

/// False on a system without systemd; prints what is missing.
fn has_systemd() -> bool {
    let found = Command::new("systemd-analyze").arg("--version").output();
    if found.is_ok() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "systemd is missing: xtask/setup.sh installs it"
    );
    eprintln!("skipped: there is no systemd here");
    false
}

#[test]
fn the_service_filters_as_its_own_user_with_three_capabilities() {
    if !has_systemd() {
        return;
    }
    let machine = Machine::boot("service");
    let lab = &machine.lab;
    let (blocked, received) = count_arrivals(lab, BLOCKED[0]);
    let (open, open_received) = count_arrivals(lab, OPEN[0]);
    machine.say(&["systemctl", "start", "monitor"]);
    assert!(machine.active("monitor"));
    assert_eq!(
        machine.property("StatusText"),
        "the policy files are in force"
    );
    assert_least_privilege(&machine);

    send(lab, blocked, 10);
    send(lab, open, 10);
    assert_eq!(machine.dropped(), 10);
    poll("innocent packets arrive", || {
        open_received.load(Ordering::Relaxed) == 10
    });
    assert_eq!(received.load(Ordering::Relaxed), 0);
    assert!(lab.metrics().contains("monitor_policy_packets_total{"));

    machine.say(&["systemctl", "reload", "monitor"]);
    assert_eq!(machine.generation(), 2);
    for verb in [
        &["block", "203.0.113.7", "--for", "1h"][..],
        &["block", "203.0.113.7", "--undo"],
        &["pause", "blocked", "--for", "1h"],
        &["pause", "blocked", "--undo"],
    ] {
        let output = machine.monitor(verb);
        assert!(
            output.status.success(),
            "{verb:?}: {}",
            text(&output.stderr)
        );
    }
    lab.write_policies(&POLICIES.replace("action: drop", "action: dorp"));
    let refused = machine.run(&["systemctl", "reload", "monitor"]);
    assert!(!refused.status.success());
    assert!(machine.active("monitor"));
    assert!(machine.property("StatusText").contains("not in force"));

    send(lab, blocked, 10);
    assert_eq!(machine.dropped(), 20);
    assert_eq!(machine.property("NRestarts"), "0", "{}", machine.log());
}

/// Downloads from a server, then keeps the stored list after the server is
/// gone.
#[test]
fn the_service_fetches_feeds_within_its_limits() {
    const HELD: &str = "45.9.0.9";
    if !has_systemd() {
        return;
    }
    let machine = Machine::boot("feed");
    let lab = &machine.lab;
    let server = Server::on(lab.listen_tcp("127.0.0.1"), None);
    server.gives("45.9.0.0/24\n");
    let url = server.url("/list");
    lab.write_policies(&format!(
        "version: 1\npolicies: [{{name: blocked, action: drop, destinations: [{{list: '{url}'}}]}}]\n"
    ));
    machine.say(&["systemctl", "start", "monitor"]);
    let state = || machine.status()["feeds"][0]["state"].clone();
    poll("the list is in force", || {
        state() == "current" && machine.generation() == 2
    });
    lab.send_udp(HELD, 3);
    assert_eq!(machine.dropped(), 3);

    server.behaves(|_, _| Ok(()));
    machine.say(&["systemctl", "restart", "monitor"]);
    lab.send_udp(HELD, 3);
    assert_eq!(machine.dropped(), 6);
    let fetched = machine.monitor(&["feed", "fetch"]);
    assert!(fetched.status.success(), "{}", text(&fetched.stderr));
    assert_eq!(state(), "failed");
    lab.send_udp(HELD, 3);
    assert_eq!(machine.dropped(), 9);
    assert_eq!(machine.property("NRestarts"), "0", "{}", machine.log());
}

#[test]
fn a_service_that_stops_dies_or_hangs_leaves_the_filter_in_force() {
    if !has_systemd() {
        return;
    }
    let machine = Machine::boot("restart");
    let lab = &machine.lab;
    // A watchdog in a hurry, for this test only: it would end a daemon that a busy machine slows.
    let hurry = "cd /run/systemd/system && mkdir -p monitor.service.d && \
        printf '[Service]\nWatchdogSec=4s\n' >monitor.service.d/hurry.conf && \
        systemctl daemon-reload";
    machine.say(&["sh", "-ec", hurry]);
    let (blocked, received) = count_arrivals(lab, BLOCKED[0]);
    machine.say(&["systemctl", "start", "monitor"]);
    send(lab, blocked, 10);
    let mut sent = 10;
    // STOP makes the daemon hang, and the watchdog ends it.
    for (signal, restarts) in [("KILL", "1"), ("STOP", "2")] {
        let before = machine.property("MainPID");
        machine.say(&["kill", &format!("-{signal}"), &before]);
        send(lab, blocked, 10);
        sent += 10;
        poll("it is started again", || {
            machine.property("NRestarts") == restarts && machine.active("monitor")
        });
        assert_ne!(machine.property("MainPID"), before);
        assert_eq!(machine.dropped(), sent, "after SIG{signal}");
    }

    // The unit that mounts the BPF file system does not unmount it when it
    // stops.
    machine.say(&["systemctl", "stop", "monitor", "monitor-bpffs"]);
    send(lab, blocked, 10);
    sent += 10;
    assert_eq!(machine.dropped(), sent);
    machine.say(&["systemctl", "start", "monitor"]);
    assert_eq!(machine.generation(), 4);
    send(lab, blocked, 10);
    sent += 10;
    assert_eq!(machine.dropped(), sent);
    assert_eq!(received.load(Ordering::Relaxed), 0);

    // From here on, systemd does not start the daemon again.
    let detached = machine.monitor(&["detach"]);
    assert!(detached.status.success(), "{}", text(&detached.stderr));
    poll("the service is over", || {
        machine.property("ActiveState") == "inactive"
    });
    assert_eq!(machine.property("Result"), "success");
    send(lab, blocked, 10);
    poll("packets pass again", || {
        received.load(Ordering::Relaxed) == 10
    });
}

#[test]
fn the_group_of_the_service_may_read_and_only_root_may_change() {
    if !has_systemd() {
        return;
    }
    let machine = Machine::boot("group");
    machine.say(&["systemctl", "start", "monitor"]);
    let group = [
        "setpriv",
        "--reuid=65534",
        "--regid=monitor",
        "--clear-groups",
    ];
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let socket = ["--socket", "/run/monitor/monitor.sock"];
    let ask = |who: &[&str], verb: &str| machine.run(&[who, &["monitor", verb], &socket].concat());

    assert!(ask(&group, "status").status.success());
    for verb in ["reload", "detach"] {
        let output = ask(&group, verb);
        assert_eq!(output.status.code(), Some(1), "{verb}");
        assert!(text(&output.stderr).contains("only root"), "{verb}");
    }
    let denied = text(&ask(&nobody, "status").stderr);
    assert!(denied.contains("member of the socket's group"), "{denied}");
    assert_eq!(machine.generation(), 1);
}

#[test]
fn systemd_finds_no_fault_in_the_units_and_their_exposure_is_low() {
    if !has_systemd() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let units = here().join("../packaging/systemd");
    let mut paths = Vec::new();
    for name in ["monitor.service", "monitor-bpffs.service"] {
        let unit = fs::read_to_string(units.join(name)).unwrap();
        // The programs that the units start must exist.
        let unit = unit.replace("/usr/bin/monitor", binary().to_str().unwrap());
        let path = directory.path().join(name);
        fs::write(&path, unit).unwrap();
        paths.push(path);
    }
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&paths)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    assert_eq!(text(&verified.stderr), "");

    // The threshold is in tenths: the exposure must be under 3.0.
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=29", "--no-pager"])
        .arg(&paths[0])
        .output()
        .unwrap();
    let report = text(&security.stdout);
    let overall = report.lines().find(|line| line.contains("Overall"));
    println!("{}", overall.unwrap());
    assert!(security.status.success(), "{report}");
}

/// Asserts the privileges that the kernel shows for the process that systemd
/// started.
fn assert_least_privilege(machine: &Machine) {
    let pid = machine.property("MainPID");
    let status = machine.say(&["cat", &format!("/proc/{pid}/status")]);
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().split_whitespace().next().unwrap().to_owned()
    };
    for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapAmb:"] {
        let capabilities = u64::from_str_radix(&field(set), 16).unwrap();
        assert_eq!(capabilities, CAPABILITIES, "{set} {capabilities:x}");
    }
    let user = machine.say(&["id", "--user", "monitor"]);
    assert_ne!(user, "0");
    assert_eq!(field("Uid:"), user);
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2", "system calls are filtered");
}
