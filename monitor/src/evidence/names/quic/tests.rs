use proptest::prelude::*;

use super::*;
use crate::evidence::names::tls::tests::{hello, post_quantum_share, sni};

mod client;
mod vectors;

pub(crate) use client::{Plain, crypto};

const V1: u32 = 1;
const V2: u32 = 0x6b33_43cf;
const DRAFT_29: u32 = 0xff00_001d;

const FIRST: &[u8] = &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 8];
const SECOND: &[u8] = &[0xf0, 0x67, 0xa5, 0x50];

/// Takes the datagrams and returns the server names that they tell.
fn names(datagrams: &[Vec<u8>]) -> Vec<String> {
    let mut connection = Connection::new();
    let take = |datagram: &Vec<u8>| connection.take(datagram).hello?.server_name;
    let names = datagrams.iter().filter_map(take);
    names.map(|name| String::from_utf8(name).unwrap()).collect()
}

/// A post-quantum hello, which needs two datagrams.
fn long_hello() -> Vec<u8> {
    hello(&[post_quantum_share(), sni(b"www.example.com")])
}

#[test]
fn the_packets_of_rfc_9001_and_rfc_9369_tell_their_name() {
    let mut frames = hex::decode(vectors::FRAME).unwrap();
    frames.resize(vectors::PAYLOAD, 0);
    for protected in [vectors::RFC_9001_A2, vectors::RFC_9369_A2] {
        let packet = Plain::new(&frames)
            .version(protected.version)
            .number(2)
            .encrypt();
        assert_eq!(packet.len(), 1200);
        let shown = hex::encode(&packet);
        assert!(shown.starts_with(protected.begin) && shown.ends_with(protected.end));
        assert!(may_hold_initial(&packet));
        assert_eq!(names(&[packet]), ["example.com"]);
    }
}

#[test]
fn the_answers_of_servers_tell_nothing() {
    for packet in [vectors::RFC_9001_A3, vectors::RFC_9369_A3] {
        let packet = hex::decode(packet).unwrap();
        let mut connection = Connection::new();
        let unopened = 1;
        assert_eq!(
            connection.take(&packet),
            Taken {
                unopened,
                ..Taken::default()
            }
        );
    }
}

#[test]
fn a_hello_in_two_packets_is_read_in_any_order_and_version() {
    let message = long_hello();
    let [a, b] = [
        crypto(&message, 0..1000),
        crypto(&message, 1000..message.len()),
    ];
    for version in [V1, V2, DRAFT_29] {
        let a = Plain::new(&a).version(version).encrypt();
        let b = Plain::new(&b).version(version).number(1).encrypt();
        let joined = [&a[..], &b].concat();
        for datagrams in [
            vec![a.clone(), b.clone()],
            vec![b.clone(), a.clone()],
            vec![b.clone(), b, a],
            vec![joined],
        ] {
            assert_eq!(names(&datagrams), ["www.example.com"], "{version:x}");
        }
    }
}

#[test]
fn frames_in_any_order_with_others_between_are_read() {
    let message = hello(&[sni(b"www.example.com")]);
    let middle = message.len() / 2;
    let acknowledgement = [2, 9, 0, 1, 2, 3, 4];
    let with_ecn = [3, 9, 0, 0, 2, 1, 1, 1];
    let frames = [
        &[0, 0, 1][..],
        &crypto(&message, middle..message.len()),
        &acknowledgement,
        &crypto(&message, 2..middle),
        &with_ecn,
        &[1, 0],
        &crypto(&message, 0..3),
    ];
    assert_eq!(
        names(&[Plain::new(&frames.concat()).encrypt()]),
        ["www.example.com"]
    );
}

#[test]
fn keys_stay_those_of_the_first_connection_id() {
    let message = long_hello();
    let a = Plain::new(&crypto(&message, 0..1000)).encrypt();
    let rest = crypto(&message, 1000..message.len());
    let b = Plain {
        destination: SECOND,
        ..Plain::new(&rest).number(1)
    }
    .encrypt();
    assert_eq!(names(&[a, b]), ["www.example.com"]);
}

