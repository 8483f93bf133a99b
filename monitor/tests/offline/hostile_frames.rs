//! Hostile frames: real and generated ones, damaged. The kernel program and the
//! reference model must agree on each.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    collections::BTreeMap,
    env,
    net::IpAddr,
    time::{Duration, Instant},
};

use monitor::{capture::Capture, datapath::FrameOutcome, policy::Action};
use monitor_common::Reason;
use rand::seq::IndexedRandom as _;
use support::{
    damage::{damaged, flips, truncations},
    data,
    generate::generator,
    kernel::{INTERFACE, Pair},
    packets::{Fragment, TPIDS, Transport, to},
    reference::{Block, Change, Entry, Packet, Policy, parse, width},
    scope::{Device, Scope, Service},
};

/// Number of frames read from each capture. Frames of one shape are similar.
const READ: usize = 20_000;
/// Number of frames kept of each shape.
const KEPT: usize = 2;

/// Number of damaged frames in a round. Their senders must be fewer than the
/// device table holds.
const ROUND: usize = 5_000;
/// Number of rounds, unless `MONITOR_FUZZ_SECONDS` is set.
const ROUNDS: usize = 20;

/// Truncates the frames at each byte, and flips each bit of the headers.
#[test]
fn every_beginning_and_every_turned_bit() {
    let frames = frames();
    let mut seen = Seen::default();
    for frame in frames.iter().step_by(frames.len().div_ceil(40)) {
        let mut pair = Pair::new(policies(&frames));
        for damaged in truncations(frame).chain(flips(frame)) {
            seen.add(&pair.compare(&damaged));
        }
        pair.check_cells();
    }
    // A single flipped bit cannot produce 29 tags.
    seen.print_and_check(Reason::ALL.len() - 1);
}

/// Tags, sessions, types, extension headers, options, fragments and turned bits,
/// mixed at random.
#[test]
fn damaged_real_frames() {
    let frames = frames();
    let mut random = generator();
    let mut seen = Seen::default();
    let mut rounds = rounds();
    while rounds() {
        let mut pair = Pair::new(policies(&frames));
        for _ in 0..ROUND {
            let frame = frames.choose(&mut random).unwrap();
            seen.add(&pair.compare(&damaged(&mut random, frame)));
        }
        pair.check_cells();
    }
    seen.print_and_check(Reason::ALL.len());
}

/// The number of frames for each outcome.
#[derive(Default)]
struct Seen {
    /// By reason, and true for dropped frames.
    unparsed: BTreeMap<(Reason, bool), u64>,
    /// By the number of matching policies, and true for dropped frames.
    parsed: BTreeMap<(usize, bool), u64>,
}

impl Seen {
    fn add(&mut self, outcome: &FrameOutcome) {
        let count = match outcome {
            FrameOutcome::Unparsed { reason, dropped } => {
                self.unparsed.entry((*reason, *dropped)).or_default()
            }
            FrameOutcome::Parsed { matched, dropped } => {
                self.parsed.entry((matched.len(), *dropped)).or_default()
            }
        };
        *count += 1;
    }

    /// Prints the outcomes, and asserts that there are several, because
    /// otherwise the damage would show nothing.
    fn print_and_check(&self, reasons: usize) {
        println!("not parsed (reason, dropped): {:?}", self.unparsed);
        println!("parsed (policies that matched, dropped): {:?}", self.parsed);
        let executions: u64 = self.unparsed.values().chain(self.parsed.values()).sum();
        println!("executions: {executions}");
        assert_eq!(self.unparsed.len(), reasons);
        let ways = self.parsed.keys();
        assert!(ways.filter(|(_, dropped)| *dropped).count() > 1);
        assert!(self.parsed.keys().filter(|(_, dropped)| !dropped).count() > 1);
    }
}

/// Returns a function that is true as long as there is another round: for the
/// requested time, or else a fixed number of rounds.
fn rounds() -> impl FnMut() -> bool {
    let seconds = env::var("MONITOR_FUZZ_SECONDS").ok();
    let end = seconds.map(|text| Instant::now() + Duration::from_secs(text.parse().unwrap()));
    let mut left = ROUNDS;
    move || {
        if let Some(end) = end {
            return Instant::now() < end;
        }
        left = left.wrapping_sub(1);
        left < ROUNDS
    }
}

