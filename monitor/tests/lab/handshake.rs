//! `allow_handshake`: a connection to a dropped address opens, its first data names it, and
//! none of that data arrives.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fs, io::Read as _, process::Stdio, time::Duration};

use etherparse::{SlicedPacket, TransportSlice};
use serde_json::Value;
use support::{
    lab::{BLOCKED, Daemon, Lab, poll},
    packets::{Transport, to},
    raw::RawSocket,
    release::kernel_is_at_least,
};

const POLICIES: &str = "version: 1
policies:
  - name: blocked
    action: drop
    allow_handshake: true
    destinations: [198.51.100.0/24, 2001:db8:bad::/48]
";

/// A TLS server on the blocked address, as Debian's package `openssl` has it.
fn serve_tls(lab: &Lab, version: &str) -> Daemon {
    let directory = lab.directory.path();
    let own = rcgen::generate_simple_self_signed(["secret.example".to_owned()]).unwrap();
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    fs::write(&certificate, own.cert.pem()).unwrap();
    fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let mut server = lab.gateway.command("openssl");
    server.args(["s_server", "-www", version, "-accept"]);
    server.arg(format!("{}:443", BLOCKED[0]));
    server.arg("-cert").arg(certificate).arg("-key").arg(key);
    server.stdin(Stdio::null()).stdout(Stdio::null());
    let server = server.stderr(Stdio::null()).spawn();
    let server = Daemon::from_child(server.expect("run openssl (Debian package openssl)"));
    poll("the server listens", || {
        let connected = lab
            .gateway
            .run(|| std::net::TcpStream::connect((BLOCKED[0], 443)));
        connected.is_ok()
    });
    server
}

/// Asks for a page as curl does. Its connection opens, and its request gets no answer.
fn curl(lab: &Lab, name: &str, url: &str) {
    let port = if url.starts_with("https") { 443 } else { 80 };
    let mut curl = lab.phone.command("curl");
    curl.args(["--silent", "--insecure", "--max-time", "2", "--resolve"]);
    curl.arg(format!("{name}:{port}:{}", BLOCKED[0]));
    let output = curl.arg(url).output();
    let output = output.expect("run curl (Debian package curl)");
    // The time is over. A connection that does not open would send no name.
    assert_eq!(output.status.code(), Some(28), "{output:?}");
}

/// Segments with room for data where programs put none: in the segment that opens the
/// connection, in front of the TCP header, and behind the end of the packet. The last one of
/// each address has no such room.
fn send_hidden_data(lab: &Lab) {
    let phone = RawSocket::sender(&lab.phone, "eth0");
    for address in BLOCKED {
        let segment = || to(address).transport(Transport::Tcp(443)).payload(b"");
        let bare = segment().build();
        phone.send(&segment().payload(b"SECRET").build());
        phone.send(&segment().options(2).extensions(&[60]).build());
        phone.send(&[bare.as_slice(), b"SECRET that is longer than any padding"].concat());
        phone.send(&bare);
    }
}

/// TCP segments of the phone that arrived, and the bytes in them that are no header.
fn arrived(far_side: &RawSocket) -> (usize, Vec<u8>) {
    let (mut segments, mut data) = (0, Vec::new());
    while let Some(frame) = far_side.receive_now() {
        let Ok(packet) = SlicedPacket::from_ethernet(&frame) else {
            continue;
        };
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
            continue;
        };
        if tcp.destination_port() != 443 && tcp.destination_port() != 80 {
            continue;
        }
        segments += 1;
        data.extend_from_slice(tcp.payload());
        assert!(!frame.windows(6).any(|bytes| bytes == b"SECRET"));
    }
    (segments, data)
}

/// The names of all flows, with how each was learnt.
pub(crate) fn names(lab: &Lab) -> Vec<(String, String)> {
    let state = lab.directory.path().join("state");
    let output = lab.monitor(&["flows", "--json", "--state-dir", state.to_str().unwrap()]);
    let flows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let flows = flows["flows"].as_array().unwrap().iter();
    let names = flows.flat_map(|flow| flow["names"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    names
        .map(|name| (text(&name["how"]), text(&name["name"])))
        .collect()
}

fn what_the_device_says_is_named_and_does_not_arrive(mode: &str, version: &str) {
    let lab = Lab::new("handshake");
    lab.write_policies(POLICIES);
    let _server = serve_tls(&lab, version);
    let plain = lab
        .gateway
        .run(|| std::net::TcpListener::bind((BLOCKED[0], 80)).unwrap());
    let _daemon = lab.start(&["--mode", mode]);
    let far_side = RawSocket::receiver(&lab.gateway, "wlan0");

    curl(&lab, "secret.example", "https://secret.example/");
    curl(&lab, "plain.example", "http://plain.example/path");
    let (mut stream, _) = plain.accept().unwrap();
    send_hidden_data(&lab);

    let expected = [("http-host", "plain.example"), ("sni", "secret.example")];
    let expected = expected.map(|(how, name)| (how.to_owned(), name.to_owned()));
    // Programs may copy payload since Linux 5.18.
    if kernel_is_at_least([5, 18]) {
        poll("both names are known", || {
            let names = names(&lab);
            expected.iter().all(|name| names.contains(name))
        });
    }
    let (segments, data) = arrived(&far_side);
    // Each of both connections has at least a SYN and an ACK; of the hidden ones, those
    // without data arrive.
    assert!(segments >= 2 * 2 + 2, "{segments}");
    assert_eq!(data, b"", "{}", String::from_utf8_lossy(&data));
    stream
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    assert!(!matches!(stream.read(&mut [0; 64]), Ok(1..)));
    let (passed, dropped) = lab.policy("blocked");
    assert!(passed >= 6 && dropped >= 2 + 6, "{passed} {dropped}");
}

#[test]
fn native_mode_with_tls_1_3() {
    what_the_device_says_is_named_and_does_not_arrive("native", "-tls1_3");
}

#[test]
fn generic_mode_with_tls_1_2() {
    what_the_device_says_is_named_and_does_not_arrive("generic", "-tls1_2");
}

/// A second `drop` without the key stops the handshake too.
#[test]
fn another_drop_stops_the_handshake() {
    let lab = Lab::new("no-handshake");
    lab.write_policies(&format!(
        "{POLICIES}  - {{name: all, action: drop, destinations: [198.51.100.10]}}\n"
    ));
    let _daemon = lab.start(&[]);
    let far_side = RawSocket::receiver(&lab.gateway, "wlan0");
    send_hidden_data(&lab);
    poll("every frame is counted", || lab.policy("blocked") == (1, 7));
    // Only the one to the IPv6 address.
    assert_eq!(arrived(&far_side), (1, Vec::new()));
}
