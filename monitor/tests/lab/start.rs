//! Signals while the daemon loads a long list.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fmt::Write as _, fs, net::Ipv4Addr, process::Stdio};

use nix::sys::signal::Signal;
use support::lab::{Daemon, Lab, poll, text};

/// Number of prefixes in the long list. No two are adjacent.
const ADDRESSES: u32 = 300_000;

#[test]
fn sigterm_during_the_load_leaves_nothing_or_a_whole_generation() {
    let lab = lab("term");
    // The same must hold with a filter in force, so the second round starts
    // with one.
    for _ in 0..2 {
        let mut daemon = begin(&lab);
        daemon.signal(Signal::SIGTERM);
        poll("the daemon ends", || !daemon.is_running());
        let ended = daemon.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
        assert!(!lab.socket().exists());
        let status = lab.monitor(&["status"]);
        if status.status.success() {
            assert!(lab.generation("wlan0").is_some());
            let prefixes = &lab.status()["policies"][0]["prefixes"]["v4"];
            assert_eq!(prefixes.as_u64(), Some(u64::from(ADDRESSES)));
        } else {
            let error = text(&status.stderr);
            assert!(error.contains("no filter is in force"), "{error}");
        }
    }
}

#[test]
fn sighup_during_the_load_is_one_reload_after_it() {
    let lab = lab("hup");
    let mut daemon = begin(&lab);
    daemon.signal(Signal::SIGHUP);
    daemon.signal(Signal::SIGHUP);
    poll("the reload has ended", || {
        assert!(daemon.is_running());
        lab.monitor(&["status"]).status.success() && lab.generation("wlan0") == Some(2)
    });
    let reload = lab.monitor(&["reload"]);
    assert!(reload.status.success(), "{}", text(&reload.stderr));
    assert_eq!(lab.generation("wlan0"), Some(3));
}

/// A lab with one policy, whose list is long.
fn lab(test: &str) -> Lab {
    let lab = Lab::new(test);
    let mut list = String::new();
    for number in 0..ADDRESSES {
        let address = Ipv4Addr::from(0x0b00_0000 + 2 * number);
        writeln!(list, "{address}").unwrap();
    }
    fs::write(lab.policies().join("list.txt"), list).unwrap();
    lab.write_policies(
        "version: 1\npolicies:\n  - name: long\n    action: drop\n    destinations: [{list: list.txt}]\n",
    );
    lab
}

/// Starts a daemon, and returns as soon as it has begun: the socket is made
/// before the policies are read.
fn begin(lab: &Lab) -> Daemon {
    assert!(!lab.socket().exists());
    let child = lab
        .daemon_command(&["--interface", "wlan0", "--mode", "generic"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut daemon = Daemon::from_child(child);
    while !lab.socket().exists() {
        assert!(daemon.is_running(), "the daemon ended");
        std::thread::yield_now();
    }
    daemon
}
