//! `monitor replay --direction in` on the frames that the filter of the WAN counts.

use std::{fs, process::Command};

use monitor::snapshot::{Mode, Verdicts};
use serde_json::Value;

use super::{
    sums::sum,
    world::{OTHER, STOPPED, WATCHED, World, policy},
};
use crate::support::{
    captures::{plain_pcap, whole},
    lab::{binary, poll, text},
    packets::{Builder, Transport, answer, to},
    raw::RawSocket,
};

/// The first policy matches all answers, and the last one none: their device is not known.
const POLICIES: &str = "version: 1
policies:
  - {name: every, action: count, destinations: [198.18.0.0/16, '2001:db8:51::/48', '2001:db8:52::/48']}
  - {name: stopped, action: drop, destinations: [198.18.2.0/24, '2001:db8:52::/48']}
  - {name: spared, action: allow, destinations: [198.18.2.0/24, '2001:db8:52::/48'], services: [tcp/443]}
  - {name: wan, action: drop, destinations: [198.18.3.10], interfaces: [wan0], services: [icmp]}
  - {name: of-a-device, action: drop, destinations: [198.18.0.0/16], devices: ['64:cc:2e:11:22:33']}
";

#[test]
fn a_replay_says_what_the_filter_counted() {
    says_what_the_filter_counts(Mode::Generic);
}

#[test]
fn a_replay_says_what_the_filter_counted_in_native_mode() {
    says_what_the_filter_counts(Mode::Native);
}

fn says_what_the_filter_counts(mode: Mode) {
    let world = World::in_mode(&format!("replayed-{}", mode.name()), mode);
    world.lab.write_policies(POLICIES);
    let _daemon = world.start(&["--no-watch"]);
    let frames = answers();
    let internet = RawSocket::sender(&world.internet, "eth0");
    for frame in &frames {
        internet.send(frame);
    }
    let all = u64::try_from(frames.len()).unwrap();
    poll("all answers are counted", || {
        policy(&world.snapshot(), "every").incoming.packets() == all
    });
    let report = replay(&world, &frames);
    let found = world.snapshot();
    for policy in &found.policies {
        let Verdicts { passed, dropped } = policy.incoming;
        let both = sum([passed, dropped]);
        let replayed = &report["policies"][&policy.name];
        let replayed = ["packets", "bytes", "dropped"].map(|key| replayed[key].as_u64().unwrap());
        let counted = [both.packets, both.bytes, dropped.packets];
        assert_eq!(replayed, counted, "{}", policy.name);
        let is_matched = policy.name != "of-a-device";
        assert_eq!(both.packets > 0, is_matched, "{}", policy.name);
    }
}

/// Answers of all kinds. Their destination MAC is not that of the gateway, so nothing follows.
fn answers() -> Vec<Vec<u8>> {
    let layers: [fn(Builder) -> Builder; 4] = [
        |packet| packet,
        |packet| packet.tags(&[0x8100]),
        Builder::pppoe,
        |packet| packet.tags(&[0x88a8, 0x8100]).pppoe(),
    ];
    let mut frames = Vec::new();
    for far_end in WATCHED.into_iter().chain(STOPPED).chain([OTHER]) {
        for transport in [
            Transport::Tcp(443),
            Transport::Udp(53),
            Transport::EchoRequest,
        ] {
            for layer in layers {
                let payload = vec![0xa5; 1 + frames.len()];
                let question = to(far_end).transport(transport).payload(&payload);
                frames.push(answer(layer(question).build()));
            }
        }
    }
    frames
}

fn replay(world: &World, frames: &[Vec<u8>]) -> Value {
    let capture = world.lab.directory.path().join("answers.pcap");
    let frames: Vec<_> = frames.iter().map(|frame| whole(frame)).collect();
    fs::write(&capture, plain_pcap(&frames)).unwrap();
    let output = Command::new(binary())
        .args(["replay", "--direction", "in", "--interface", "wan0"])
        .args(["--json", "--policies"])
        .args([&world.lab.policies(), &capture])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
