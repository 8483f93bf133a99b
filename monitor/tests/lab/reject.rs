//! `reject` with real clients: they fail at once, where a `drop` keeps them waiting for their own
//! limit.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use support::{
    browser::Browser,
    lab::{BLOCKED, Lab, any_like, poll, sh, text},
    objects::state,
    packets::to,
    raw::RawSocket,
};

/// Addresses that a `drop` covers.
const SILENT: [&str; 2] = ["203.0.113.10", "2001:db8:5::10"];

const POLICIES: &str = "version: 1
policies:
  - {name: rejected, action: reject, destinations: [198.51.100.0/24, 2001:db8:bad::/48]}
  - {name: silent, action: drop, destinations: [203.0.113.0/24, 2001:db8:5::/48]}
";

/// Longer than any client may take that is told. A test waits so long only if it fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long clients wait that get no answer.
const LIMIT: Duration = Duration::from_millis(300);

/// Settings of the driver on the phone's end.
fn tune(lab: &Lab, settings: &str) {
    let netns = format!("nsenter --net=/run/netns/{}", lab.phone.name);
    sh(&format!("{netns} ethtool -K eth0 {settings}"));
}

fn connect(lab: &Lab, address: &str, limit: Duration) -> ErrorKind {
    let to = SocketAddr::new(address.parse().unwrap(), 443);
    let connected = lab.phone.run(|| TcpStream::connect_timeout(&to, limit));
    connected.expect_err("the filter stops it").kind()
}