/// Generated frames, and some frames of each shape from the real captures.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = built();
    let Some(folder) = data::folder() else {
        return frames;
    };
    let captures = data::expectations(&folder);
    for capture in captures.iter().filter(|capture| capture.is_ethernet()) {
        let read = Capture::open(&capture.path(&folder)).unwrap().take(READ);
        let mut kept: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for frame in read {
            let frame = frame.unwrap().data;
            let of_shape = kept.entry(shape(&frame)).or_default();
            if *of_shape < KEPT {
                *of_shape += 1;
                frames.push(frame);
            }
        }
    }
    println!("{} frames to begin with", frames.len());
    frames
}

/// Type, version, header length and protocol, as far as there are any.
fn shape(frame: &[u8]) -> Vec<u8> {
    let packet = parse(frame).ok();
    let service = packet.and_then(|packet| packet.service);
    let mut shape: Vec<u8> = frame.iter().skip(12).take(3).copied().collect();
    shape.extend(frame.get(20));
    shape.extend(frame.get(23));
    shape.extend(service.map(|(protocol, _)| protocol));
    shape.push(u8::from(packet.is_some()));
    shape
}

fn built() -> Vec<Vec<u8>> {
    let each = ["198.51.100.7", "2001:db8:42::7"]
        .into_iter()
        .flat_map(|destination| {
            let packet = || to(destination).transport(Transport::Tcp(443));
            [
                packet().build(),
                packet().tags(&TPIDS[..2]).build(),
                packet().pppoe().build(),
                packet().tags(&TPIDS).pppoe().options(3).build(),
                packet().extensions(&[0, 43, 60, 51, 135]).build(),
                packet().extensions(&[0]).fragment(Fragment::First).build(),
                packet().fragment(Fragment::Later(9)).build(),
                to(destination).transport(Transport::EchoRequest).build(),
            ]
        });
    each.collect()
}

/// Policies of every kind about where these frames go and come from.
fn policies(frames: &[Vec<u8>]) -> Vec<Policy> {
    let mut packets: Vec<Packet> = frames
        .iter()
        .filter_map(|frame| parse(frame).ok())
        .collect();
    packets.sort_by_key(|packet| (packet.destination, packet.source));
    let third = |from: usize| packets.iter().skip(from).step_by(3);
    let blocks = |from: usize, v4, v6| {
        let each = third(from).map(|packet| around(packet.destination, v4, v6));
        each.take(100).collect::<Vec<_>>()
    };
    let everything = ["0.0.0.0/0", "::/0"].map(|block| block.parse().unwrap());
    let services = vec![Service::Tcp(1, 1023), Service::Udp(53, 53), Service::Icmp];
    let macs = third(1)
        .map(|packet| Device::Mac(packet.source, 48))
        .take(20);
    let senders = third(2)
        .map(|packet| Device::Address(around(packet.sender, 32, 128)))
        .take(20);
    let on = Device::Interface("br-lan".to_owned());
    let scope = Scope::default;
    vec![
        policy("everything", Action::Count, everything.to_vec(), scope()),
        policy("networks", Action::Drop, blocks(0, 24, 48), scope()),
        policy(
            "wide",
            Action::Drop,
            blocks(1, 16, 32),
            Scope {
                services,
                ..scope()
            },
        ),
        policy(
            "hosts",
            Action::Allow,
            blocks(0, 32, 128),
            Scope {
                devices: macs.collect(),
                ..scope()
            },
        ),
        policy(
            "senders",
            Action::Drop,
            blocks(2, 20, 64),
            Scope {
                devices: senders.collect(),
                except_devices: vec![on.clone()],
                ..scope()
            },
        ),
        policy(
            "pings",
            Action::Count,
            everything.to_vec(),
            Scope {
                services: vec![Service::Icmp],
                interfaces: vec![INTERFACE.to_owned()],
                ..scope()
            },
        ),
        policy(
            "elsewhere",
            Action::Drop,
            blocks(0, 24, 48),
            Scope {
                devices: vec![on],
                ..scope()
            },
        ),
    ]
}

fn policy(name: &str, action: Action, mut blocks: Vec<Block>, scope: Scope) -> Policy {
    blocks.sort_unstable();
    blocks.dedup();
    let entry = |block| Entry {
        block,
        except: Vec::new(),
    };
    Policy {
        derive: Some(&[]),
        allow_handshake: false,
        name: name.to_owned(),
        action,
        entries: blocks.into_iter().map(entry).collect(),
        scope,
        change: Change::default(),
    }
}

/// The block of this length that an address is in.
fn around(address: IpAddr, v4: u32, v6: u32) -> Block {
    let length = if address.is_ipv4() { v4 } else { v6 };
    let block = Block {
        address,
        length: length.min(width(address)),
    };
    Block {
        address: block.first(),
        ..block
    }
}
