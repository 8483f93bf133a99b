//! Both directions, at an interface of each role: a phone, a gateway with NAT, and a host on
//! the internet. Every packet counts once, and the sums equal what was sent and received.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod clsact;
mod page;
mod under_reloads;
pub(crate) mod world;

use crate::support;

use std::{net::UdpSocket, sync::atomic::Ordering};

use monitor::{policy::Direction, snapshot::Mode};
use serde_json::Value;
use support::lab::{Daemon, Lab, PHONE_MAC, poll, text};
use world::{
    GATEWAY, GATEWAY_MAC, PORT, STOPPED, WATCHED, World, all, ask, egress_mode, interface,
    of_device, packets, policy,
};

#[test]
fn every_packet_counts_once_in_its_direction() {
    let world = World::new("directions");
    let (lab, arrived) = (&world.lab, world.arrived);
    let daemon = world.start(&["--evidence", "flows", "--no-watch"]);
    let (start, links_at_start) = world.settled();

    // The phone asks, by both families, and is answered.
    for address in WATCHED {
        assert_eq!(ask(&lab.phone, address, 20), 20, "{address}");
    }
    // Its packets to a dropped range do not arrive.
    for address in STOPPED {
        assert_eq!(ask(&lab.phone, address, 5), 0, "{address}");
    }
    // The gateway's own packets.
    for address in WATCHED {
        assert_eq!(ask(&lab.gateway, address, 7), 7, "{address}");
    }
    for address in STOPPED {
        assert_eq!(ask(&lab.gateway, address, 3), 0, "{address}");
    }
    assert_eq!(arrived.load(Ordering::SeqCst), 2 * (20 + 7));
    // What nobody asked for.
    for (address, gateway) in STOPPED.into_iter().zip(GATEWAY) {
        world.internet.run(|| {
            let socket = UdpSocket::bind((address, 0)).unwrap();
            for _ in 0..4 {
                socket.send_to(b"hello", (gateway, 9)).unwrap();
            }
        });
    }
    poll("all packets are counted", || {
        policy(&world.snapshot(), "stopped")
            .incoming
            .dropped
            .packets
            == 8
    });

    let (snapshot, links) = world.settled();
    let watched = policy(&snapshot, "watched");
    assert_eq!(packets(watched.matched), (2 * (20 + 7), 0));
    assert_eq!(packets(watched.incoming), (2 * (20 + 7), 0));
    assert_eq!(of_device(watched, PHONE_MAC), 2 * 20);
    assert_eq!(of_device(watched, GATEWAY_MAC), 2 * 7);
    assert_eq!(packets(watched.other), (0, 0));
    let stopped = policy(&snapshot, "stopped");
    assert_eq!(packets(stopped.matched), (0, 2 * (5 + 3)));
    assert_eq!(packets(stopped.incoming), (0, 2 * 4));
    assert_eq!(of_device(stopped, PHONE_MAC), 2 * 5);
    assert_eq!(of_device(stopped, GATEWAY_MAC), 2 * 3);
    // The device of this drop is not known where answers arrive, so they pass.
    let of_another = policy(&snapshot, "of-another");
    assert_eq!(packets(of_another.matched), (0, 0));
    assert_eq!(packets(of_another.incoming), (0, 0));

    // IPv4 has no other packets than those of this test.
    let lan = interface(&snapshot, "wlan0", Direction::Out);
    let own = interface(&snapshot, "wan0", Direction::Out);
    let arriving = interface(&snapshot, "wan0", Direction::In);
    assert_eq!(packets(lan.ipv4), (20, 5));
    assert_eq!(packets(own.ipv4), (7, 3));
    // With the gateway's answers that its port is closed: none, they were dropped.
    assert_eq!(packets(arriving.ipv4), (20 + 7, 4));
    assert_eq!(own.mode, Some(egress_mode()));
    assert_eq!(arriving.mode, Some(Mode::Generic));
    // With all other packets, the sums are those of the kernel. It counts what the filter
    // drops where it arrives, and does not count what the filter drops where it leaves.
    let since_start = |name, direction| {
        let [now, then] = [&snapshot, &start].map(|at| all(interface(at, name, direction)));
        now - then
    };
    let [lan_rx, wan_rx, wan_tx] = [0, 1, 2].map(|index| links[index] - links_at_start[index]);
    assert_eq!(lan_rx, since_start("wlan0", Direction::Out));
    assert_eq!(wan_rx, since_start("wan0", Direction::In));
    let forwarded = 2 * 20;
    let dropped = 2 * 3;
    assert_eq!(
        wan_tx,
        forwarded + since_start("wan0", Direction::Out) - dropped
    );

    flows_of_both_directions(lab);
    reloads_and_survives(&world, daemon);
}

