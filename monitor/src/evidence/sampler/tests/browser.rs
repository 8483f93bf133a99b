//! What a browser really sends: a post-quantum `ClientHello` over TLS and over QUIC.

use super::*;

const NAME_FIRST: &[u8] = include_bytes!("../../../../tests/data/chromium-156/tls-name-first.bin");
const SHARE_FIRST: &[u8] =
    include_bytes!("../../../../tests/data/chromium-156/tls-share-first.bin");
const QUIC: [&[u8]; 2] = [
    include_bytes!("../../../../tests/data/chromium-156/quic-1.bin"),
    include_bytes!("../../../../tests/data/chromium-156/quic-2.bin"),
];

/// Sizes of TCP segments: from the least that IPv4 hosts must accept (RFC 9293, section 3.7.1)
/// to the whole message.
fn sizes(message: &[u8]) -> impl Iterator<Item = usize> {
    536..=message.len()
}

fn segments(message: &[u8], size: usize) -> Vec<Sample<'_>> {
    // The sequence number passes zero within the message.
    let begin = u32::MAX - 700;
    let parts = message.chunks(size).enumerate();
    parts
        .map(|(at, part)| segment(begin.wrapping_add(u32::try_from(at * size).unwrap()), part))
        .collect()
}

#[test]
fn its_hello_is_read_in_segments_of_every_size_and_in_reverse_order() {
    let expected = one(NameSource::Sni, "phone.example");
    for message in [NAME_FIRST, SHARE_FIRST] {
        // More than a packet of Ethernet holds.
        assert!(message.len() > 1_460);
        for size in sizes(message) {
            let mut segments = segments(message, size);
            assert_eq!(names(&segments), expected, "{size}");
            segments.reverse();
            assert_eq!(names(&segments), expected, "{size}, reversed");
        }
        for cut in 1..message.len() {
            let (a, b) = message.split_at(cut);
            let (a, b) = (segment(0, a), segment(u32::try_from(cut).unwrap(), b));
            assert_eq!(names(&[a, b]), expected, "{cut}");
            assert_eq!(names(&[b, a]), expected, "{cut}, reversed");
        }
    }
}

#[test]
fn its_hello_without_a_segment_has_no_name() {
    for message in [NAME_FIRST, SHARE_FIRST] {
        let segments = segments(message, 536);
        for missing in 0..segments.len() {
            let mut rest = segments.clone();
            rest.remove(missing);
            assert_eq!(names(&rest), [], "{missing}");
        }
    }
}

#[test]
fn its_quic_hello_is_read_in_both_orders_and_needs_both_datagrams() {
    let [a, b] = QUIC.map(datagram);
    let expected = one(NameSource::Quic, "phone.example");
    assert_eq!(names(&[a, b]), expected);
    assert_eq!(names(&[b, a]), expected);
    assert_eq!(names(&[a, a, b]), expected);
    assert_eq!(names(&[a]), []);
    assert_eq!(names(&[b]), []);
}
