//! Initial packets of a client, encrypted by a test.

use rustls::{Side, quic::Version};

use super::{FIRST, V1, V2, initial_suite};

/// An Initial packet that a test encrypts.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    /// The connection ID from which the keys follow.
    pub(crate) keyed: &'a [u8],
    pub(crate) version: u32,
    pub(crate) destination: &'a [u8],
    pub(crate) token: &'a [u8],
    pub(crate) number: u32,
    pub(crate) frames: &'a [u8],
}

impl<'a> Plain<'a> {
    pub(crate) fn new(frames: &'a [u8]) -> Self {
        Self {
            keyed: FIRST,
            version: V1,
            destination: FIRST,
            token: &[],
            number: 0,
            frames,
        }
    }

    pub(super) fn version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    pub(super) fn number(self, number: u32) -> Self {
        Self { number, ..self }
    }

    /// Encrypts the packet as a client does.
    pub(crate) fn encrypt(&self) -> Vec<u8> {
        let (version, kind) = match self.version {
            V1 => (Version::V1, 0xc3),
            V2 => (Version::V2, 0xd3),
            _ => (Version::V1Draft, 0xc3),
        };
        let suite = initial_suite().unwrap();
        let keys = suite.keys(self.keyed, Side::Client, version).local;
        let mut payload = self.frames.to_vec();
        payload.resize(payload.len().max(20), 0);
        let mut header = [&[kind][..], &self.version.to_be_bytes()].concat();
        for id in [self.destination, &[]] {
            header.push(u8::try_from(id.len()).unwrap());
            header.extend(id);
        }
        header.push(u8::try_from(self.token.len()).unwrap());
        header.extend(self.token);
        header.extend(integer(4 + payload.len() + 16));
        let number_at = header.len();
        header.extend(self.number.to_be_bytes());
        let number = u64::from(self.number);
        let tag = keys
            .packet
            .encrypt_in_place(number, &header, &mut payload)
            .unwrap();
        let mut packet = [&header[..], &payload, tag.as_ref()].concat();
        let (front, sample) = packet.split_at_mut(number_at + 4);
        let (first, number) = front.split_at_mut(number_at);
        keys.header
            .encrypt_in_place(&sample[..16], &mut first[0], number)
            .unwrap();
        packet
    }
}

/// Writes a variable-length integer in two bytes.
fn integer(value: usize) -> [u8; 2] {
    assert!(value < 1 << 14);
    (u16::try_from(value).unwrap() | 0x4000).to_be_bytes()
}

/// Returns a CRYPTO frame with these bytes of `message`.
pub(crate) fn crypto(message: &[u8], bytes: std::ops::Range<usize>) -> Vec<u8> {
    let begin = [&[6][..], &integer(bytes.start), &integer(bytes.len())].concat();
    [&begin, &message[bytes]].concat()
}
