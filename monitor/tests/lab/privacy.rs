//! The daemon's log contains addresses of devices and destinations only if the
//! operator enables that.

use crate::support;

use nix::sys::signal::Signal;
use support::lab::{BLOCKED, Lab, OPEN, PHONE_MAC, poll};

/// The phone's own addresses.
const PHONE: [&str; 2] = ["10.77.0.2", "fd77::2"];

#[test]
fn log_packets_shows_every_matched_packet_also_after_a_reload() {
    let lab = Lab::new("log");
    let daemon = lab.start(&["--mode", "generic", "--log-packets"]);
    for _ in 0..2 {
        let seen = |destination| {
            let line = format!("{PHONE_MAC} -> {destination} ");
            daemon.log().matches(&line).count()
        };
        let before = [BLOCKED[0], BLOCKED[1], OPEN[0]].map(seen);
        for address in [OPEN[1], OPEN[0], BLOCKED[0], BLOCKED[1]] {
            lab.send_udp(address, 2);
        }
        poll("the packets are in the log", || {
            [BLOCKED[0], BLOCKED[1], OPEN[0]].map(seen) == before.map(|lines| lines + 2)
        });
        assert!(lab.monitor(&["reload"]).status.success());
    }
    let log = daemon.log();
    for (verdict, destination) in [
        ("dropped", BLOCKED[0]),
        ("dropped", BLOCKED[1]),
        ("passed", OPEN[0]),
    ] {
        let line = format!("{verdict} {PHONE_MAC} -> {destination} policy slot ");
        assert_eq!(log.matches(&line).count(), 4, "{line}\n{log}");
    }
    assert!(!log.contains(OPEN[1]), "no policy matches it\n{log}");
}

#[test]
fn without_the_flag_the_log_names_nobody() {
    let lab = Lab::new("nolog");
    let mut daemon = lab.start(&["--mode", "generic"]);
    for address in OPEN.into_iter().chain(BLOCKED) {
        lab.send_udp(address, 5);
    }
    poll("the packets are counted", || {
        lab.policy("blocked") == (0, 10) && lab.policy("seen") == (5, 5)
    });
    assert!(lab.monitor(&["reload"]).status.success());
    lab.send_udp(BLOCKED[0], 5);
    lab.metrics();
    daemon.signal(Signal::SIGTERM);
    poll("the daemon ends", || !daemon.is_running());
    let log = daemon.log();
    assert!(log.contains("generation 2 is in force"), "{log}");
    for private in OPEN.into_iter().chain(BLOCKED).chain(PHONE) {
        assert!(!log.contains(private), "{private} in\n{log}");
    }
    assert!(!log.to_lowercase().contains(PHONE_MAC), "{log}");
}
