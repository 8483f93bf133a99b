//! Traffic of real sockets through the real daemon, in network namespaces.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    process::Stdio,
    thread,
    time::Duration,
};

use support::lab::{BLOCKED, Lab, OPEN, PHONE_MAC, any_like};

const DATAGRAMS: u64 = 20;

/// Longest time to wait for a reply over a veth pair. A blocked packet takes
/// all of it.
const PATIENCE: Duration = Duration::from_millis(500);

#[test]
fn generic_mode_drops_what_is_blocked_and_nothing_else() {
    blocks_and_passes("generic");
}

#[test]
fn native_mode_drops_what_is_blocked_and_nothing_else() {
    blocks_and_passes("native");
}

fn blocks_and_passes(mode: &str) {
    let lab = Lab::new(mode);
    let servers: Vec<_> = OPEN
        .into_iter()
        .chain(BLOCKED)
        .map(|address| (address, lab.serve_udp(address)))
        .collect();
    let _daemon = lab.start(&["--mode", mode]);
    for (address, server) in servers {
        let blocked = BLOCKED.contains(&address);
        let before = lab.policy("blocked").1;
        assert_eq!(
            udp_echo(&lab, server),
            if blocked { 0 } else { DATAGRAMS },
            "UDP {address}"
        );
        let expected = if blocked { DATAGRAMS } else { 0 };
        assert_eq!(
            lab.policy("blocked").1 - before,
            expected,
            "drops of UDP to {address}"
        );
        assert_eq!(ping(&lab, address), !blocked, "ping {address}");
        assert_eq!(tcp_echo(&lab, address), !blocked, "TCP {address}");
    }
    let status = lab.status();
    assert_eq!(status["interfaces"][0]["mode"], mode);
    assert_eq!(status["policies"][0]["name"], "blocked");
    let devices = status["policies"][0]["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 1, "{devices:?}");
    assert_eq!(devices[0]["mac"], PHONE_MAC);
    assert_eq!(devices[0]["matched"], status["policies"][0]["matched"]);
}

#[test]
fn every_matching_policy_counts_a_packet_that_one_of_them_drops() {
    let lab = Lab::new("overlap");
    let open = lab.serve_udp(OPEN[0]);
    let blocked = lab.serve_udp(BLOCKED[0]);
    let _daemon = lab.start(&["--mode", "generic"]);
    assert_eq!(udp_echo(&lab, open), DATAGRAMS);
    assert_eq!(udp_echo(&lab, blocked), 0);
    assert_eq!(lab.policy("blocked"), (0, DATAGRAMS));
    assert_eq!(lab.policy("seen"), (DATAGRAMS, DATAGRAMS));
}

#[test]
fn metrics_say_the_same_as_status() {
    let lab = Lab::new("metrics");
    let blocked = lab.serve_udp(BLOCKED[1]);
    let _daemon = lab.start(&["--mode", "generic"]);
    udp_echo(&lab, blocked);
    let page = lab.metrics();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    for line in [
        format!(
            "monitor_policy_packets_total{{policy=\"blocked\",direction=\"out\",verdict=\"dropped\"}} {DATAGRAMS}"
        ),
        format!(
            "monitor_interface_packets_total{{interface=\"wlan0\",direction=\"out\",verdict=\"dropped\",family=\"ipv6\"}} {DATAGRAMS}"
        ),
        "monitor_generation{interface=\"wlan0\",direction=\"out\"} 1".to_owned(),
        "monitor_attached{interface=\"wlan0\",direction=\"out\",mode=\"generic\"} 1".to_owned(),
        "monitor_reload_success 1".to_owned(),
        "# EOF".to_owned(),
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "no line {line}\n{page}"
        );
    }
    assert!(
        !page.contains(PHONE_MAC),
        "a MAC is private unless asked for"
    );
}

/// Sends datagrams one by one and counts the answers.
fn udp_echo(lab: &Lab, server: SocketAddr) -> u64 {
    lab.phone.run(|| {
        let socket = UdpSocket::bind((any_like(&server.ip().to_string()), 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for number in 0..DATAGRAMS {
            socket.send_to(&number.to_be_bytes(), server).unwrap();
        }
        let mut buffer = [0; 64];
        let mut answers = 0;
        while answers < DATAGRAMS && socket.recv_from(&mut buffer).is_ok() {
            answers += 1;
        }
        answers
    })
}

fn tcp_echo(lab: &Lab, address: &str) -> bool {
    let listener = lab.listen_tcp(address);
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut buffer = [0; 5];
        stream.read_exact(&mut buffer)?;
        stream.write_all(&buffer)
    });
    let ip: IpAddr = address.parse().unwrap();
    let answered = lab.phone.run(|| {
        let mut stream = TcpStream::connect_timeout(&(ip, port).into(), PATIENCE).ok()?;
        stream.write_all(b"hello").ok()?;
        let mut buffer = [0; 5];
        stream.read_exact(&mut buffer).ok()?;
        Some(buffer == *b"hello")
    });
    if answered.is_some() {
        server.join().unwrap().unwrap();
    } else {
        // The server waits for a connection that never comes: let it have one.
        lab.gateway.run(|| drop(TcpStream::connect((ip, port))));
        server.join().unwrap().unwrap_err();
    }
    answered == Some(true)
}

fn ping(lab: &Lab, address: &str) -> bool {
    lab.phone
        .command("ping")
        .args(["-n", "-c", "1", "-W", "1", address])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("run ping (Debian package iputils-ping)")
        .success()
}
