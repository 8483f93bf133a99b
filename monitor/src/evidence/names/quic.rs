//! Finds the `ClientHello` in the Initial packets of a QUIC client.
//!
//! The keys of Initial packets follow from the first destination connection ID of the
//! client (RFC 9001, section 5.2). A client changes this ID during a connection, so the
//! keys belong to the addresses and ports, not to the ID.

mod packet;

use rustls::{
    Side,
    crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
    quic::{DirectionalKeys, Suite},
};

use super::{
    Message,
    fragments::Fragments,
    reader::Reader,
    tls::{self, ClientHello},
};
use packet::{Initial, Packets};

/// Maximum number of fragments of the hello.
pub const MAX_FRAGMENTS: usize = 64;

/// Maximum length of the hello, in bytes: 16 KiB.
pub const MAX_BYTES: usize = 16 << 10;

/// Maximum number of datagrams that are read of one connection.
pub const MAX_DATAGRAMS: u8 = 8;

/// Maximum number of packets that are read of one datagram.
pub const MAX_PACKETS: usize = 8;

/// Maximum number of keys that are derived for one datagram.
const MAX_NEW_KEYS: u8 = 3;

// Frame types: RFC 9000, section 19.
const PADDING: u64 = 0;
const PING: u64 = 1;
const ACK: u64 = 2;
const ACK_WITH_ECN: u64 = 3;
const CRYPTO: u64 = 6;
const CONNECTION_CLOSE: u64 = 0x1c;

/// Returns true if `datagram` begins with an Initial packet of a known version, or with
/// another packet that can be in front of an Initial packet.
#[must_use]
pub fn may_hold_initial(datagram: &[u8]) -> bool {
    Packets(datagram)
        .take(MAX_PACKETS)
        .any(|packet| packet.initial.is_some())
}

/// The state of one connection, from its client's packets.
pub struct Connection {
    keys: Option<Keys>,
    crypto: Fragments,
    datagrams: u8,
    /// Number of keys that were derived for the current datagram.
    new_keys: u8,
    done: bool,
}

struct Keys {
    /// The version as the client sent it.
    version: u32,
    /// The connection ID from which the keys follow.
    destination: Vec<u8>,
    client: DirectionalKeys,
    /// Highest packet number so far.
    highest: u64,
}

/// The result of one datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The hello, if this datagram completed it.
    pub hello: Option<ClientHello>,
    /// Number of Initial packets that no keys opened: those of a server, and those of a
    /// client whose first packet was not seen.
    pub unopened: u32,
    /// Number of bytes of the hello that found no room.
    pub lost: usize,
    /// True if the hello is malformed or is another message.
    pub malformed: bool,
    /// True if the connection is over, and the end of its hello is missing.
    pub unfinished: bool,
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Connection {
    /// Creates the state of a connection without packets.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            keys: None,
            crypto: Fragments::new(MAX_FRAGMENTS, MAX_BYTES),
            datagrams: 0,
            new_keys: 0,
            done: false,
        }
    }

    /// Returns true if the connection takes no further datagrams.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// Returns true if the hello has begun and its end is missing.
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        self.crypto.held() > 0
    }

    /// Number of bytes of the hello that are kept.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.crypto.held()
    }

    /// Reads all Initial packets of a datagram.
    pub fn take(&mut self, datagram: &[u8]) -> Taken {
        let mut taken = Taken::default();
        self.new_keys = 0;
        for packet in Packets(datagram).take(MAX_PACKETS) {
            if self.done {
                break;
            }
            if let Some(initial) = packet.initial {
                self.take_initial(&initial, &mut taken);
            }
        }
        self.datagrams = self.datagrams.saturating_add(1);
        if self.datagrams >= MAX_DATAGRAMS {
            taken.unfinished = self.is_unfinished();
            self.finish();
        }
        taken
    }

    fn take_initial(&mut self, initial: &Initial<'_>, taken: &mut Taken) {
        let Some(frames) = self.open(initial) else {
            taken.unopened += 1;
            return;
        };
        taken.lost += read_frames(&frames, &mut self.crypto);
        match tls::handshake(&self.crypto.from(0)) {
            Message::Whole { content, .. } => taken.hello = Some(content),
            Message::Other => taken.malformed = true,
            Message::Incomplete { .. } => return,
        }
        self.finish();
    }

    /// Discards keys and bytes.
    fn finish(&mut self) {
        *self = Self {
            done: true,
            ..Self::new()
        };
    }

    /// Decrypts a packet: with the keys at hand, else with keys of the same connection ID
    /// for another version (RFC 9368, section 2.3), else with keys of the packet's own
    /// connection ID. The last happens after a Retry (RFC 9001, section 5.2) and where a
    /// new connection uses the same ports: the hello begins again.
    fn open(&mut self, initial: &Initial<'_>) -> Option<Vec<u8>> {
        let mut tried = None;
        if let Some(keys) = &mut self.keys {
            if keys.version == initial.version_number {
                if let Some(frames) = keys.open(initial) {
                    return Some(frames);
                }
            } else if self.new_keys < MAX_NEW_KEYS {
                self.new_keys += 1;
                if let Some((new, frames)) = Keys::opening(initial, &keys.destination) {
                    *keys = new;
                    return Some(frames);
                }
            }
            tried = Some(keys.destination.as_slice());
        }
        if tried == Some(initial.destination) || self.new_keys >= MAX_NEW_KEYS {
            return None;
        }
        self.new_keys += 1;
        let (keys, frames) = Keys::opening(initial, initial.destination)?;
        self.keys = Some(keys);
        self.crypto = Fragments::new(MAX_FRAGMENTS, MAX_BYTES);
        Some(frames)
    }
}

