//! Finds the model and the host in the first message of Xiaomi's push service (usually TCP
//! port 5222). The format has no public description. It follows from captures:
//!
//! ```text
//! c2fe 0005   magic, version
//! 000000ac    length of what follows, without the last 4 bytes
//! 0002 0016   type of the content, length of its header
//! 0000008e    length of its payload
//! header      Protocol Buffers: field 3 = "xiaomi.com", field 5 = "CONN"
//! payload     Protocol Buffers: field 1 = version of the client (number),
//!             field 2 = model, field 7 = host and port
//! checksum    4 bytes
//! ```
//!
//! Numbers are in network byte order. The server's answer is a `CONN` message too. Its
//! field 1 is a text.

use super::{Message, reader::Reader, text};

const MAGIC: [u8; 4] = [0xc2, 0xfe, 0, 5];

/// Maximum length of a message, in bytes.
const MAX_MESSAGE: usize = 2048;

/// Maximum number of fields of a part of a message.
const MAX_FIELDS: usize = 32;

/// The type of the content.
const CONTENT: u16 = 2;

/// The part of a client's `CONN` message that tells a model and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The model of the device.
    pub model: Option<String>,
    /// The host that the client wants to reach, without its port: a domain name in lower
    /// case, or an address.
    pub host: Option<String>,
}

/// Finds a client's `CONN` message at the front of `bytes`.
#[must_use]
pub fn connect(bytes: &[u8]) -> Message<Connect> {
    if !bytes.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic) || bytes.is_empty() {
        return Message::Other;
    }
    let mut reader = Reader(bytes);
    let _magic = reader.array::<4>();
    let Some(length) = reader.u32() else {
        return Message::Incomplete { content: None };
    };
    let length = length as usize;
    if length > MAX_MESSAGE {
        return Message::Other;
    }
    let Some(message) = reader.bytes(length) else {
        return Message::Incomplete { content: None };
    };
    match client_connect(message) {
        Some(content) => Message::Whole {
            content,
            length: length + 12,
        },
        None => Message::Other,
    }
}

fn client_connect(message: &[u8]) -> Option<Connect> {
    let mut reader = Reader(message);
    let (kind, header) = (reader.u16()?, reader.u16()?);
    let payload = reader.u32()?;
    let header = fields(reader.bytes(header.into())?);
    let payload = fields(reader.bytes(usize::try_from(payload).ok()?)?);
    let is_connect = kind == CONTENT && text_of(&header, 5) == Some(b"CONN");
    let is_client = payload
        .first()
        .is_some_and(|field| field.number == 1 && field.text.is_none());
    if !is_connect || !is_client {
        return None;
    }
    let host = text_of(&payload, 7)
        .map(text::host_of_authority)
        .and_then(text::name);
    Some(Connect {
        model: text_of(&payload, 2).and_then(text::model),
        host: host.filter(|host| text::is_domain(host) || text::is_address(host)),
    })
}

/// A field of a Protocol Buffers message.
struct Field<'a> {
    number: u64,
    /// The bytes of a field with a length. `None` for a number.
    text: Option<&'a [u8]>,
}

/// Reads the fields up to the first malformed one.
fn fields(bytes: &[u8]) -> Vec<Field<'_>> {
    let mut reader = Reader(bytes);
    std::iter::from_fn(|| field(&mut reader))
        .take(MAX_FIELDS)
        .collect()
}

fn field<'a>(reader: &mut Reader<'a>) -> Option<Field<'a>> {
    let key = reader.protobuf_integer()?;
    let text = match key & 7 {
        0 => {
            reader.protobuf_integer()?;
            None
        }
        1 => {
            reader.bytes(8)?;
            None
        }
        2 => {
            let length = usize::try_from(reader.protobuf_integer()?).ok()?;
            Some(reader.bytes(length)?)
        }
        5 => {
            reader.bytes(4)?;
            None
        }
        _ => return None,
    };
    let number = key >> 3;
    Some(Field { number, text })
}

fn text_of<'a>(fields: &[Field<'a>], number: u64) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.number == number)?.text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_field(number: u8, text: &[u8]) -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap();
        [&[number << 3 | 2, length], text].concat()
    }

    fn message(payload: &[Vec<u8>]) -> Vec<u8> {
        let header = [
            &[8, 0][..],
            &text_field(3, b"xiaomi.com"),
            &text_field(5, b"CONN"),
            &[0x48, 0],
        ]
        .concat();
        let payload = payload.concat();
        let length = u32::try_from(8 + header.len() + payload.len()).unwrap();
        let header_length = u16::try_from(header.len()).unwrap();
        let payload_length = u32::try_from(payload.len()).unwrap();
        [
            &MAGIC[..],
            &length.to_be_bytes(),
            &CONTENT.to_be_bytes(),
            &header_length.to_be_bytes(),
            &payload_length.to_be_bytes(),
            &header,
            &payload,
            &[1, 2, 3, 4],
        ]
        .concat()
    }

    fn client(model: &[u8], host: &[u8]) -> Vec<u8> {
        message(&[
            vec![8, 0x6a],
            text_field(2, model),
            text_field(7, host),
            vec![0x50, 30],
        ])
    }

    #[test]
    fn model_and_host_of_a_client_are_read() {
        for (host, expected) in [
            (
                &b"App-chat.example.com:5222"[..],
                Some("app-chat.example.com"),
            ),
            (b"app.example.com", Some("app.example.com")),
            (b"47.241.35.73:5222", Some("47.241.35.73")),
            (b"not a host", None),
        ] {
            let bytes = client(b"Redmi Note 9S", host);
            let content = Connect {
                model: Some("Redmi Note 9S".to_owned()),
                host: expected.map(str::to_owned),
            };
            let length = bytes.len();
            assert_eq!(connect(&bytes), Message::Whole { content, length });
            for cut in 1..bytes.len() - 4 {
                let incomplete = Message::Incomplete { content: None };
                assert_eq!(connect(&bytes[..cut]), incomplete, "{cut}");
            }
        }
    }

    #[test]
    fn the_answer_of_a_server_tells_no_model() {
        let answer = message(&[text_field(1, b"3268684933"), text_field(2, b"4539")]);
        assert_eq!(connect(&answer), Message::Other);
    }

    #[test]
    fn other_bytes_are_no_message() {
        let mut long = client(b"a", b"b.example");
        long[5] = 1;
        assert_eq!(connect(&long), Message::Other);
        assert_eq!(connect(b""), Message::Other);
        assert_eq!(connect(b"\xc2\xfe\0\x04"), Message::Other);
        let ping = [0xc2, 0xfe, 0, 5, 0, 0, 0, 0, 0x0d, 0x23, 1, 0xc6];
        assert_eq!(connect(&ping), Message::Other);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = connect(&bytes);
            let _ = connect(&[&MAGIC[..], &[0, 0, 0, 100], &bytes].concat());
        }

        #[test]
        fn no_change_of_a_message_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = client(b"Redmi", b"a.example");
            *at.get_mut(&mut bytes) = byte;
            let _ = connect(&bytes);
        }
    }
}
