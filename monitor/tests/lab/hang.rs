//! A daemon that hangs: the reports of `status` and `/healthz`, and the
//! daemon's end.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    process::{Command, Stdio},
    sync::atomic::Ordering,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{
    datagrams::{count_arrivals, send},
    lab::{BLOCKED, Daemon, Lab, binary, poll, poll_long, text},
};

#[test]
fn of_a_daemon_that_is_stopped_status_says_so_and_counts_from_the_kernel() {
    let lab = Lab::new("sigstop");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = lab.start(&["--mode", "generic"]);
    daemon.signal(Signal::SIGSTOP);
    send(&lab, blocked, 10);

    let output = lab.monitor(&["status"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(shown.contains("NO ANSWER"), "{shown}");
    assert!(
        shown.contains(&format!("process {}", daemon.child.id())),
        "{shown}"
    );
    assert!(!shown.contains("loaded, as the files are now"), "{shown}");

    let status = lab.status();
    assert_eq!(status["daemon"], Value::Null);
    assert_eq!(status["checks"][0]["id"], "daemon", "{status:#}");
    assert_eq!(status["reload"], Value::Null);
    assert_eq!(lab.policy("blocked"), (0, 10));
    assert_eq!(received.load(Ordering::Relaxed), 0);
    // Verbs that need the daemon fail, and change nothing.
    for verb in ["reload", "detach"] {
        let output = lab.monitor(&[verb]);
        assert_eq!(output.status.code(), Some(1), "{verb}");
        assert!(text(&output.stderr).contains("gave no answer"), "{verb}");
    }
    daemon.signal(Signal::SIGCONT);
    assert_eq!(lab.generation("wlan0"), Some(1));
    // The interrupted work ends first.
    poll("all is well", || {
        lab.status()["checks"] == Value::Array(Vec::new())
    });
}

/// strace holds the thread that reloads in the call that waits for running
/// programs, as a kernel that does not answer would.
#[test]
fn while_a_reload_hangs_neither_status_nor_health_say_that_all_is_well() {
    let lab = Lab::new("held-core");
    let daemon = lab.start(&["--mode", "generic"]);
    let tracer = hold(&lab, &daemon);
    let reload = Command::new(binary())
        .args(["reload", "--socket"])
        .arg(lab.socket())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _reload = Daemon::from_child(reload);

    poll("the reload is under way", || {
        lab.status()["working"]["seconds"].as_u64() >= Some(1)
    });
    let shown = text(&lab.monitor(&["status"]).stdout);
    assert!(shown.contains("a reload has been under way"), "{shown}");
    assert!(!shown.contains("loaded, as the files are now"), "{shown}");
    let address = "127.0.0.1:9641".parse().unwrap();
    let health = || lab.try_get(address, "/healthz", "").unwrap();
    poll_long("it is not healthy", || health().starts_with("HTTP/1.1 503"));
    assert!(
        health().contains("the daemon hangs: a reload"),
        "{}",
        health()
    );
    let status = lab.status();
    assert_eq!(status["checks"][0]["id"], "daemon", "{status:#}");
    assert!(text(&lab.monitor(&["status"]).stdout).contains("HANGS"));

    drop(tracer);
    poll("it goes on", || health().starts_with("HTTP/1.1 200"));
    assert_eq!(lab.generation("wlan0"), Some(2));
}

#[test]
fn a_daemon_whose_reload_hangs_ends_when_it_is_asked_to() {
    let lab = Lab::new("held-stop");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let tracer = hold(&lab, &daemon);
    daemon.signal(Signal::SIGHUP);
    poll("the reload is under way", || {
        lab.status()["working"]["seconds"].as_u64() >= Some(1)
    });
    daemon.signal(Signal::SIGTERM);
    poll_long("it gives up waiting", || {
        daemon.log().contains("the daemon ends without it")
    });
    // A traced process disappears only after its tracer has noticed its end.
    drop(tracer);
    poll("the daemon ends", || !daemon.is_running());
    assert!(lab.generation("wlan0").is_some());
}

/// Holds each thread of the daemon that begins to wait for running programs.
fn hold(lab: &Lab, daemon: &Daemon) -> Daemon {
    let said = lab.directory.path().join("strace.said");
    let tracer = Command::new("strace")
        .args(["-f", "-e", "trace=membarrier"])
        .args(["-e", "inject=membarrier:delay_enter=600000000"])
        .args(["-o", "/dev/null", "-p", &daemon.child.id().to_string()])
        .stderr(fs::File::create(&said).unwrap())
        .spawn()
        .expect("run strace (Debian package strace)");
    let tracer = Daemon::from_child(tracer);
    poll("strace is attached", || {
        fs::read_to_string(&said).is_ok_and(|said| said.contains("attached"))
    });
    tracer
}