#[test]
fn a_retry_replaces_the_keys_and_begins_again() {
    let message = long_hello();
    let first = Plain::new(&crypto(&message, 0..1000)).encrypt();
    let after_retry = |frames: &[u8], number| {
        let plain = Plain {
            keyed: SECOND,
            destination: SECOND,
            token: b"token",
            ..Plain::new(frames)
        };
        plain.number(number).encrypt()
    };
    let a = after_retry(&crypto(&message, 0..1000), 1);
    let b = after_retry(&crypto(&message, 1000..message.len()), 2);
    assert_eq!(names(&[first.clone(), a, b.clone()]), ["www.example.com"]);
    // The part from before the Retry does not count.
    assert_eq!(names(&[first, b]), [""; 0]);
}

#[test]
fn a_client_can_change_to_another_version() {
    let message = long_hello();
    let a = Plain::new(&crypto(&message, 0..1000)).encrypt();
    let rest = crypto(&message, 1000..message.len());
    let b = Plain {
        destination: SECOND,
        ..Plain::new(&rest).number(1).version(V2)
    }
    .encrypt();
    assert_eq!(names(&[a, b]), ["www.example.com"]);
}

#[test]
fn packet_numbers_are_completed() {
    let mut keys = Keys::opening(&initial(&Plain::new(&[1]).encrypt()), FIRST)
        .unwrap()
        .0;
    // The example of RFC 9000, appendix A.3.
    keys.highest = 0xa82f_30ea;
    assert_eq!(keys.full_number(&[0x9b, 0x32]), 0xa82f_9b32);
    keys.highest = 0xff;
    assert_eq!(keys.full_number(&[1]), 0x101);
    assert_eq!(keys.full_number(&[0xfe]), 0xfe);
    keys.highest = 0;
    assert_eq!(keys.full_number(&[0xff; 4]), 0xffff_ffff);
}

fn initial(packet: &[u8]) -> Initial<'_> {
    Packets(packet).next().unwrap().initial.unwrap()
}

#[test]
fn a_packet_behind_others_is_read() {
    let message = hello(&[sni(b"www.example.com")]);
    let frames = crypto(&message, 0..message.len());
    let initial = Plain::new(&frames).encrypt();
    // A 0-RTT and a Handshake packet, without their keys.
    let other = |kind: u8| [&[kind, 0, 0, 0, 1, 0, 0, 0x40, 3][..], &[9; 3]].concat();
    let datagram = [other(0xd0), other(0xe0), initial, vec![0; 200]].concat();
    assert_eq!(Packets(&datagram).count(), 3);
    assert_eq!(names(&[datagram]), ["www.example.com"]);
}

#[test]
fn other_datagrams_hold_no_initial_packet() {
    let initial = Plain::new(&[1]).encrypt();
    let changed = |index: usize, byte: u8| {
        let mut bytes = initial.clone();
        bytes[index] = byte;
        bytes
    };
    for (what, datagram) in [
        ("short header", changed(0, 0x43)),
        ("Retry", changed(0, 0xf3)),
        ("version negotiation", changed(4, 0)),
        ("unknown version", changed(4, 0x51)),
        ("long connection ID", changed(5, 21)),
        ("cut short", initial[..initial.len() - 1].to_vec()),
        (
            "DNS",
            b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01".to_vec(),
        ),
        ("empty", Vec::new()),
    ] {
        assert!(!may_hold_initial(&datagram), "{what}");
    }
    assert!(may_hold_initial(&initial));
}

#[test]
fn a_flood_of_fragments_finds_its_bounds() {
    let message = long_hello();
    let every_second = (0..1300)
        .step_by(2)
        .flat_map(|at| crypto(&message, at..at + 1));
    let packet = Plain::new(&every_second.collect::<Vec<u8>>()).encrypt();
    let mut connection = Connection::new();
    let taken = connection.take(&packet);
    assert_eq!(taken.lost, 650 - MAX_FRAGMENTS);
    assert_eq!(connection.crypto.count(), MAX_FRAGMENTS);

    let far = [
        &[6, 0x80, 0, 0x40, 0, 1, 9][..],
        &[6, 0xff],
        &[0xff; 7],
        &[1, 9],
    ]
    .concat();
    let taken = Connection::new().take(&Plain::new(&far).encrypt());
    assert_eq!((taken.lost, taken.unopened), (2, 0));
}

