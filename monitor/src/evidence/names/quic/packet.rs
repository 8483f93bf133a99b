//! Splits a datagram into its packets with long headers (RFC 9000, section 17.2).

use rustls::quic::Version;

use crate::evidence::names::reader::Reader;

/// Maximum length of a connection ID, in bytes (RFC 9000, section 17.2).
const MAX_CONNECTION_ID: usize = 20;

/// The packets of a datagram. Ends before a packet without a length (short header, Retry,
/// Version Negotiation), before a packet of an unknown version and before a malformed
/// packet.
pub(super) struct Packets<'a>(pub(super) &'a [u8]);

/// A packet with a long header and a length.
pub(super) struct Packet<'a> {
    /// The packet, if it is an Initial packet.
    pub(super) initial: Option<Initial<'a>>,
}

/// An Initial packet, still encrypted.
pub(super) struct Initial<'a> {
    pub(super) version: Version,
    /// The version as the client sent it.
    pub(super) version_number: u32,
    /// Destination connection ID.
    pub(super) destination: &'a [u8],
    /// The whole packet.
    pub(super) bytes: &'a [u8],
    /// Offset of the packet number in the packet, in bytes.
    pub(super) number_at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Initial,
    /// 0-RTT or Handshake.
    Other,
    Retry,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let whole = self.0;
        let mut reader = Reader(whole);
        let first = reader.u8()?;
        let version_number = reader.u32()?;
        let version = version(version_number)?;
        let kind = kind(first, version)?;
        let destination = reader.bytes_of_u8()?;
        let source = reader.bytes_of_u8()?;
        if destination.len().max(source.len()) > MAX_CONNECTION_ID || kind == Kind::Retry {
            return None;
        }
        if kind == Kind::Initial {
            let _token = reader.bytes_of_quic_integer()?;
        }
        let length = usize::try_from(reader.quic_integer()?).ok()?;
        let number_at = whole.len().checked_sub(reader.0.len())?;
        let (bytes, rest) = whole.split_at_checked(number_at.checked_add(length)?)?;
        self.0 = rest;
        let initial = (kind == Kind::Initial).then_some(Initial {
            version,
            version_number,
            destination,
            bytes,
            number_at,
        });
        Some(Packet { initial })
    }
}

/// Returns the version with this number: RFC 9000, RFC 9369, or draft 29 to 32, which share
/// their salt.
fn version(number: u32) -> Option<Version> {
    match number {
        1 => Some(Version::V1),
        0x6b33_43cf => Some(Version::V2),
        0xff00_001d..=0xff00_0020 => Some(Version::V1Draft),
        _ => None,
    }
}

/// Returns the type of a packet with a long header (RFC 9000, table 5, and RFC 9369, section
/// 3.2), or `None` for a short header. The fixed bit can have both values (RFC 9287).
fn kind(first: u8, version: Version) -> Option<Kind> {
    if first & 0x80 == 0 {
        return None;
    }
    let bits = first >> 4 & 3;
    let initial = match version {
        Version::V2 => 1,
        _ => 0,
    };
    // Version 2 adds 1 to the types of version 1, modulo 4.
    Some(match (bits + 4 - initial) % 4 {
        0 => Kind::Initial,
        3 => Kind::Retry,
        _ => Kind::Other,
    })
}
