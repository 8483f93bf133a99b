//! The messages to a service manager, received on a socket of the test.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fs, io, net::TcpListener, os::unix::net::UnixDatagram, process::Stdio, time::Duration};

use nix::sys::signal::Signal;
use support::{
    hung::Hung,
    lab::{Daemon, Lab, POLICIES, poll},
};

/// The status message if all is well.
const IN_FORCE: &str = "STATUS=the policy files are in force";

/// Longest time to wait for a message.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn ready_comes_when_the_filter_is_attached_and_the_socket_answers() {
    let manager = Manager::new("ready");
    let mut daemon = manager.start(&[]);
    assert_eq!(manager.next(), ["READY=1", IN_FORCE]);
    // This must hold without waiting, because READY says so.
    assert_eq!(manager.lab.generation("wlan0"), Some(1));
    let status = manager.lab.status();
    assert_eq!(status["daemon"]["pid"], daemon.child.id());
    assert!(manager.lab.metrics().contains("monitor_attached{"));

    daemon.signal(Signal::SIGTERM);
    while manager.next()
        != [
            "STOPPING=1",
            "STATUS=the filter and its counters stay in force",
        ]
    {}
    poll("the daemon ends", || !daemon.is_running());
}

#[test]
fn ready_does_not_wait_for_a_port_that_another_process_holds() {
    let manager = Manager::new("ready-port");
    let _holder = manager
        .lab
        .gateway
        .run(|| TcpListener::bind("127.0.0.1:9641").unwrap());
    let _daemon = manager.start(&[]);
    assert_eq!(manager.next(), ["READY=1", IN_FORCE]);
    assert_eq!(manager.lab.generation("wlan0"), Some(1));
}

#[test]
fn a_start_that_fails_is_never_ready() {
    let manager = Manager::new("not-ready");
    manager
        .lab
        .write_policies(&POLICIES.replace("drop", "dorp"));
    let mut daemon = manager.start(&[]);
    poll("the daemon ends", || !daemon.is_running());
    assert_eq!(manager.heard(), [[""; 0]; 0]);
}

#[test]
fn a_reload_is_told_from_begin_to_end_however_it_goes() {
    let manager = Manager::new("reloading");
    let daemon = manager.start(&[]);
    manager.next();

    assert!(manager.lab.monitor(&["reload"]).status.success());
    assert_eq!(manager.reloads(), IN_FORCE);
    assert_eq!(manager.lab.generation("wlan0"), Some(2));

    daemon.signal(Signal::SIGHUP);
    poll("it has reloaded", || {
        manager.lab.generation("wlan0") == Some(3)
    });
    assert_eq!(manager.reloads(), IN_FORCE);

    manager
        .lab
        .write_policies(&POLICIES.replace("drop", "dorp"));
    while !manager.reloads().contains("not in force") {}
    assert_eq!(manager.lab.generation("wlan0"), Some(3));
}

#[test]
fn the_watchdog_hears_a_beat_again_and_again_and_only_from_the_one_it_asks() {
    let manager = Manager::new("watchdog");
    let _daemon = manager.start(&[("WATCHDOG_USEC", "200000")]);
    let mut beats = 0;
    while beats < 5 {
        let message = manager.next();
        beats += u32::from(message == ["WATCHDOG=1"]);
    }

    let other = Manager::new("watchdog-other");
    let asks_another = [("WATCHDOG_USEC", "200000"), ("WATCHDOG_PID", "1")];
    let _daemon = other.start(&asks_another);
    assert_eq!(other.next()[0], "READY=1");
    assert!(other.lab.monitor(&["reload"]).status.success());
    other.reloads();
}

/// The list is on a file system that does not answer, so the reload never ends.
/// After ten seconds it counts as hanging.
#[test]
fn the_watchdog_hears_beats_during_a_reload_and_none_once_the_reload_hangs() {
    let manager = Manager::new("hung");
    let folder = manager.lab.policies().join("hung");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("list.txt"), "198.51.100.1\n").unwrap();
    manager.lab.write_policies(
        "version: 1\npolicies:\n  - {name: a, action: drop, destinations: [{list: hung/list.txt}]}\n",
    );
    let daemon = manager.start(&[("WATCHDOG_USEC", "200000")]);
    manager.next();
    while manager.next() != ["WATCHDOG=1"] {}

    let _hung = Hung::mount(&folder);
    daemon.signal(Signal::SIGHUP);
    while manager.next()[0] != "RELOADING=1" {}
    for _ in 0..10 {
        assert_eq!(manager.next(), ["WATCHDOG=1"]);
    }
    manager.falls_silent();
}

/// A service manager, and the daemon that it will start.
struct Manager {
    socket: UnixDatagram,
    lab: Lab,
}

impl Manager {
    fn new(test: &str) -> Self {
        let lab = Lab::new(test);
        let path = lab.directory.path().join("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        lab.give(&path);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, lab }
    }

    /// Starts the daemon as a service, without waiting for it.
    fn start(&self, environment: &[(&str, &str)]) -> Daemon {
        let child = self
            .lab
            .daemon_command(&["--interface", "wlan0", "--mode", "generic"])
            .env(
                "NOTIFY_SOCKET",
                self.lab.directory.path().join("notify.sock"),
            )
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Daemon::from_child(child)
    }

    /// The lines of the next message.
    fn next(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a message comes");
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The messages that have arrived and were not read yet.
    fn heard(&self) -> Vec<Vec<String>> {
        self.socket.set_nonblocking(true).unwrap();
        let mut messages = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    let text = std::str::from_utf8(&buffer[..length]).unwrap();
                    messages.push(text.lines().map(str::to_owned).collect());
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    self.socket.set_nonblocking(false).unwrap();
                    return messages;
                }
            }
        }
    }

    /// Reads the messages about reloads, and asserts that begin and end
    /// alternate. There is at least one reload; a changed file may cause
    /// another. Returns the result of the last one.
    fn reloads(&self) -> String {
        let mut messages = vec![self.next()];
        messages.extend(self.heard());
        if messages.len() % 2 == 1 {
            messages.push(self.next());
        }
        for message in messages.chunks(2) {
            assert_reloading(&message[0]);
            assert_eq!(message[1][0], "READY=1", "{messages:?}");
        }
        messages.last().unwrap()[1].clone()
    }

    /// Waits until no message arrives for the time of twenty beats.
    fn falls_silent(&self) {
        let silence = Duration::from_secs(2);
        self.socket.set_read_timeout(Some(silence)).unwrap();
        let mut buffer = [0; 4096];
        // A hundred beats come in the ten seconds before work counts as hanging.
        let messages = std::iter::from_fn(|| self.socket.recv(&mut buffer).ok());
        assert!(messages.take(200).count() < 200, "the beat goes on");
    }
}

fn assert_reloading(message: &[String]) {
    assert_eq!(message[0], "RELOADING=1", "{message:?}");
    let since = message[1].strip_prefix("MONOTONIC_USEC=");
    assert!(since.unwrap().parse::<u64>().unwrap() > 0);
}