#[test]
fn a_datagram_makes_at_most_three_keys() {
    let message = hello(&[sni(b"www.example.com")]);
    let good = Plain::new(&crypto(&message, 0..message.len())).encrypt();
    let other = |id: u8| {
        Plain {
            destination: &[id; 8],
            ..Plain::new(&[1])
        }
        .encrypt()
    };
    for (others, name) in [(2, Some(&b"www.example.com"[..])), (3, None)] {
        let datagram = [(0..others).flat_map(other).collect(), good.clone()].concat();
        let mut connection = Connection::new();
        let taken = connection.take(&datagram);
        let found = taken.hello.and_then(|hello| hello.server_name);
        assert_eq!(found.as_deref(), name);
        assert_eq!(connection.new_keys, if name.is_some() { 0 } else { 3 });
        assert_eq!(
            taken.unopened,
            u32::from(others) + u32::from(name.is_none())
        );
    }
}

#[test]
fn a_damaged_packet_of_a_known_connection_makes_no_keys() {
    let packet = Plain::new(&[1]).encrypt();
    let mut damaged = packet.clone();
    damaged[40] ^= 1;
    let mut connection = Connection::new();
    assert_eq!(connection.take(&packet), Taken::default());
    assert_eq!(connection.new_keys, 1);
    assert_eq!(connection.take(&damaged).unopened, 1);
    assert_eq!(connection.new_keys, 0);
}

#[test]
fn a_connection_without_a_hello_ends() {
    let packet = Plain::new(&crypto(&long_hello(), 0..500)).encrypt();
    let mut connection = Connection::new();
    for _ in 1..MAX_DATAGRAMS {
        assert_eq!(connection.take(&packet), Taken::default());
        assert!(!connection.is_done() && connection.is_unfinished());
    }
    assert!(connection.take(&packet).unfinished);
    assert!(connection.is_done() && connection.held() == 0);
}

#[test]
fn another_message_than_a_hello_is_malformed() {
    let packet = Plain::new(&crypto(&[2, 0, 0, 1, 0], 0..5)).encrypt();
    let mut connection = Connection::new();
    assert!(connection.take(&packet).malformed && connection.is_done());
}

proptest! {
    #[test]
    fn no_datagram_panics(
        begin in prop::sample::select(vec![&[][..], &[0xc0, 0, 0, 0, 1, 8], &[0xd0, 0x6b, 0x33, 0x43, 0xcf]]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = Connection::new().take(&[begin, &bytes].concat());
    }

    #[test]
    fn no_frames_panic_or_exceed_the_bounds(frames in prop::collection::vec(0u8..8, 0..600)) {
        let mut connection = Connection::new();
        let taken = connection.take(&Plain::new(&frames).encrypt());
        prop_assert_eq!(taken.unopened, 0);
        prop_assert!(connection.held() <= MAX_BYTES);
        prop_assert!(connection.crypto.count() <= MAX_FRAGMENTS);
    }

    #[test]
    fn every_split_of_a_hello_is_read(
        cuts in prop::collection::vec(1..1500usize, 0..20),
        order in any::<u64>(),
    ) {
        let message = long_hello();
        let mut ends: Vec<usize> = cuts.into_iter().filter(|cut| *cut < message.len()).collect();
        ends.extend([0, message.len()]);
        ends.sort_unstable();
        let mut parts: Vec<_> = ends.windows(2).map(|pair| crypto(&message, pair[0]..pair[1])).collect();
        let shift = usize::try_from(order % parts.len() as u64).unwrap();
        parts.rotate_left(shift);
        let (a, b) = parts.split_at(parts.len() / 2);
        let datagrams = [Plain::new(&a.concat()).encrypt(), Plain::new(&b.concat()).number(1).encrypt()];
        prop_assert_eq!(names(&datagrams), ["www.example.com"]);
    }
}