impl Keys {
    /// Returns the keys of the first connection ID `destination` and the frames of
    /// `initial`, if they open it.
    fn opening(initial: &Initial<'_>, destination: &[u8]) -> Option<(Self, Vec<u8>)> {
        let suite = initial_suite()?;
        let mut keys = Self {
            version: initial.version_number,
            destination: destination.to_vec(),
            client: suite
                .keys(destination, Side::Server, initial.version)
                .remote,
            highest: 0,
        };
        let frames = keys.open(initial)?;
        Some((keys, frames))
    }

    /// Removes header protection (RFC 9001, section 5.4), then decrypts the payload.
    fn open(&mut self, initial: &Initial<'_>) -> Option<Vec<u8>> {
        // The longest packet number has 4 bytes. The sample begins behind it.
        let (header, protected) = initial.bytes.split_at_checked(initial.number_at)?;
        let sample = protected.get(4..4 + self.client.header.sample_len())?;
        let mut first = *header.first()?;
        let mut number: [u8; 4] = *protected.first_chunk()?;
        let key = &self.client.header;
        key.decrypt_in_place(sample, &mut first, &mut number).ok()?;
        let length = usize::from(first & 3) + 1;
        let number = number.get(..length)?;
        let mut header = header.to_vec();
        *header.first_mut()? = first;
        header.extend_from_slice(number);
        let number = self.full_number(number);
        let mut payload = protected.get(length..)?.to_vec();
        let key = &self.client.packet;
        let opened = key
            .decrypt_in_place(number, &header, &mut payload)
            .ok()?
            .len();
        payload.truncate(opened);
        self.highest = self.highest.max(number);
        Some(payload)
    }

    /// Returns the packet number nearest to the expected one that ends with these bytes
    /// (RFC 9000, appendix A.3).
    fn full_number(&self, bytes: &[u8]) -> u64 {
        let window = 1_u64 << (bytes.len() * 8);
        let truncated = bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        let expected = self.highest + 1;
        let candidate = expected & !(window - 1) | truncated;
        if candidate + window / 2 <= expected {
            candidate + window
        } else if candidate > expected + window / 2 && candidate >= window {
            candidate - window
        } else {
            candidate
        }
    }
}

/// Returns the suite of Initial packets (RFC 9001, section 5.2).
fn initial_suite() -> Option<Suite> {
    TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()
}

/// Adds the content of CRYPTO frames to `crypto`. Stops at a frame that an Initial packet
/// must not hold (RFC 9000, section 17.2.2) and at a malformed frame. Returns the number
/// of bytes that found no room.
fn read_frames(frames: &[u8], crypto: &mut Fragments) -> usize {
    let mut reader = Reader(frames);
    let mut lost = 0;
    while let Some(refused) = read_frame(&mut reader, crypto) {
        lost += refused;
    }
    lost
}

fn read_frame(reader: &mut Reader<'_>, crypto: &mut Fragments) -> Option<usize> {
    match reader.quic_integer()? {
        PADDING | PING => {}
        ACK => skip_acknowledgement(reader)?,
        ACK_WITH_ECN => {
            skip_acknowledgement(reader)?;
            skip_integers(reader, 3)?;
        }
        CRYPTO => {
            let offset = reader.quic_integer()?;
            let bytes = reader.bytes_of_quic_integer()?;
            return Some(add_crypto(offset, bytes, crypto));
        }
        CONNECTION_CLOSE => {
            skip_integers(reader, 2)?;
            reader.bytes_of_quic_integer()?;
        }
        _ => return None,
    }
    Some(0)
}

/// Adds a fragment that lies within the first [`MAX_BYTES`] bytes. Refuses others.
fn add_crypto(offset: u64, bytes: &[u8], crypto: &mut Fragments) -> usize {
    let fits = offset.saturating_add(bytes.len() as u64) <= MAX_BYTES as u64;
    match i64::try_from(offset) {
        Ok(start) if fits => crypto.add(start, bytes),
        _ => bytes.len(),
    }
}

/// Skips an ACK frame behind its type (RFC 9000, section 19.3).
fn skip_acknowledgement(reader: &mut Reader<'_>) -> Option<()> {
    skip_integers(reader, 2)?;
    let ranges = reader.quic_integer()?;
    skip_integers(reader, ranges.saturating_mul(2).saturating_add(1))
}

fn skip_integers(reader: &mut Reader<'_>, count: u64) -> Option<()> {
    (0..count).try_for_each(|_| reader.quic_integer().map(drop))
}

#[cfg(test)]
pub(crate) mod tests;
