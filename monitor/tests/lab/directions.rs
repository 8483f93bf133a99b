//! Both directions, at an interface of each role: a phone, a gateway with NAT, and a host on
//! the internet. Every packet counts once, and the sums equal what was sent and received.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod clsact;
mod page;
mod replayed;
mod sums;
mod under_reloads;
pub(crate) mod world;

use crate::support;

use std::net::UdpSocket;

use monitor::{
    policy::Direction,
    snapshot::{Count, Mode, Snapshot, Verdicts},
};
use serde_json::Value;
use sums::{agree_with_the_kernel, both, dropped, passed, sum};
use support::lab::{Daemon, Lab, PHONE_MAC, poll, text};
use world::{
    GATEWAY, GATEWAY_MAC, OTHER, PORT, QUESTION, STOPPED, WATCHED, World, ask, ask_with,
    egress_mode, frames, interface, of_device, policy,
};

/// Payload of the datagrams that the gateway itself sends. Each sender has another length, so that
/// bytes that are counted in a wrong place show.
const OWN: &[u8] = &[b'o'; 1200];
/// Payload of the datagrams from the internet that are no answers.
const UNASKED: &[u8] = b"hello";

#[test]
fn every_packet_counts_once_in_its_direction() {
    counts_once(Mode::Generic);
}

#[test]
fn every_packet_counts_once_in_its_direction_in_native_mode() {
    counts_once(Mode::Native);
}

fn counts_once(mode: Mode) {
    let world = World::in_mode(&format!("directions-{}", mode.name()), mode);
    let daemon = world.start(&["--evidence", "flows", "--no-watch"]);
    let start = world.settled();
    send(&world);
    poll("all packets are counted", || {
        let stopped = policy(&world.snapshot(), "stopped").incoming;
        stopped.dropped.packets == 8
    });
    let end = world.settled();
    policies_count(&end.0);
    interfaces_count(&end.0, mode);
    let forwarded = [
        both(WATCHED, 20, QUESTION.len()),
        frames(OTHER, 6, QUESTION.len()),
    ];
    agree_with_the_kernel(&start, &end, sum(forwarded));

    flows_of_both_directions(&world.lab);
    reloads_and_survives(&world, daemon);
}

fn send(world: &World) {
    let (phone, gateway) = (&world.lab.phone, &world.lab.gateway);
    // The phone asks, by both families, and is answered.
    for address in WATCHED {
        assert_eq!(ask(phone, address, 20), 20, "{address}");
    }
    assert_eq!(ask(phone, OTHER, 6), 6);
    // Its packets to a dropped range do not arrive.
    for address in STOPPED {
        assert_eq!(ask(phone, address, 5), 0, "{address}");
    }
    // The gateway's own packets.
    for address in WATCHED {
        assert_eq!(ask_with(gateway, address, 7, OWN), 7, "{address}");
    }
    for address in STOPPED {
        assert_eq!(ask_with(gateway, address, 3, OWN), 0, "{address}");
    }
    for (address, payload, datagrams) in [
        (WATCHED[0], QUESTION, 20),
        (WATCHED[1], QUESTION, 20),
        (OTHER, QUESTION, 6),
        (WATCHED[0], OWN, 7),
        (WATCHED[1], OWN, 7),
    ] {
        assert_eq!(world.arrived.of(address, payload.len()), datagrams);
    }
    assert_eq!(world.arrived.all(), 2 * (20 + 7) + 6);
    // What nobody asked for.
    for (address, gateway) in STOPPED.into_iter().zip(GATEWAY) {
        world.internet.run(|| {
            let socket = UdpSocket::bind((address, 0)).unwrap();
            for _ in 0..4 {
                socket.send_to(UNASKED, (gateway, 9)).unwrap();
            }
        });
    }
}

fn policies_count(found: &Snapshot) {
    let watched = policy(found, "watched");
    let of_phone = both(WATCHED, 20, QUESTION.len());
    let own = both(WATCHED, 7, OWN.len());
    let of_both = passed(sum([of_phone, own]));
    assert_eq!((watched.matched, watched.incoming), (of_both, of_both));
    assert_eq!(of_device(watched, PHONE_MAC), passed(of_phone));
    assert_eq!(of_device(watched, GATEWAY_MAC), passed(own));
    assert_eq!(watched.other, Verdicts::default());
    let stopped = policy(found, "stopped");
    let of_phone = both(STOPPED, 5, QUESTION.len());
    let own = both(STOPPED, 3, OWN.len());
    let unasked = both(STOPPED, 4, UNASKED.len());
    assert_eq!(stopped.matched, dropped(sum([of_phone, own])));
    assert_eq!(stopped.incoming, dropped(unasked));
    assert_eq!(of_device(stopped, PHONE_MAC), dropped(of_phone));
    assert_eq!(of_device(stopped, GATEWAY_MAC), dropped(own));
    // The device of this drop is not known where answers arrive, so they pass.
    let of_another = policy(found, "of-another");
    let none = Verdicts::default();
    assert_eq!((of_another.matched, of_another.incoming), (none, none));
}

/// IPv4 has no other packets than those of this test. Of IPv6, neighbour discovery passes too.
fn interfaces_count(found: &Snapshot, mode: Mode) {
    let asked = |address, packets| frames(address, packets, QUESTION.len());
    let own = |address, packets| frames(address, packets, OWN.len());
    let unasked = |address| frames(address, 4, UNASKED.len());
    for (name, direction, mode, passes, drops) in [
        (
            "wlan0",
            Direction::Out,
            mode,
            sum([asked(WATCHED[0], 20), asked(OTHER, 6)]),
            STOPPED.map(|address| asked(address, 5)),
        ),
        (
            "wan0",
            Direction::Out,
            egress_mode(),
            own(WATCHED[0], 7),
            STOPPED.map(|address| own(address, 3)),
        ),
        (
            "wan0",
            Direction::In,
            mode,
            sum([asked(WATCHED[0], 20), asked(OTHER, 6), own(WATCHED[0], 7)]),
            STOPPED.map(unasked),
        ),
    ] {
        let one = interface(found, name, direction);
        assert_eq!(one.mode, Some(mode), "{name} {direction:?}");
        assert_eq!(one.ipv4.passed, passes, "{name} {direction:?}");
        // The gateway sends no error about its closed port: what nobody asked for is dropped.
        let found = [one.ipv4.dropped, one.ipv6.dropped];
        assert_eq!(found, drops, "{name} {direction:?}");
    }
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
        let total = |direction: &str, interface: &str, device: &str| {
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
            sum(found.map(|flow| {
                let [packets, bytes] = ["packets", "bytes"].map(|key| flow[key].as_u64().unwrap());
                Count { packets, bytes }
            }))
        };
        let of_phone = both(WATCHED, 20, QUESTION.len());
        let own = both(WATCHED, 7, OWN.len());
        assert_eq!(total("out", "wlan0", PHONE_MAC), of_phone, "{shown:#}");
        assert_eq!(total("out", "wan0", GATEWAY_MAC), own, "{shown:#}");
        // All answers arrive at the WAN, where their device is not known. When an answer leaves
        // to the phone, the filter of the LAN adds it to the flow of the phone.
        let unknown = "00:00:00:00:00:00";
        let answers = sum([of_phone, own]);
        assert_eq!(total("in", "wan0", unknown), answers, "{shown:#}");
        assert_eq!(total("in", "wlan0", PHONE_MAC), of_phone, "{shown:#}");
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
