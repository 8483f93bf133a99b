//! What the daemon stores, logs and finishes if the disk is full, if time
//! passes, or if it is stopped during a request.

use crate::support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use nix::sys::signal::Signal;
use support::lab::{Daemon, Lab, POLICIES, poll, poll_long, text};

/// The daemon can go back only to policies that the state directory contains.
/// Each attempt must check again that they are missing.
#[test]
fn without_a_place_for_the_last_good_files_no_reload_waits_for_a_confirmation() {
    let lab = Lab::new("unsaved");
    let file = lab.directory.path().join("state/last-good.tar");
    let daemon = start(&lab);
    poll("the files are kept", || file.exists());
    // A directory in place of the file makes every write of it fail.
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(file.join("in the way")).unwrap();
    lab.give(&file);
    verb(&lab, &["reload"]);
    poll("the failure is logged", || {
        daemon
            .log()
            .contains("keep the policies for the next start")
    });
    for _ in 0..2 {
        let output = lab.monitor(&["reload", "--confirm", "10m"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.contains("last-good.tar"), "{said}");
        assert_eq!(lab.generation("wlan0"), Some(2));
        assert!(lab.status()["unconfirmed"].is_null());
    }
    fs::remove_dir_all(&file).unwrap();
    verb(&lab, &["reload", "--confirm", "10m"]);
    assert!(file.is_file());
    assert_eq!(lab.status()["unconfirmed"]["generation"], 3);
}

#[test]
fn a_policy_that_expired_meanwhile_is_logged_when_it_comes_back() {
    let lab = Lab::new("comes-back");
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let expires = format!("name: seen\n    expires: {soon:.0}");
    lab.write_policies(&POLICIES.replace("name: seen", &expires));
    let daemon = start(&lab);
    lab.write_policies(POLICIES);
    verb(&lab, &["reload", "--confirm", "4s"]);
    poll_long("it is rolled back", || {
        lab.status()["unconfirmed"]["rolled_back"] == true
    });
    poll("the edge is logged", || {
        daemon.log().contains("seen: expired")
    });
}

/// The daemon gets the rest of the request after the signal to stop.
#[test]
fn a_request_that_has_begun_is_answered_though_the_daemon_stops() {
    let lab = Lab::new("last-answer");
    let mut daemon = start(&lab);
    let connect = || TcpStream::connect("127.0.0.1:9641");
    let mut begun = lab.gateway.run(connect).unwrap();
    begun.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    // This request is answered after the first one was accepted.
    assert!(lab.metrics().contains("monitor_build_info"));
    daemon.signal(Signal::SIGTERM);
    poll("nobody listens any more", || {
        lab.gateway.run(connect).is_err()
    });
    begun.write_all(b"Host: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    begun.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    poll("the daemon ends", || !daemon.is_running());
}

/// Files are loaded by command alone, so that a test says when.
fn start(lab: &Lab) -> Daemon {
    lab.start(&["--mode", "generic", "--no-watch"])
}

/// Runs a verb, which must succeed.
fn verb(lab: &Lab, arguments: &[&str]) {
    let output = lab.monitor(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
}
