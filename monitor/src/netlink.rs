//! Requests over netlink, whose answers are read attribute by attribute.
//!
//! The library of `datapath` leaves out a whole message if it cannot decode one attribute. An
//! interface that is left out would look like one that is filtered.

use std::io;

use netlink_packet_core::{NLA_TYPE_MASK, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST};
use netlink_sys::{Socket, SocketAddr};

/// Number of attempts to read a list that does not change meanwhile.
const ATTEMPTS: usize = 16;

/// The most bytes of an answer: room for about 1000 interfaces.
const MOST_BYTES: usize = 4 << 20;

/// The most bytes of a list that is visited: some 200,000 routes. The kernel lists the default
/// route of a table before its other routes.
const MOST_VISITED: usize = 16 << 20;

/// Size of the header of a message (netlink(7)).
const HEADER: usize = 16;

/// Size of the header of an attribute.
const ATTRIBUTE_HEADER: usize = 4;

/// Value `NLMSG_ERROR` of the type of a message.
const ERROR: u16 = 2;
/// Value `NLMSG_DONE` of the type of a message.
const DONE: u16 = 3;

/// Requests a list. Returns the body of each message.
pub(crate) fn list(protocol: isize, kind: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    for _ in 0..ATTEMPTS {
        if let Some(bodies) = attempt(protocol, kind, NLM_F_DUMP, body)? {
            return Ok(bodies);
        }
    }
    let why = "the list changed while it was read; try again";
    Err(io::Error::other(why))
}

/// Sends a request that has one answer. Returns the body of the answer.
pub(crate) fn ask(protocol: isize, kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let answer = attempt(protocol, kind, 0, body)?;
    let first = answer.and_then(|bodies| bodies.into_iter().next());
    first.ok_or_else(|| io::Error::other("the kernel gave an empty answer"))
}

/// Sends a request that changes something. Returns when the kernel has done it.
pub(crate) fn change(protocol: isize, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    attempt(protocol, kind, NLM_F_ACK | flags, body).map(drop)
}

/// Reads the messages of a list one after another, so that a long list takes no memory. Ends
/// without an error after `MOST_VISITED` bytes.
pub(crate) fn visit(
    protocol: isize,
    kind: u16,
    body: &[u8],
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(kind, NLM_F_REQUEST | NLM_F_DUMP, body), 0)?;
    let mut bytes = 0;
    while bytes < MOST_VISITED {
        let (datagram, _) = socket.recv_from_full()?;
        bytes += datagram.len();
        let mut rest = &datagram[..];
        while let Some(message) = Message::first(rest) {
            match message.kind {
                DONE | ERROR => return message.result(),
                _ => each(message.body),
            }
            rest = rest.get(message.length..).unwrap_or_default();
        }
    }
    Ok(())
}

/// Sends a request once. `None` if the list changed meanwhile.
fn attempt(
    protocol: isize,
    kind: u16,
    flags: u16,
    body: &[u8],
) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(kind, NLM_F_REQUEST | flags, body), 0)?;
    let (mut bodies, mut bytes) = (Vec::new(), 0);
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        bytes += datagram.len();
        if bytes > MOST_BYTES {
            return Err(io::Error::other("the kernel's answer is too long"));
        }
        let mut rest = &datagram[..];
        while let Some(message) = Message::first(rest) {
            if message.flags & NLM_F_DUMP_INTR != 0 {
                return Ok(None);
            }
            match message.kind {
                DONE | ERROR => return message.result().map(|()| Some(bodies)),
                _ => bodies.push(message.body.to_vec()),
            }
            rest = rest.get(message.length..).unwrap_or_default();
        }
        // Only lists have an end of their own.
        if flags & NLM_F_DUMP == 0 {
            return Ok(Some(bodies));
        }
    }
}

fn request(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut request = length.to_ne_bytes().to_vec();
    request.extend(kind.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    // Sequence number and port: the socket has one request only.
    request.extend([0; 8]);
    request.extend(body);
    request
}

/// One message of an answer.
struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
    /// Bytes to the next message.
    length: usize,
}

impl<'a> Message<'a> {
    /// The first message of a datagram; `None` at its end.
    fn first(datagram: &'a [u8]) -> Option<Self> {
        let length = u32::from_ne_bytes(*datagram.first_chunk()?) as usize;
        Some(Self {
            kind: number(datagram.get(4..)?)?,
            flags: number(datagram.get(6..)?)?,
            body: datagram.get(HEADER..length)?,
            length: length.next_multiple_of(4),
        })
    }

    /// The result of the whole request, in a message that ends it.
    fn result(&self) -> io::Result<()> {
        let code = self
            .body
            .first_chunk()
            .map_or(0, |code| i32::from_ne_bytes(*code));
        match code {
            0.. => Ok(()),
            _ => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        }
    }
}

/// Kind and value of each attribute. Ends at the first that is damaged.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(number(rest)?);
        let kind = number(rest.get(2..)?)? & NLA_TYPE_MASK;
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of a kind.
pub(crate) fn value(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut found = attributes(bytes).filter(|(found, _)| *found == kind);
    found.next().map(|(_, value)| value)
}

/// A 16-bit number in the byte order of this machine.
pub(crate) fn number(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.first_chunk()?))
}

/// A 32-bit number in the byte order of this machine.
pub(crate) fn long_number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.first_chunk()?))
}

/// A text up to its zero byte.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// An attribute with its header and padding.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_are_read_as_they_are_written() {
        let bytes = [
            attribute(1, b"abcde"),
            attribute(2 | 1 << 15, &[]),
            attribute(1, b"x"),
        ]
        .concat();
        let found: Vec<_> = attributes(&bytes).collect();
        assert_eq!(found, [(1, &b"abcde"[..]), (2, b""), (1, b"x")]);
        assert_eq!(value(&bytes, 1), Some(&b"abcde"[..]));
        assert_eq!(value(&bytes, 3), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            let lengths: usize = attributes(&bytes).map(|(_, value)| value.len() + 4).sum();
            prop_assert!(lengths <= bytes.len() + 4);
            let _ = Message::first(&bytes).map(|message| message.result());
        }
    }
}
