use proptest::prelude::*;

use super::*;

/// Length of the key share X25519MLKEM768, in bytes: 1,184 of ML-KEM-768 and 32 of X25519.
const POST_QUANTUM_SHARE: usize = 1216;

/// Returns an extension with its type and length.
pub(crate) fn extension_bytes(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [&kind.to_be_bytes()[..], &length.to_be_bytes(), content].concat()
}

/// Returns the extension `server_name` with one host name.
pub(crate) fn sni(name: &[u8]) -> Vec<u8> {
    let length = u16::try_from(name.len()).unwrap();
    let list = [
        &(length + 3).to_be_bytes()[..],
        &[0],
        &length.to_be_bytes(),
        name,
    ]
    .concat();
    extension_bytes(SERVER_NAME, &list)
}

/// Returns an outer ECH extension with a payload of 144 bytes.
pub(crate) fn ech(config_id: u8) -> Vec<u8> {
    let begin = [0, 0, 1, 0, 1, config_id, 0, 32];
    let content = [&begin[..], &[7; 32], &[0, 144], &[9; 144]].concat();
    extension_bytes(ENCRYPTED_CLIENT_HELLO, &content)
}

/// Returns the extension `key_share` with an X25519MLKEM768 share.
pub(crate) fn post_quantum_share() -> Vec<u8> {
    let length = u16::try_from(POST_QUANTUM_SHARE).unwrap();
    let begin = [
        (length + 4).to_be_bytes(),
        0x11ec_u16.to_be_bytes(),
        length.to_be_bytes(),
    ];
    let content = [&begin.concat()[..], &[0x5a; POST_QUANTUM_SHARE]].concat();
    extension_bytes(51, &content)
}

/// Returns a `ClientHello` message with these extensions.
pub(crate) fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = extensions.concat();
    let length = u16::try_from(extensions.len()).unwrap();
    let mut body = vec![3, 3];
    body.extend([0x42; 32]);
    body.push(32);
    body.extend([0x43; 32]);
    body.extend([0, 4, 0x13, 1, 0x13, 2, 1, 0]);
    body.extend(length.to_be_bytes());
    body.extend(extensions);
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1][..], &length[1..], &body].concat()
}

/// Splits a message into records of at most `size` bytes.
pub(crate) fn in_records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[22, 3, 1][..], &length, part].concat()
    };
    message.chunks(size).flat_map(record).collect()
}

fn named(name: &[u8], ech_config_id: Option<u8>) -> ClientHello {
    ClientHello {
        server_name: Some(name.to_vec()),
        ech_config_id,
    }
}

fn content(message: Message<ClientHello>) -> Option<ClientHello> {
    match message {
        Message::Whole { content, .. } => Some(content),
        Message::Incomplete { .. } | Message::Other => None,
    }
}

#[test]
fn a_hello_is_read_from_one_record_and_from_many() {
    let message = hello(&[sni(b"www.example.com")]);
    for size in [1, 3, 50, 1 << 14] {
        let bytes = in_records(&message, size);
        let expected = Message::Whole {
            content: named(b"www.example.com", None),
            length: bytes.len(),
        };
        let more = [&bytes[..], b"more"].concat();
        assert_eq!(records(&bytes), expected, "{size}");
        assert_eq!(records(&more), expected, "{size}");
    }
}

#[test]
fn every_beginning_of_a_hello_is_incomplete() {
    let message = hello(&[post_quantum_share(), sni(b"www.example.com")]);
    for bytes in [in_records(&message, 700), in_records(&message, 9000)] {
        for length in 1..bytes.len() {
            let cut = records(&bytes[..length]);
            assert_eq!(cut, Message::Incomplete { content: None }, "{length}");
        }
    }
}

#[test]
fn the_server_name_is_found_on_both_sides_of_a_post_quantum_share() {
    for extensions in [
        [sni(b"a.example"), post_quantum_share()],
        [post_quantum_share(), sni(b"a.example")],
    ] {
        let bytes = in_records(&hello(&extensions), 1 << 14);
        assert!(bytes.len() > 1216);
        assert_eq!(content(records(&bytes)), Some(named(b"a.example", None)));
    }
}

#[test]
fn the_config_id_of_an_outer_hello_is_read_and_that_of_an_inner_one_is_not() {
    let bytes = hello(&[ech(0x2a), sni(b"public.example")]);
    let expected = named(b"public.example", Some(0x2a));
    assert_eq!(content(handshake(&bytes)), Some(expected));
    let inner = extension_bytes(ENCRYPTED_CLIENT_HELLO, &[1]);
    let bytes = hello(&[inner, sni(b"inner.example")]);
    let expected = named(b"inner.example", None);
    assert_eq!(content(handshake(&bytes)), Some(expected));
}

#[test]
fn malformed_extensions_do_not_hide_the_name() {
    let bytes = hello(&[
        extension_bytes(10, &[0xff]),
        extension_bytes(ENCRYPTED_CLIENT_HELLO, &[0, 0]),
        extension_bytes(SERVER_NAME, &[0, 9, 0]),
        extension_bytes(0x0a0a, &[]),
        sni(b"www.example.com"),
        sni(b"second.example.com"),
        vec![0, 0, 0xff, 0xff, 1],
    ]);
    let expected = named(b"www.example.com", None);
    assert_eq!(content(handshake(&bytes)), Some(expected));
}

#[test]
fn a_hello_without_extensions_has_no_name() {
    let mut bytes = hello(&[]);
    let nothing = ClientHello {
        server_name: None,
        ech_config_id: None,
    };
    assert_eq!(content(handshake(&bytes)), Some(nothing.clone()));
    bytes.truncate(bytes.len() - 2);
    bytes[3] -= 2;
    assert_eq!(content(handshake(&bytes)), Some(nothing));
}

#[test]
fn other_bytes_are_no_hello() {
    let message = hello(&[sni(b"www.example.com")]);
    let record = in_records(&message, 1 << 14);
    let changed = |index: usize, byte: u8| {
        let mut bytes = record.clone();
        bytes[index] = byte;
        records(&bytes)
    };
    for (what, result) in [
        ("application data", changed(0, 23)),
        ("version", changed(1, 2)),
        ("record of 64 KiB", changed(3, 0xff)),
        ("ServerHello", changed(5, 2)),
        ("hello of 16 MiB", changed(6, 0xff)),
        ("session identifier of 255 bytes", changed(43, 0xff)),
        ("HTTP", records(b"GET / HTTP/1.1\r\n")),
        ("empty record", records(&[22, 3, 1, 0, 0, 22, 3, 1])),
    ] {
        assert_eq!(result, Message::Other, "{what}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = records(&bytes);
        let _ = handshake(&bytes);
        let _ = extensions(&bytes);
    }

    #[test]
    fn no_change_of_a_hello_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        size in 20usize..3000,
    ) {
        let mut bytes = in_records(&hello(&[ech(1), sni(b"www.example.com"), post_quantum_share()]), size);
        for (index, byte) in changes {
            *index.get_mut(&mut bytes) = byte;
        }
        if let Message::Whole { length, .. } = records(&bytes) {
            prop_assert!(length <= bytes.len());
        }
    }
}
