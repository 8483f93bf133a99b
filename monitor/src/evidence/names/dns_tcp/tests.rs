use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn key(device: u8, client_port: u16) -> StreamKey {
    StreamKey {
        device: MacAddress([2, 0, 0, 0, 0, device]),
        server: IpAddr::from([192, 0, 2, 53]),
        client_port,
        server_port: 53,
    }
}

fn after(seconds: i64) -> Timestamp {
    NOW + SignedDuration::from_secs(seconds)
}

/// Returns the bytes of an answer of `length` bytes. All answers of `number` are the same.
fn answer(number: u8, length: usize) -> Vec<u8> {
    let mut message = vec![number, number, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    message.extend((12..length).map(|place| u8::try_from(place % 251).unwrap() ^ number));
    message
}

fn with_length(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    [&length.to_be_bytes(), message].concat()
}

fn segment(sequence: u32, payload: &[u8]) -> Segment<'_> {
    Segment {
        sequence,
        payload,
        cut: false,
    }
}

fn take(streams: &mut DnsStreams, sequence: u32, payload: &[u8]) -> Vec<Vec<u8>> {
    let messages = streams.take(key(1, 4000), segment(sequence, payload), NOW);
    assert!(messages.iter().all(|message| !message.cut));
    messages.into_iter().map(|message| message.bytes).collect()
}

#[test]
fn one_segment_holds_several_messages() {
    let mut streams = DnsStreams::default();
    let messages = [answer(1, 40), answer(2, 300), answer(3, 12)];
    let payload: Vec<u8> = messages.iter().flat_map(|m| with_length(m)).collect();
    assert_eq!(take(&mut streams, 7, &payload), messages);
    assert_eq!(streams.losses(), StreamLosses::default());
}

#[test]
fn the_length_may_come_in_a_segment_of_its_own_or_later() {
    let message = answer(1, 100);
    let payload = with_length(&message);
    let mut streams = DnsStreams::default();
    assert!(take(&mut streams, 10, &payload[..2]).is_empty());
    assert_eq!(take(&mut streams, 12, &payload[2..]), [message.as_slice()]);
    let mut streams = DnsStreams::default();
    assert!(take(&mut streams, 12, &payload[2..]).is_empty());
    assert_eq!(take(&mut streams, 10, &payload[..2]), [message]);
}

#[test]
fn sequence_numbers_may_wrap_around() {
    let message = answer(1, 100);
    let payload = with_length(&message);
    let mut streams = DnsStreams::default();
    let start = u32::MAX - 49;
    assert!(take(&mut streams, 30, &payload[80..]).is_empty());
    assert!(take(&mut streams, start, &payload[..50]).is_empty());
    assert_eq!(take(&mut streams, 0, &payload[50..80]), [message]);
}

#[test]
fn a_retransmission_changes_nothing_and_its_first_copy_counts() {
    let message = answer(1, 100);
    let payload = with_length(&message);
    let mut streams = DnsStreams::default();
    assert!(take(&mut streams, 0, &payload[..60]).is_empty());
    assert!(take(&mut streams, 20, &[0xff; 40]).is_empty());
    assert_eq!(take(&mut streams, 60, &payload[60..]), [message]);
    assert!(take(&mut streams, 0, &payload).is_empty());
    let next = answer(2, 50);
    assert_eq!(take(&mut streams, 102, &with_length(&next)), [next]);
}

#[test]
fn whole_messages_may_come_in_any_order() {
    let messages: Vec<_> = (1..=5).map(|number| answer(number, 60)).collect();
    let parts: Vec<_> = messages.iter().map(|m| with_length(m)).collect();
    for order in [
        [4, 3, 2, 1, 0],
        [4, 2, 0, 1, 3],
        [2, 4, 0, 3, 1],
        [1, 0, 4, 2, 3],
    ] {
        let mut streams = DnsStreams::default();
        let mut found: Vec<_> = order
            .iter()
            .flat_map(|part| take(&mut streams, 62 * part, &parts[*part as usize]))
            .collect();
        found.sort();
        assert_eq!(found, messages, "{order:?}");
    }
}

#[test]
fn a_copy_that_is_cut_gives_the_beginning_and_the_next_message_is_found() {
    let message = answer(1, 9000);
    let payload = with_length(&message);
    let mut streams = DnsStreams::default();
    let cut = Segment {
        sequence: 0,
        payload: &payload[..4096],
        cut: true,
    };
    let found = streams.take(key(1, 4000), cut, NOW);
    let beginning = StreamMessage {
        bytes: message[..4094].to_vec(),
        cut: true,
    };
    assert_eq!(found, [beginning]);
    let next = answer(2, 80);
    assert_eq!(take(&mut streams, 9002, &with_length(&next)), [next]);
    assert_eq!(streams.losses().cut, 1);
}

#[test]
fn a_message_longer_than_the_room_gives_its_beginning() {
    let message = answer(1, 60_000);
    let payload = with_length(&message);
    let mut streams = DnsStreams::default();
    let mut found = Vec::new();
    for (number, part) in payload.chunks(1400).enumerate() {
        let sequence = u32::try_from(number * 1400).unwrap();
        found.extend(streams.take(key(1, 4000), segment(sequence, part), NOW));
    }
    let beginning = StreamMessage {
        bytes: message[..MAX_BYTES - 2].to_vec(),
        cut: true,
    };
    assert_eq!(found, [beginning]);
    let next = answer(2, 80);
    assert_eq!(take(&mut streams, 60_002, &with_length(&next)), [next]);
}

