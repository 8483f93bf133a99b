//! Mutations for the bounded run. They are deterministic.

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

/// The most bytes of a mutation.
const LONGEST: usize = 64 * 1024;

/// Numbers at which errors in lengths and offsets show.
const NUMBERS: [u64; 12] = [
    0,
    1,
    4,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

/// Bytes with a meaning in the text formats.
const MEANINGFUL: &[u8] = b"\0\n\r\t \"'#&*,-./:;<=>[]{}|%0159azAZ\x7f\x80\xc3\xff";

/// Returns one of `seeds`, changed in a few places. It may insert a whole token.
pub fn mutation(random: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds.choose(random).cloned().unwrap_or_default();
    for _ in 0..random.random_range(1..=6) {
        change(random, &mut bytes, seeds);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(random: &mut StdRng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = random.random_range(0..=bytes.len());
    let rest = bytes.len() - at;
    match random.random_range(0..9) {
        0 => bytes.truncate(at),
        1 if rest > 0 => bytes[at] ^= 1 << random.random_range(0..8),
        2 if rest > 0 => bytes[at] = random.random(),
        3 => bytes.insert(at, *MEANINGFUL.choose(random).unwrap_or(&0)),
        4 => {
            let length = random.random_range(0..=rest.min(64));
            bytes.drain(at..at + length);
        }
        // Duplicate a part: an item that may occur once occurs twice.
        5 => {
            let length = random.random_range(0..=rest.min(256));
            let part = bytes[at..at + length].to_vec();
            bytes.splice(at..at, part);
        }
        6 => {
            let number = NUMBERS.choose(random).copied().unwrap_or_default();
            write_number(random, &mut bytes[at..], number);
        }
        7 if rest > 0 => bytes[at] = *MEANINGFUL.choose(random).unwrap_or(&0),
        // Insert a part of another seed.
        _ => {
            let other = seeds.choose(random).map_or(&[][..], Vec::as_slice);
            let from = random.random_range(0..=other.len());
            let length = random.random_range(0..=(other.len() - from).min(256));
            bytes.splice(at..at, other[from..from + length].iter().copied());
        }
    }
}

/// Overwrites bytes by a number, in one of several widths and byte orders.
fn write_number(random: &mut StdRng, place: &mut [u8], number: u64) {
    let width = *[1, 2, 4, 8].choose(random).unwrap_or(&1);
    let Some(place) = place.get_mut(..width) else {
        return;
    };
    if random.random() {
        place.copy_from_slice(&number.to_le_bytes()[..width]);
    } else {
        place.copy_from_slice(&number.to_be_bytes()[8 - width..]);
    }
}