/// The flows of the phone, of the gateway itself, and of answers: as `flows` and as the
/// report show them.
fn flows_of_both_directions(lab: &Lab) {
    let state = lab.directory.path().join("state");
    let shown = |command: &[&str]| -> Value {
        let output = lab.monitor(&[command, &["--state-dir", state.to_str().unwrap()]].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
    };
    let flows = shown(&["flows", "--json"]);
    let report = shown(&["report", "--since", "1h", "--format", "json"]);
    for shown in [&flows, &report] {
        let sum = |direction: &str, interface: &str, device: &str| -> u64 {
            let flows = shown["flows"].as_array().unwrap().iter();
            let found = flows.filter(|flow| {
                flow["direction"] == direction
                    && flow["interface"] == interface
                    && flow["device"] == device
                    && flow["destination"]
                        .as_str()
                        .is_some_and(|to| WATCHED.contains(&to))
                    && flow["port"] == PORT
            });
            found.map(|flow| flow["packets"].as_u64().unwrap()).sum()
        };
        assert_eq!(sum("out", "wlan0", PHONE_MAC), 2 * 20, "{shown:#}");
        assert_eq!(sum("out", "wan0", GATEWAY_MAC), 2 * 7, "{shown:#}");
        // All answers arrive at the WAN, where their device is not known. When an answer leaves
        // to the phone, the filter of the LAN adds it to the flow of the phone.
        let unknown = "00:00:00:00:00:00";
        assert_eq!(sum("in", "wan0", unknown), 2 * (20 + 7), "{shown:#}");
        assert_eq!(sum("in", "wlan0", PHONE_MAC), 2 * 20, "{shown:#}");
    }
    let html = lab.monitor(&[
        "report",
        "--since",
        "1h",
        "--format",
        "html",
        "--state-dir",
        state.to_str().unwrap(),
    ]);
    let html = text(&html.stdout);
    assert!(
        html.contains("Sums count what devices send."),
        "the report says what answers are"
    );
}

/// A reload, a trial that nobody confirms after the daemon was killed, and a detach change
/// all hooks together.
fn reloads_and_survives(world: &World, daemon: Daemon) {
    let lab = &world.lab;
    let generations = || {
        let snapshot = world.snapshot();
        let attached = snapshot.interfaces.iter().filter(|one| one.mode.is_some());
        attached.map(|one| one.generation).collect::<Vec<_>>()
    };
    assert_eq!(generations(), [Some(1); 3]);
    world.reload("count", &[]);
    assert_eq!(generations(), [Some(2); 3], "all hooks");
    let passes = |expected: u64, when: &str| {
        for from in [&lab.phone, &lab.gateway] {
            assert_eq!(ask(from, STOPPED[0], 3), expected, "{when}");
        }
    };
    passes(3, "a reload");

    world.reload("drop", &[]);
    world.reload("count", &["--confirm", "2s"]);
    daemon.kill();
    poll("the kernel goes back on all hooks", || {
        let left = world.snapshot().unconfirmed;
        left.is_some_and(|unconfirmed| unconfirmed.rolled_back)
    });
    passes(0, "a trial that nobody confirmed");
    let before = policy(&world.snapshot(), "stopped").matched.dropped.packets;
    passes(0, "no daemon");
    let after = policy(&world.snapshot(), "stopped").matched.dropped.packets;
    assert_eq!(after - before, 6, "the old generation counts");

    let detached = lab.monitor_inside(&["detach"]);
    assert!(detached.status.success(), "{}", text(&detached.stderr));
    assert!(!lab.pin_dir.exists());
    passes(3, "a detach");
}
