//! Two daemons that start at the same time with the same control socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use support::lab::{Daemon, Lab, poll, poll_long};

/// How long strace holds the first daemon, in microseconds.
const HELD: &str = "4000000";

/// The pins of the second daemon. Dropping this value removes them.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        if self.0.exists()
            && let Err(error) = monitor::datapath::detach(&self.0)
        {
            eprintln!("{error}");
        }
    }
}

/// strace holds the first daemon in the call that removes a stale socket. The
/// second one starts meanwhile, with pins and an interface of its own.
#[test]
fn of_two_that_find_a_stale_control_socket_one_ends_and_the_other_answers() {
    let lab = Lab::new("twins");
    lab.add_interface("wlan1");
    leave_stale(&lab, &lab.socket());
    let pins = Pins(lab.pin_dir.with_extension("twin"));
    let state = lab.directory.path().join("twin");
    let mut first = held_at_unlink(&lab, &lab.socket(), &["--interface", "wlan0"]);
    let mut second = Daemon::from_child(
        lab.daemon_command(&[
            "--interface",
            "wlan1",
            "--pin-dir",
            pins.0.to_str().unwrap(),
            "--state-dir",
            state.to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
        ])
        .stderr(Stdio::null())
        .spawn()
        .unwrap(),
    );
    poll_long("one of them has ended", || {
        !first.is_running() || !second.is_running()
    });
    let left = if first.is_running() { &first } else { &second };
    poll_long("the other answers", || {
        let status = lab.monitor(&["status", "--json"]);
        let status: Option<Value> = serde_json::from_slice(&status.stdout).ok();
        status.is_some_and(|status| status["daemon"]["pid"] == left.child.id())
    });
    assert_ne!(first.is_running(), second.is_running());
}

/// A socket that no process listens on.
fn leave_stale(lab: &Lab, socket: &Path) {
    drop(UnixListener::bind(socket).unwrap());
    lab.give(socket);
}

/// Starts a daemon, and returns when it is about to remove `socket`. strace
/// runs as a grandchild, so that the test's child process is the daemon itself.
fn held_at_unlink(lab: &Lab, socket: &Path, arguments: &[&str]) -> Daemon {
    let calls = lab.directory.path().join("calls");
    let command = lab.daemon_command(arguments);
    let child = Command::new("strace")
        .args(["-D", "-f", "-qq", "--trace=unlink,unlinkat"])
        .arg(format!("--inject=unlink,unlinkat:delay_enter={HELD}"))
        .arg(format!("--trace-path={}", socket.to_str().unwrap()))
        .arg("-o")
        .arg(&calls)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("run strace (Debian package strace)");
    let daemon = Daemon::from_child(child);
    poll("it is held", || {
        fs::read_to_string(&calls).is_ok_and(|calls| calls.contains("unlink"))
    });
    daemon
}
