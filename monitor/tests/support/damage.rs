//! Damages real frames as hostile senders and bad cables do.

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

use super::packets::{ARP, ETHERNET_HEADER, EXTENSIONS, IPV4, IPV6, PPPOE_SESSION, TPIDS};

/// Offset of the `EtherType` in a frame, in bytes. Tags are inserted here.
const ETHER_TYPE: usize = 12;

/// Number of bytes that contain all headers the program reads, and some more.
const HEADERS: usize = 160;

/// Longest frame, in bytes, that a test run passes to the program.
const LONGEST: usize = 3520;

/// Values of the `EtherType` that change how the program parses a frame. 0x8863
/// is PPPoE discovery; 0x26 is a length.
const ETHER_TYPES: [u16; 9] = [
    IPV4,
    IPV6,
    ARP,
    PPPOE_SESSION,
    0x8863,
    0x0026,
    0,
    0xffff,
    0x88cc,
];

/// All prefixes of a frame, up to the end of its headers.
pub(crate) fn truncations(frame: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..=frame.len().min(HEADERS)).map(|length| frame[..length].to_vec())
}

/// For each bit of the headers, the frame with this bit flipped.
pub(crate) fn flips(frame: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..frame.len().min(HEADERS) * 8).map(|bit| {
        let mut frame = frame.to_vec();
        frame[bit / 8] ^= 1 << (bit % 8);
        frame
    })
}

/// The frame with one to four kinds of damage.
pub(crate) fn damaged(random: &mut StdRng, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for _ in 0..random.random_range(1..=4) {
        damage(random, &mut frame);
    }
    frame.truncate(LONGEST);
    frame
}

fn damage(random: &mut StdRng, frame: &mut Vec<u8>) {
    match random.random_range(0..11) {
        0 => frame.truncate(random.random_range(0..=frame.len().min(HEADERS))),
        1 | 2 => flip(random, frame),
        3 => put_tags(random, frame),
        4 => put_session(random, frame),
        5 => put_type(random, frame),
        6 | 7 => put_extensions(random, frame),
        8 => put_options(random, frame),
        9 => put_protocol(random, frame),
        _ => put_fragment(random, frame),
    }
}

fn flip(random: &mut StdRng, frame: &mut [u8]) {
    for _ in 0..random.random_range(1..=3) {
        let bits = frame.len().min(HEADERS) * 8;
        if bits > 0 {
            let bit = random.random_range(0..bits);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// Inserts bytes, if the frame is long enough.
fn insert(frame: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if frame.len() >= at {
        frame.splice(at..at, bytes.iter().copied());
    }
}

fn write(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Inserts tags: usually a few, sometimes more than the program reads.
fn put_tags(random: &mut StdRng, frame: &mut Vec<u8>) {
    let depth = if random.random_bool(0.1) {
        random.random_range(27..=40)
    } else {
        random.random_range(1..=6)
    };
    for _ in 0..depth {
        let tpid = TPIDS.choose(random).unwrap().to_be_bytes();
        let [high, low] = random.random::<u16>().to_be_bytes();
        insert(frame, ETHER_TYPE, &[tpid[0], tpid[1], high, low]);
    }
}

/// Wraps the content of a frame in a PPPoE session, with a damaged header in
/// three of ten cases.
fn put_session(random: &mut StdRng, frame: &mut Vec<u8>) {
    let at = network(frame);
    let Some(ether_type) = frame.get(at.wrapping_sub(2)..at) else {
        return;
    };
    let protocol: u16 = match ether_type {
        [0x08, 0x00] => 0x0021,
        [0x86, 0xdd] => 0x0057,
        _ => random.random(),
    };
    let mut header = [0x11, 0, 0, 1, 0, 0, 0, 0];
    header[6..].copy_from_slice(&protocol.to_be_bytes());
    if random.random_bool(0.3) {
        header[random.random_range(0..8)] = random.random();
    }
    write(frame, at - 2, &PPPOE_SESSION.to_be_bytes());
    insert(frame, at, &header);
}

/// Changes the `EtherType` of the frame, or the one behind its tags.
fn put_type(random: &mut StdRng, frame: &mut [u8]) {
    let types = ETHER_TYPES.iter().chain(&TPIDS).copied();
    let types: Vec<u16> = types.collect();
    let place = if random.random() {
        ETHER_TYPE
    } else {
        network(frame) - 2
    };
    write(frame, place, &types.choose(random).unwrap().to_be_bytes());
}

/// Inserts IPv6 extension headers behind the fixed header: of every length,
/// some with a wrong length field, and some fragment headers.
fn put_extensions(random: &mut StdRng, frame: &mut Vec<u8>) {
    let at = packet(frame);
    let Some(&first) = frame.get(at + 6) else {
        return;
    };
    let numbers: Vec<u8> = EXTENSIONS
        .into_iter()
        .chain([44, 139, 140, 59, 50])
        .collect();
    let mut next = first;
    for _ in 0..random.random_range(1..=10) {
        let units: u8 = *[0, 0, 0, 1, 2, 31].choose(random).unwrap();
        let mut header = vec![0; (usize::from(units) + 1) * 8];
        header[0] = next;
        header[1] = if random.random_bool(0.8) {
            units
        } else {
            random.random()
        };
        if random.random_bool(0.2) {
            header[2..4].copy_from_slice(&random.random::<u16>().to_be_bytes());
        }
        insert(frame, at + 40, &header);
        next = *numbers.choose(random).unwrap();
    }
    write(frame, at + 6, &[next]);
}

/// Inserts IPv4 options, and perhaps sets a wrong header length.
fn put_options(random: &mut StdRng, frame: &mut Vec<u8>) {
    let at = packet(frame);
    let words: u8 = random.random_range(0..=10);
    insert(frame, at + 20, &vec![1; usize::from(words) * 4]);
    let claimed = if random.random_bool(0.7) {
        words + 5
    } else {
        random.random_range(0..16)
    };
    write(frame, at, &[0x40 | claimed]);
}

/// Changes the protocol field of IPv4 or IPv6.
fn put_protocol(random: &mut StdRng, frame: &mut [u8]) {
    let protocol = *[
        0, 1, 6, 17, 41, 43, 44, 47, 50, 51, 58, 59, 60, 132, 135, 255,
    ]
    .choose(random)
    .unwrap();
    let at = packet(frame);
    write(frame, at + if random.random() { 9 } else { 6 }, &[protocol]);
}

/// Sets the offset and flags of an IPv4 fragment.
fn put_fragment(random: &mut StdRng, frame: &mut [u8]) {
    let field = *[0, 1, 0x1fff, 0x2000, 0x2001, 0x4000, 0x8000, 0xffff_u16]
        .choose(random)
        .unwrap();
    write(frame, packet(frame) + 6, &field.to_be_bytes());
}

/// Offset of the first byte behind the tags.
fn network(frame: &[u8]) -> usize {
    let mut at = ETHERNET_HEADER;
    while let Some(&[high, low]) = frame.get(at - 2..at).and_then(|bytes| bytes.first_chunk())
        && TPIDS.contains(&u16::from_be_bytes([high, low]))
    {
        at += 4;
    }
    at
}

/// Offset of the IP packet: behind the tags and behind a PPPoE session.
fn packet(frame: &[u8]) -> usize {
    let at = network(frame);
    match frame.get(at - 2..at) {
        Some(kind) if kind == PPPOE_SESSION.to_be_bytes() => at + 8,
        _ => at,
    }
}
