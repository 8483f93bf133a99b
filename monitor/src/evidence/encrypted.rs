//! Encrypted DNS that was seen from each device. Its answers cannot be read, so an address
//! may have a name that the gateway did not see.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;

use super::{
    claim::FlowEnd,
    names::dns::{Answer, Asked},
};
use crate::policy::MacAddress;

mod known;

pub use known::{SOURCES, resolver_addresses, resolver_of_address, resolver_of_name};

/// Maximum number of devices.
pub const MAX_DEVICES: usize = 512;

/// Maximum number of kinds and servers of one device.
pub const MAX_OF_DEVICE: usize = 32;

/// Port of DNS over TLS (RFC 7858) and DNS over QUIC (RFC 9250).
const PORT: u16 = 853;

/// Port of HTTPS.
const HTTPS_PORT: u16 = 443;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// How encrypted DNS was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EncryptedKind {
    /// DNS over TLS: TCP port 853 (RFC 7858).
    Dot,
    /// DNS over QUIC: UDP port 853 (RFC 9250).
    Doq,
    /// DNS over HTTPS (RFC 8484) by the address of a known resolver. Port 443 of that
    /// address may also serve web pages.
    DohAddress,
    /// DNS over HTTPS by the server name of a known resolver.
    DohName,
    /// The device asked its resolver for encrypted resolvers (RFC 9462). It may use them
    /// from then on.
    Discovery,
}

impl EncryptedKind {
    /// The word of JSON and of the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Dot => "dot",
            Self::Doq => "doq",
            Self::DohAddress => "doh-address",
            Self::DohName => "doh-name",
            Self::Discovery => "ddr",
        }
    }

    /// The same in words, which the address of the server follows.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Dot => "DNS over TLS to",
            Self::Doq => "DNS over QUIC to",
            Self::DohAddress => "HTTPS to a known DNS resolver,",
            Self::DohName => "HTTPS to a known DNS resolver by its name,",
            Self::Discovery => "a question for encrypted resolvers to",
        }
    }
}

/// Encrypted DNS of one device with one server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EncryptedDns {
    /// How it was recognised.
    pub kind: EncryptedKind,
    /// Address of the server.
    pub server: IpAddr,
    /// Server name of the connection. For [`EncryptedKind::Discovery`], the encrypted
    /// resolver in the answer.
    pub name: Option<String>,
    /// Operator of the resolver, if the server is known.
    pub operator: Option<&'static str>,
    /// Time at which it was first seen.
    pub first: Timestamp,
    /// Time at which it was last seen.
    pub last: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: EncryptedKind,
    server: IpAddr,
    /// The name, where several names of one server are several entries.
    name: Option<String>,
}

#[derive(Debug)]
struct Seen {
    first: Timestamp,
    last: Timestamp,
    /// The last name, where one server has one entry.
    name: Option<String>,
}

/// The encrypted DNS of all devices.
///
/// A device that uses very many servers loses its own oldest entries. A new device beyond
/// [`MAX_DEVICES`] gets no entries, so new MACs push out no device.
#[derive(Debug, Default)]
pub struct EncryptedSeen {
    devices: BTreeMap<MacAddress, BTreeMap<Key, Seen>>,
    lost: u64,
}

impl EncryptedSeen {
    /// Takes the end of a flow, with the times of its first and last packet.
    pub fn flow(&mut self, end: &FlowEnd, first: Timestamp, last: Timestamp) {
        let is_known = resolver_of_address(end.destination).is_some();
        let kind = match (end.protocol, end.port) {
            (TCP, PORT) => EncryptedKind::Dot,
            (UDP, PORT) => EncryptedKind::Doq,
            (TCP | UDP, HTTPS_PORT) if is_known => EncryptedKind::DohAddress,
            _ => return,
        };
        let key = Key {
            kind,
            server: end.destination,
            name: None,
        };
        let name = None;
        self.add(end.device, key, Seen { first, last, name });
    }

    /// Takes the server name of a TLS or QUIC connection, as text of a claim.
    pub fn name(&mut self, end: &FlowEnd, name: &str, first: Timestamp, last: Timestamp) {
        let kind = match (end.protocol, end.port) {
            (TCP, PORT) => EncryptedKind::Dot,
            (UDP, PORT) => EncryptedKind::Doq,
            _ if resolver_of_name(name).is_some() => EncryptedKind::DohName,
            _ => return,
        };
        let name = Some(name.to_owned());
        let key = Key {
            kind,
            server: end.destination,
            name: name.clone().filter(|_| kind == EncryptedKind::DohName),
        };
        self.add(end.device, key, Seen { first, last, name });
    }

    /// Takes an answer that `device` got from `server`.
    pub fn answer(&mut self, device: MacAddress, server: IpAddr, answer: &Answer, now: Timestamp) {
        if answer.asked != Asked::DesignatedResolvers {
            return;
        }
        let targets = answer.targets.iter().take(MAX_OF_DEVICE).cloned().map(Some);
        let none = answer.targets.is_empty().then_some(None);
        for name in targets.chain(none) {
            let kind = EncryptedKind::Discovery;
            let key = Key { kind, server, name };
            let (first, last, name) = (now, now, None);
            self.add(device, key, Seen { first, last, name });
        }
    }

    /// Returns the encrypted DNS of a device, sorted.
    #[must_use]
    pub fn of(&self, device: MacAddress) -> Vec<EncryptedDns> {
        let entries = self.devices.get(&device).into_iter().flatten();
        entries
            .map(|(key, seen)| {
                let name = key.name.as_ref().or(seen.name.as_ref());
                let by_name = name.and_then(|name| resolver_of_name(name));
                EncryptedDns {
                    kind: key.kind,
                    server: key.server,
                    name: name.cloned(),
                    operator: by_name.or_else(|| resolver_of_address(key.server)),
                    first: seen.first,
                    last: seen.last,
                }
            })
            .collect()
    }

    /// Removes what was last seen before `oldest`.
    pub fn expire(&mut self, oldest: Timestamp) {
        self.devices.retain(|_, entries| {
            entries.retain(|_, seen| seen.last >= oldest);
            !entries.is_empty()
        });
    }

    /// Removes everything of a device.
    pub fn forget(&mut self, device: MacAddress) {
        self.devices.remove(&device);
    }

    /// Returns the number of entries that found no room or were removed to make room.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn add(&mut self, device: MacAddress, key: Key, new: Seen) {
        if !self.devices.contains_key(&device) && self.devices.len() >= MAX_DEVICES {
            self.lost += 1;
            return;
        }
        let entries = self.devices.entry(device).or_default();
        if let Some(seen) = entries.get_mut(&key) {
            seen.first = seen.first.min(new.first);
            seen.last = seen.last.max(new.last);
            seen.name = new.name.or(seen.name.take());
            return;
        }
        if entries.len() >= MAX_OF_DEVICE {
            let oldest = entries.iter().min_by_key(|(_, seen)| seen.last);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                entries.remove(&oldest);
                self.lost += 1;
            }
        }
        entries.insert(key, new);
    }
}

#[cfg(test)]
mod tests;