/// The error of a datagram to a port that nobody serves.
fn datagram(lab: &Lab, address: &str) -> Option<i32> {
    let error = lab.phone.run(|| {
        let socket = UdpSocket::bind((any_like(address), 0)).unwrap();
        socket.connect((address, 443)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(b"a first packet of QUIC").unwrap();
        socket.recv(&mut [0; 64]).unwrap_err()
    });
    error.raw_os_error()
}

/// Exit code of a client, which fails.
fn client(lab: &Lab, program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = lab.phone.command(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("run {program}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code(), text)
}

fn answers(lab: &Lab) -> (u64, u64, u64) {
    let status = lab.status();
    let answers = &status["interfaces"][0]["answers"];
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let unanswered = answers["unanswered"].as_object().unwrap();
    let unanswered = unanswered.values().map(number).sum();
    (
        number(&answers["resets"]),
        number(&answers["errors"]),
        unanswered,
    )
}

/// In native mode, veth wakes the other end for an answer only if that end runs an XDP program too
/// (`veth_xdp_flush`). The filter's own one lets answers pass. A network card needs none.
fn receive_at_once(lab: &Lab, mode: &str) {
    if mode != "native" {
        return;
    }
    let generation = lab.generation("wlan0").unwrap();
    let program = format!("gen-{generation}/prog_{}", hex::encode("wlan0"));
    let mut ip = lab.phone.command("ip");
    ip.args(["link", "set", "dev", "eth0", "xdpdrv", "pinned"]);
    let output = ip.arg(state(lab).join(program)).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn clients_are_told(mode: &str) {
    let lab = Lab::new("reject");
    tune(&lab, "gro on");
    lab.write_policies(POLICIES);
    let _daemon = lab.start(&["--mode", mode]);
    receive_at_once(&lab, mode);
    for address in BLOCKED {
        assert_eq!(
            connect(&lab, address, PATIENCE),
            ErrorKind::ConnectionRefused
        );
        // Code 13 of ICMP and code 1 of ICMPv6, as Linux reports them.
        let expected = match address.parse().unwrap() {
            IpAddr::V4(_) => libc::EHOSTUNREACH,
            IpAddr::V6(_) => libc::EACCES,
        };
        assert_eq!(datagram(&lab, address), Some(expected), "{address}");
        let (_, text) = client(&lab, "ping", &["-n", "-c", "1", "-W", "20", address]);
        let prohibited = ["filtered", "prohibited"];
        assert!(prohibited.iter().any(|word| text.contains(word)), "{text}");
        let host = if address.contains(':') {
            format!("[{address}]")
        } else {
            address.to_owned()
        };
        let url = format!("https://{host}/");
        let (code, text) = client(&lab, "curl", &["--max-time", "20", &url]);
        assert_eq!(code, Some(7), "curl says that it could not connect: {text}");
        let connect = format!("import socket; socket.create_connection(('{address}', 443), 20)");
        let (_, text) = client(&lab, "python3", &["-c", &connect]);
        assert!(text.contains("ConnectionRefusedError"), "{text}");
    }
    for address in SILENT {
        assert_eq!(
            connect(&lab, address, LIMIT),
            ErrorKind::TimedOut,
            "{address}"
        );
    }
    let (resets, errors, unanswered) = answers(&lab);
    assert_eq!((resets, errors, unanswered), (6, 4, 0));
    assert_eq!(lab.policy("rejected"), (0, 10));
    let metrics = lab.metrics();
    let line = "monitor_reject_answers_packets_total{interface=\"wlan0\",kind=\"tcp_reset\"} 6\n";
    assert!(metrics.contains(line), "{metrics}");
    a_browser_is_told(&lab);
}

/// A page does not load for as long as the browser waits: it says at once that it was refused.
fn a_browser_is_told(lab: &Lab) {
    let Some(browser) = Browser::start(&lab.phone) else {
        return;
    };
    for url in ["http://198.51.100.10/", "http://[2001:db8:bad::10]/"] {
        let why = browser.failure(url);
        assert!(why.contains("ERR_CONNECTION_REFUSED"), "{url}: {why}");
    }
}

#[test]
fn clients_are_told_in_native_mode() {
    clients_are_told("native");
}

#[test]
fn clients_are_told_in_generic_mode() {
    clients_are_told("generic");
}

/// The connection opens, and its first data, an aggregate of many segments, is answered by a
/// reset that the client accepts.
#[test]
fn an_open_connection_is_reset_by_its_first_data() {
    for mode in ["generic", "native"] {
        let lab = Lab::new("reject-open");
        tune(&lab, "gro on gso on tso on");
        let policies = POLICIES.replace("action: reject", "action: reject, allow_handshake: true");
        lab.write_policies(&policies);
        let _daemon = lab.start(&["--mode", mode]);
        receive_at_once(&lab, mode);
        for address in BLOCKED {
            let listener = lab.listen_tcp(address);
            let to = listener.local_addr().unwrap();
            let error = lab.phone.run(|| {
                let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let written = stream.write_all(&[b'x'; 10_000]);
                written
                    .and_then(|()| stream.read(&mut [0]).map(drop))
                    .unwrap_err()
            });
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{mode} {address}");
            // The server is not told: its connection stays open, without data.
            let (mut served, _) = listener.accept().unwrap();
            served.set_read_timeout(Some(LIMIT)).unwrap();
            let silent = served.read(&mut [0]).unwrap_err().kind();
            assert_eq!(silent, ErrorKind::WouldBlock, "{mode} {address}");
        }
    }
}

/// Under a flood, a device gets its burst and then 100 answers per second. Each packet is
/// answered or counted with the reason, and the device receives each answer.
#[test]
fn a_flood_gets_as_many_answers_as_the_limits_say() {
    const FRAMES: u64 = 3000;
    let lab = Lab::new("reject-flood");
    lab.write_policies(POLICIES);
    let _daemon = lab.start(&["--mode", "generic"]);
    let phone = RawSocket::receiver(&lab.phone, "eth0");
    let sender = RawSocket::sender(&lab.phone, "eth0");
    let frame = to(BLOCKED[0]).build();
    let begin = Instant::now();
    for _ in 0..FRAMES {
        sender.send(&frame);
    }
    poll("every frame is counted", || {
        lab.policy("rejected") == (0, FRAMES)
    });
    let seconds = begin.elapsed().as_secs() + 1;
    let (resets, errors, unanswered) = answers(&lab);
    assert_eq!((resets, errors + unanswered), (0, FRAMES));
    assert!(
        (100..=100 + 100 * seconds).contains(&errors),
        "{errors} in {seconds} s"
    );
    let prohibited = |frame: &Vec<u8>| {
        frame.len() > 36
            && frame[12..14] == [0x08, 0x00]
            && frame[23] == 1
            && frame[34..36] == [3, 13]
    };
    let received = std::iter::from_fn(|| phone.receive_now()).filter(prohibited);
    assert_eq!(received.count() as u64, errors);
}
