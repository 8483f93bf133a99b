//! Hostile clients on both sockets of the real daemon. The daemon must keep
//! filtering, answer other clients, and change nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod control;
mod crowds;
mod http;
#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

use std::{
    io::{ErrorKind, Read as _},
    net::TcpStream,
    time::Duration,
};

use support::lab::{Daemon, Lab, text};

/// Where the lab's daemon serves metrics.
const HTTP: &str = "127.0.0.1:9641";

/// A daemon that takes longer hangs, and the test fails. No time is measured.
const HANGS: Duration = Duration::from_secs(60);

/// Asserts that the daemon still filters and answers on both sockets.
pub(crate) fn check(lab: &Lab, daemon: &mut Daemon) {
    assert!(daemon.is_running(), "{}", daemon.log());
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    let status = lab.status();
    assert_eq!(status["daemon"]["pid"], daemon.child.id());
    assert_eq!(status["interfaces"][0]["generation"], 1);
    assert_eq!(status["policies"].as_array().unwrap().len(), 2);
    let metrics = lab.metrics();
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(metrics.contains("monitor_generation{interface=\"wlan0\",direction=\"out\"} 1\n"));
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
}

fn connect(lab: &Lab) -> TcpStream {
    lab.gateway.run(|| {
        let client = TcpStream::connect(HTTP).unwrap();
        client.set_read_timeout(Some(HANGS)).unwrap();
        client
    })
}

/// Reads until the daemon closes the connection.
fn rest(mut client: &TcpStream) -> String {
    let mut answer = Vec::new();
    if let Err(error) = client.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    text(&answer)
}
