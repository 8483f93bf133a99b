//! Frames in several buffers: jumbo frames in native mode, and aggregates of the network
//! stack in generic mode. The kernel's counters of the interface are the judge.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    io::{Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    thread,
};

use serde_json::Value;
use support::lab::{BLOCKED, Lab, OPEN, any_like, bind_udp, poll, text};

/// Payload of a datagram that fits into an MTU of 9000 and not into one page.
const PAYLOAD: usize = 8900;
/// Headers of Ethernet, IPv4 and UDP.
const HEADERS: usize = 14 + 20 + 8;

fn jumbo(lab: &Lab) {
    lab.phone.ip("link set eth0 mtu 9000");
    lab.gateway.ip("link set wlan0 mtu 9000");
}

fn wlan0(lab: &Lab) -> Value {
    lab.status()["interfaces"][0].clone()
}

/// Packets and bytes of one IPv4 verdict.
fn ipv4(lab: &Lab, verdict: &str) -> (u64, u64) {
    let count = wlan0(lab)["ipv4"][verdict].clone();
    let number = |key: &str| count[key].as_u64().unwrap();
    (number("packets"), number("bytes"))
}

/// Sends large datagrams to a blocked and an open address. The open ones arrive whole, and
/// both are counted with all their bytes.
fn large_datagrams_are_counted_whole(lab: &Lab) {
    let before = ["passed", "dropped"].map(|verdict| ipv4(lab, verdict));
    let receiver = lab.gateway.run(|| bind_udp(OPEN[0]));
    let to = receiver.local_addr().unwrap();
    lab.phone.run(|| {
        let socket = UdpSocket::bind((any_like(OPEN[0]), 0)).unwrap();
        for _ in 0..5 {
            socket.send_to(&[7; PAYLOAD], (BLOCKED[0], 9)).unwrap();
            socket.send_to(&[7; PAYLOAD], to).unwrap();
        }
    });
    let mut buffer = vec![0; 1 << 16];
    for _ in 0..5 {
        assert_eq!(receiver.recv(&mut buffer).unwrap(), PAYLOAD);
    }
    let bytes = 5 * (HEADERS + PAYLOAD) as u64;
    for (verdict, (packets, before)) in ["passed", "dropped"].into_iter().zip(before) {
        assert_eq!(
            ipv4(lab, verdict),
            (packets + 5, before + bytes),
            "{verdict}"
        );
    }
}

#[test]
fn native_mode_at_mtu_9000_sees_and_counts_whole_frames() {
    let lab = Lab::new("jumbo");
    jumbo(&lab);
    let daemon = lab.start(&["--mode", "native"]);
    let found = wlan0(&lab);
    assert_eq!(
        (&found["mode"], &found["frags"]),
        (&"native".into(), &true.into())
    );
    assert!(text(&lab.monitor(&["status"]).stdout).contains("native, frags"));
    large_datagrams_are_counted_whole(&lab);

    // The choice belongs to the link: a reload and the next daemon keep it, and a trial
    // hands over to a previous program of the same kind.
    assert!(lab.monitor(&["reload"]).status.success());
    large_datagrams_are_counted_whole(&lab);
    daemon.kill();
    let daemon = lab.start(&["--mode", "native", "--confirm", "600s"]);
    assert!(
        !daemon.log().contains("nothing is filtered"),
        "{}",
        daemon.log()
    );
    let confirmed = lab.monitor(&["confirm"]);
    assert!(confirmed.status.success(), "{}", text(&confirmed.stderr));
    large_datagrams_are_counted_whole(&lab);
    daemon.kill();
    changes(&lab);
}

