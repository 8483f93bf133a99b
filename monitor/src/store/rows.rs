//! How values of the evidence stand in columns.

use std::net::IpAddr;

use monitor_common::Count;
use rusqlite::Row;

use crate::{
    evidence::{
        claim::{Ech, NameSource},
        flow::{Direction, Port},
    },
    policy::{MacAddress, PolicyName},
};

use super::error::StoreError;

/// Returns a number of the kernel as SQLite stores it. SQLite has no larger number.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns the bits of a random number as SQLite stores them.
pub(super) fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// Reads a count from two columns.
pub(super) fn count(row: &Row<'_>, packets: usize) -> rusqlite::Result<Count> {
    let at = |column| {
        row.get::<_, i64>(column)
            .map(|sum| sum.max(0).cast_unsigned())
    };
    Ok(Count {
        packets: at(packets)?,
        bytes: at(packets + 1)?,
    })
}

/// An address as 4 or 16 bytes in network byte order.
pub(super) struct AddressBytes {
    bytes: [u8; 16],
    length: usize,
}

impl AddressBytes {
    pub(super) fn new(address: IpAddr) -> Self {
        let mut bytes = [0; 16];
        let length = match address {
            IpAddr::V4(address) => {
                let octets = address.octets();
                bytes
                    .iter_mut()
                    .zip(octets)
                    .for_each(|(byte, octet)| *byte = octet);
                octets.len()
            }
            IpAddr::V6(address) => {
                bytes = address.octets();
                bytes.len()
            }
        };
        Self { bytes, length }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Returns the bytes of an address, or no bytes for `None`.
pub(super) fn optional_address(address: Option<IpAddr>) -> Vec<u8> {
    address.map_or_else(Vec::new, |address| {
        AddressBytes::new(address).as_slice().to_vec()
    })
}

/// Returns the address of 4 or 16 bytes, or `None` for no bytes.
pub(super) fn address(bytes: &[u8], table: &'static str) -> Result<Option<IpAddr>, StoreError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Ok(Some(octets.into()));
    }
    <[u8; 16]>::try_from(bytes)
        .map(|octets| Some(octets.into()))
        .map_err(|_| StoreError::Content { table })
}

/// Returns the MAC of 6 bytes, or `None` for no bytes.
pub(super) fn mac(bytes: &[u8]) -> Result<Option<MacAddress>, StoreError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    <[u8; 6]>::try_from(bytes)
        .map(|octets| Some(MacAddress(octets)))
        .map_err(|_| StoreError::Content { table: "device" })
}

/// Returns the names in a list of policies.
pub(super) fn policies(text: &str) -> Result<Vec<PolicyName>, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Content { table: "list" })
}

/// Returns the numbers of a port: why it is not readable, and the port, which is 0 if it
/// is not readable.
pub(super) fn port_numbers(port: Port) -> (i64, u16) {
    match port {
        Port::Number(number) => (0, number),
        Port::LaterFragment => (1, 0),
        Port::Truncated => (2, 0),
        Port::Hidden => (3, 0),
        Port::TooManyExtensions => (4, 0),
        Port::None => (5, 0),
    }
}

/// Reverses [`port_numbers`].
pub(super) fn port(unreadable: i64, number: u16) -> Result<Port, StoreError> {
    Ok(match unreadable {
        0 => Port::Number(number),
        1 => Port::LaterFragment,
        2 => Port::Truncated,
        3 => Port::Hidden,
        4 => Port::TooManyExtensions,
        5 => Port::None,
        _ => return Err(StoreError::Content { table: "count" }),
    })
}

/// Returns the number of a direction.
pub(super) fn direction_number(direction: Direction) -> i64 {
    match direction {
        Direction::Out => 0,
        Direction::In => 1,
    }
}

/// Reverses [`direction_number`].
pub(super) fn direction(number: i64) -> Result<Direction, StoreError> {
    match number {
        0 => Ok(Direction::Out),
        1 => Ok(Direction::In),
        _ => Err(StoreError::Content { table: "count" }),
    }
}

/// Returns the word of what is known about Encrypted Client Hello.
pub(super) fn ech_word(ech: Ech) -> &'static str {
    match ech {
        Ech::Real => "real",
        Ech::Grease => "grease",
        Ech::Unknown => "unknown",
    }
}

/// Reverses [`ech_word`].
pub(super) fn ech(word: &str) -> Result<Ech, StoreError> {
    [Ech::Real, Ech::Grease, Ech::Unknown]
        .into_iter()
        .find(|ech| ech_word(*ech) == word)
        .ok_or(StoreError::Content { table: "claim" })
}

/// Reverses [`NameSource::word`].
pub(super) fn source(word: &str) -> Result<NameSource, StoreError> {
    use NameSource::{Asked, Dns, DnsHint, DnsOther, HttpHost, Quic, Sni, SniOuter};
    [Dns, DnsOther, DnsHint, Sni, SniOuter, Quic, HttpHost, Asked]
        .into_iter()
        .find(|source| source.word() == word)
        .ok_or(StoreError::Content { table: "claim" })
}
