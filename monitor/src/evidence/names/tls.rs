//! Finds the server name in a TLS `ClientHello` (RFC 8446, section 4.1.2).

use tls_parser::{
    SNIType, TlsExtension, TlsHandshakeType, TlsRecordType, parse_tls_extension_sni_content,
    parse_tls_handshake_client_hello, parse_tls_record_header,
};

use super::{Message, reader::Reader};

/// Maximum length of a hello, in bytes: 16 KiB.
pub const MAX_HELLO: usize = 16 << 10;

/// Maximum length of the content of a record, in bytes (RFC 8446, section 5.1).
const MAX_RECORD: u16 = 1 << 14;

/// The extension `server_name` (RFC 6066, section 3).
const SERVER_NAME: u16 = 0;

/// The extension `encrypted_client_hello` (RFC 9849, section 5).
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// The part of a `ClientHello` that tells names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name as it was sent. It can be any bytes.
    pub server_name: Option<Vec<u8>>,
    /// The `config_id` of an outer ECH extension, real or GREASE.
    pub ech_config_id: Option<u8>,
}

/// Finds a `ClientHello` in TLS records (RFC 8446, section 5.1). It may be split over
/// several records. Older versions of TLS use the same format.
#[must_use]
pub fn records(bytes: &[u8]) -> Message<ClientHello> {
    let mut hello = Vec::new();
    let mut rest = bytes;
    loop {
        let Ok((content, header)) = parse_tls_record_header(rest) else {
            return incomplete_if(hello_begins(&hello) && header_begins(rest));
        };
        let is_handshake = header.record_type == TlsRecordType::Handshake
            && header.version.0 >> 8 == 3
            && (1..=MAX_RECORD).contains(&header.len);
        if !is_handshake {
            return Message::Other;
        }
        let (part, after) = match content.split_at_checked(header.len.into()) {
            Some((part, after)) => (part, Some(after)),
            None => (content, None),
        };
        hello.extend_from_slice(part);
        match (handshake(&hello), after) {
            (Message::Whole { content, .. }, _) => {
                let length = bytes.len() - after.map_or(0, <[u8]>::len);
                return Message::Whole { content, length };
            }
            (Message::Other, _) => return Message::Other,
            (Message::Incomplete { .. }, Some(after)) => rest = after,
            (incomplete @ Message::Incomplete { .. }, None) => return incomplete,
        }
    }
}

fn incomplete_if(condition: bool) -> Message<ClientHello> {
    if condition {
        Message::Incomplete { content: None }
    } else {
        Message::Other
    }
}

/// Returns true if `bytes` can be the beginning of a record header of a handshake.
fn header_begins(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .zip([22, 3])
        .all(|(byte, expected)| *byte == expected)
}

/// Returns true if `bytes` can be the beginning of a `ClientHello`.
fn hello_begins(bytes: &[u8]) -> bool {
    bytes
        .first()
        .is_none_or(|byte| *byte == u8::from(TlsHandshakeType::ClientHello))
}

/// Finds a `ClientHello` in handshake messages (RFC 8446, section 4).
#[must_use]
pub fn handshake(bytes: &[u8]) -> Message<ClientHello> {
    let &[kind, a, b, c, ref rest @ ..] = bytes else {
        return incomplete_if(hello_begins(bytes));
    };
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    if kind != u8::from(TlsHandshakeType::ClientHello) || length > MAX_HELLO {
        return Message::Other;
    }
    let Some(body) = rest.get(..length) else {
        return Message::Incomplete { content: None };
    };
    match parse_tls_handshake_client_hello(body) {
        Ok((_, hello)) => Message::Whole {
            content: extensions(hello.ext.unwrap_or_default()),
            length: length + 4,
        },
        Err(_) => Message::Other,
    }
}

/// Reads the extensions (RFC 8446, section 4.2). Skips those that are malformed. The first
/// of several extensions of one type wins.
fn extensions(bytes: &[u8]) -> ClientHello {
    let mut hello = ClientHello {
        server_name: None,
        ech_config_id: None,
    };
    let mut reader = Reader(bytes);
    while let Some((kind, content)) = extension(&mut reader) {
        match kind {
            SERVER_NAME if hello.server_name.is_none() => {
                hello.server_name = server_name(content);
            }
            ENCRYPTED_CLIENT_HELLO if hello.ech_config_id.is_none() => {
                hello.ech_config_id = outer_config_id(content);
            }
            _ => {}
        }
    }
    hello
}

fn extension<'a>(reader: &mut Reader<'a>) -> Option<(u16, &'a [u8])> {
    Some((reader.u16()?, reader.bytes_of_u16()?))
}

/// Returns the first host name of the extension `server_name`.
fn server_name(content: &[u8]) -> Option<Vec<u8>> {
    let Ok((_, TlsExtension::SNI(names))) = parse_tls_extension_sni_content(content) else {
        return None;
    };
    let (_, name) = names
        .into_iter()
        .find(|(kind, _)| *kind == SNIType::HostName)?;
    Some(name.to_vec())
}

/// Returns the `config_id` of an extension of type outer (RFC 9849, section 5).
fn outer_config_id(content: &[u8]) -> Option<u8> {
    const OUTER: u8 = 0;
    let mut reader = Reader(content);
    if reader.u8()? != OUTER {
        return None;
    }
    let _cipher_suite = reader.u32()?;
    reader.u8()
}

#[cfg(test)]
pub(crate) mod tests;