/// A change is refused in a trial and where the driver needs `frags`; the filter in force
/// stays. Elsewhere it is announced.
fn changes(lab: &Lab) {
    let never = ["--mode", "native", "--frags", "never"];
    let refused = |more: &[&str]| {
        let mut command = lab.daemon_command(&never);
        let output = command
            .args(["--interface", "wlan0"])
            .args(more)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let error = refused(&[]);
    assert!(
        error.contains("with an MTU of 9000") && error.contains("frags: auto"),
        "{error}"
    );
    let error = refused(&["--confirm", "60s"]);
    assert!(error.contains("cannot change in a trial"), "{error}");
    {
        let _daemon = lab.start(&["--mode", "auto"]);
        assert_eq!(
            wlan0(lab)["frags"],
            true,
            "the old filter is in force again"
        );
        large_datagrams_are_counted_whole(lab);
    }
    lab.phone.ip("link set eth0 mtu 1500");
    lab.gateway.ip("link set wlan0 mtu 1500");
    let daemon = lab.start(&never);
    let log = daemon.log();
    assert!(
        log.contains("wlan0: frags are off now; nothing is filtered for a moment"),
        "{log}"
    );
    assert_eq!(wlan0(lab)["frags"], Value::Null);
    let before = ipv4(lab, "dropped").0;
    lab.send_udp(BLOCKED[0], 3);
    poll("the filter goes on", || {
        ipv4(lab, "dropped").0 == before + 3
    });
}

/// A megabyte over TCP, sent in segments of up to 64 KiB that no part of the way divides.
/// The kernel counts the same packets and bytes at the interface.
#[test]
fn generic_mode_counts_aggregates_as_the_kernel_does_with_and_without_frags() {
    for frags in ["never", "always"] {
        let lab = Lab::new(&format!("aggregates-{frags}"));
        let offloads = lab
            .phone
            .command("ethtool")
            .args(["-K", "eth0", "gso", "on", "tso", "on"])
            .output()
            .unwrap();
        assert!(offloads.status.success(), "{}", text(&offloads.stderr));
        let _daemon = lab.start(&["--mode", "generic", "--frags", frags]);
        let before = at_one_moment(&lab);
        transfer(&lab);
        poll("both count the same", || {
            let now = at_one_moment(&lab);
            let difference = |now: (u64, u64), then: (u64, u64)| (now.0 - then.0, now.1 - then.1);
            difference(now.0, before.0) == difference(now.1, before.1)
        });
        let (packets, bytes) = seen(&wlan0(&lab));
        assert!(bytes > MEGABYTE as u64, "{bytes}");
        assert!(packets < MEGABYTE as u64 / 1448, "no aggregates: {packets}");
    }
}

/// What the kernel received and what the filter saw, while no packet came.
fn at_one_moment(lab: &Lab) -> ((u64, u64), (u64, u64)) {
    loop {
        let kernel = received(lab);
        let filter = seen(&wlan0(lab));
        if received(lab) == kernel {
            return (kernel, filter);
        }
    }
}

const MEGABYTE: usize = 1 << 20;

fn transfer(lab: &Lab) {
    let listener = lab.listen_tcp(OPEN[0]);
    let to = listener.local_addr().unwrap();
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut all).unwrap();
        all.len()
    });
    lab.phone.run(|| {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.write_all(&vec![7; MEGABYTE]).unwrap();
    });
    assert_eq!(reader.join().unwrap(), MEGABYTE);
}

/// Packets and bytes that the kernel received on the gateway's interface.
fn received(lab: &Lab) -> (u64, u64) {
    let mut command = lab.gateway.command("ip");
    let output = command
        .args(["-s", "-json", "link", "show", "wlan0"])
        .output();
    let links: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let received = &links[0]["stats64"]["rx"];
    let number = |key: &str| received[key].as_u64().unwrap();
    (number("packets"), number("bytes"))
}

/// The sum of all packets and bytes in a part of the status.
fn seen(status: &Value) -> (u64, u64) {
    let add = |sum: (u64, u64), one: (u64, u64)| (sum.0 + one.0, sum.1 + one.1);
    match status {
        Value::Object(fields) => {
            let own = |key: &str| fields.get(key).and_then(Value::as_u64).unwrap_or_default();
            let below = fields.values().map(seen).fold((0, 0), add);
            add((own("packets"), own("bytes")), below)
        }
        Value::Array(values) => values.iter().map(seen).fold((0, 0), add),
        _ => (0, 0),
    }
}