#[test]
fn a_lost_segment_costs_only_its_message() {
    let first = with_length(&answer(1, 3000));
    let next = answer(2, 80);
    let mut streams = DnsStreams::default();
    assert!(take(&mut streams, 0, &first[..1400]).is_empty());
    assert!(take(&mut streams, 2800, &first[2800..]).is_empty());
    assert!(take(&mut streams, 3002, &with_length(&next)).is_empty());
    let again = answer(3, 80);
    let bytes = with_length(&again);
    let found = streams.take(key(1, 4000), segment(3084, &bytes), after(3));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].bytes, again);
    assert_eq!(streams.losses().unfinished, 1);
}

#[test]
fn another_connection_with_the_same_ports_begins_anew() {
    let mut streams = DnsStreams::default();
    let first = answer(1, 80);
    assert_eq!(take(&mut streams, 5, &with_length(&first)), [first]);
    let second = answer(2, 80);
    assert_eq!(take(&mut streams, 1 << 30, &with_length(&second)), [second]);
}

#[test]
fn a_device_removes_only_its_own_streams() {
    let mut streams = DnsStreams::default();
    let half = with_length(&answer(1, 80));
    for port in 0..8 {
        streams.take(key(1, port), segment(0, &half[..40]), NOW);
    }
    for port in 0..1000 {
        streams.take(key(2, port), segment(0, &half[..40]), after(1));
    }
    assert_eq!(streams.len(), 2 * MAX_STREAMS_OF_DEVICE);
    for port in 0..8 {
        let found = streams.take(key(1, port), segment(40, &half[40..]), after(2));
        assert_eq!(found.len(), 1);
    }
    assert_eq!(streams.losses().unfinished, 992);
}

#[test]
fn the_device_with_the_most_streams_makes_room() {
    let mut streams = DnsStreams::default();
    let half = with_length(&answer(1, 80));
    for port in 0..8 {
        streams.take(key(0, port), segment(0, &half[..40]), NOW);
    }
    for device in 1..=200 {
        streams.take(key(device, 1), segment(0, &half[..40]), after(1));
        assert!(streams.len() <= MAX_STREAMS);
    }
    assert_eq!(streams.len(), MAX_STREAMS);
    streams.take(key(201, 1), segment(0, &half[..40]), after(60));
    assert_eq!(streams.len(), 1);
    streams.forget(key(201, 1).device);
    assert!(streams.is_empty());
}

/// Lengths of messages, then parts of the stream in the order of arrival.
fn parts() -> impl Strategy<Value = (Vec<usize>, Vec<(usize, usize)>)> {
    let lengths = proptest::collection::vec(12_usize..600, 1..5);
    lengths.prop_flat_map(|lengths| {
        let total: usize = lengths.iter().map(|length| length + 2).sum();
        let cuts = proptest::collection::btree_set(1..total, 0..12);
        let order = cuts.prop_flat_map(move |cuts| {
            let ends = cuts.iter().copied().chain([total]);
            let begins = [0].into_iter().chain(cuts.iter().copied());
            let parts: Vec<(usize, usize)> = begins.zip(ends).collect();
            let twice = [parts.clone(), parts].concat();
            Just(twice).prop_shuffle()
        });
        (Just(lengths), order)
    })
}

proptest! {
    #[test]
    fn segments_in_any_order_give_each_message((lengths, parts) in parts(), start: u32) {
        let messages: Vec<Vec<u8>> =
            (1..).zip(&lengths).map(|(number, length)| answer(number, *length)).collect();
        let stream: Vec<u8> = messages.iter().flat_map(|m| with_length(m)).collect();
        let mut streams = DnsStreams::default();
        let mut found = Vec::new();
        for (begin, end) in parts {
            let sequence = start.wrapping_add(u32::try_from(begin).unwrap());
            found.extend(take(&mut streams, sequence, &stream[begin..end]));
        }
        // A retransmission of bytes behind a gap may give a message twice.
        found.sort();
        found.dedup();
        prop_assert_eq!(found, messages);
        prop_assert_eq!(streams.losses(), StreamLosses::default());
    }

    #[test]
    fn no_segments_exceed_the_bounds(
        segments in proptest::collection::vec(
            (0_u8..4, 0_u16..20, 0_u32..40_000, proptest::collection::vec(any::<u8>(), 0..3000), any::<bool>()),
            1..60,
        ),
    ) {
        let mut streams = DnsStreams::default();
        for (device, port, sequence, payload, cut) in segments {
            let segment = Segment { sequence, payload: &payload, cut };
            let found = streams.take(key(device, port % 3), segment, NOW);
            prop_assert!(found.iter().all(|message| message.bytes.len() <= MAX_BYTES));
            prop_assert!(streams.len() <= MAX_STREAMS);
            prop_assert!(streams.streams.values().all(Stream::is_within_bounds));
        }
    }
}
