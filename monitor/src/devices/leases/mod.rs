//! Leases of DHCP servers: which MAC has which address, and the host name, which the device
//! sent or the server set.
//!
//! The formats are those of dnsmasq, Kea (memfile), the ISC server, systemd-networkd and
//! odhcpd. The caller reads the file; the parsers only see its bytes.

mod dnsmasq;
mod isc;
mod kea;
mod networkd;
mod odhcpd;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    lines::{Skipped, complete, lines, words},
    mac,
};
use crate::policy::MacAddress;

/// Maximum number of leases of a file for each IP version. So a device that takes many
/// IPv6 addresses takes no room from IPv4 leases.
pub const MAX_LEASES: usize = 8192;

/// A lease of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// MAC of the device. `None` if the file names the device by a DUID or client
    /// identifier only. A DUID may hold a MAC, but of any interface of the device
    /// (RFC 8415, section 11), so it is not used.
    pub mac: Option<MacAddress>,
    /// The address.
    pub address: IpAddr,
    /// Host name that the device sent or the server set, as printable ASCII: see
    /// [`host_name`](super::lines::host_name).
    pub host_name: Option<String>,
    /// End of the lease. `None` if the lease has no end or the file does not give it as a
    /// time.
    pub expires: Option<Timestamp>,
    /// The DHCP server.
    pub source: LeaseFormat,
}

impl Lease {
    /// Returns true if the lease has ended at `now`.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// The format of a lease file, named after the DHCP server that writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseFormat {
    /// dnsmasq: `/var/lib/misc/dnsmasq.leases`, on OpenWrt `/tmp/dhcp.leases`.
    Dnsmasq,
    /// Kea with its memfile backend: `/var/lib/kea/kea-leases4.csv` and
    /// `kea-leases6.csv`.
    Kea,
    /// The ISC DHCP server: `/var/lib/dhcp/dhcpd.leases` and `dhcpd6.leases`.
    Isc,
    /// systemd-networkd: `/var/lib/systemd/network/dhcp-server-lease/INTERFACE`.
    Networkd,
    /// odhcpd: the files of its options `leasefile` and `hostsfile`, on OpenWrt
    /// `/tmp/hosts/odhcpd` or `/tmp/odhcpd.leases`.
    Odhcpd,
}

impl LeaseFormat {
    /// All formats.
    pub const ALL: [Self; 5] = [
        Self::Dnsmasq,
        Self::Kea,
        Self::Isc,
        Self::Networkd,
        Self::Odhcpd,
    ];

    /// Returns the word of the config, of JSON and of the store.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dnsmasq => "dnsmasq",
            Self::Kea => "kea",
            Self::Isc => "isc",
            Self::Networkd => "networkd",
            Self::Odhcpd => "odhcpd",
        }
    }

    /// Recognises the format of a file by its first lines. Returns `None` for an empty
    /// file and for another format.
    #[must_use]
    pub fn recognise(bytes: &[u8]) -> Option<Self> {
        // JSON may be a single line without an end.
        let start = bytes.trim_ascii_start();
        if start.starts_with(b"{") || start.starts_with(b"[") {
            return Some(Self::Networkd);
        }
        let first = lines(complete(bytes)).map(|(_, line)| line.trim_ascii());
        let mut first = first.filter(|line| !line.is_empty()).take(64);
        first.find_map(|line| {
            if kea::is_header(line) {
                return Some(Self::Kea);
            }
            if isc::is_start(line) {
                return Some(Self::Isc);
            }
            if odhcpd::is_line(line) {
                return Some(Self::Odhcpd);
            }
            dnsmasq::is_line(line).then_some(Self::Dnsmasq)
        })
    }
}

/// Why a lease file is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLeaseFile {
    /// The first line does not name the needed columns.
    #[error(
        "the first line does not name the columns address, valid_lifetime and expire; give a file of Kea's memfile backend, or name another format"
    )]
    Header,
    /// The file is not the expected JSON.
    #[error(
        "line {line}: it is not the JSON that systemd-networkd writes; give a file of the folder dhcp-server-lease, or name another format"
    )]
    Json {
        /// The line at which the parser stopped, from 1.
        line: usize,
    },
}

/// Why a line is skipped. The texts quote nothing of the line, because devices choose parts
/// of it, and the texts are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidLine {
    #[error("it has {found} fields and not {needed}; check which server writes the file")]
    Fields { found: usize, needed: usize },
    #[error("a field is not an IP address; check which server writes the file")]
    Address,
    #[error("a field is not a time; check which server writes the file")]
    Time,
    #[error("a field is not a number; check which server writes the file")]
    Number,
    #[error("the declaration has no end; the server may still write it")]
    NoEnd,
    #[error("the element is not a lease; check which server writes the file")]
    Element,
}

/// What was read from a lease file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseFile {
    /// The leases, sorted by address, one for each address.
    pub leases: Vec<Lease>,
    /// Number of entries of leases that have ended, or of addresses that are not in use.
    pub ended: u64,
    /// Number of leases of prefixes. They are not addresses of a device.
    pub prefixes: u64,
    /// Number of leases beyond [`MAX_LEASES`]: those that come first in the file.
    pub not_kept: u64,
    /// Lines that are not valid.
    pub skipped: Skipped,
}

/// Parses a lease file. Leaves out leases that have ended at `now`, because the number of
/// leases in memory is limited. Leaves out a last line without a line break: the server has not
/// finished it.
pub fn parse(
    bytes: &[u8],
    format: LeaseFormat,
    now: Timestamp,
) -> Result<LeaseFile, InvalidLeaseFile> {
    let mut found = Found::new(now);
    match format {
        LeaseFormat::Dnsmasq => dnsmasq::parse(bytes, &mut found),
        LeaseFormat::Kea => kea::parse(bytes, &mut found)?,
        LeaseFormat::Isc => isc::parse(bytes, &mut found),
        LeaseFormat::Networkd => networkd::parse(bytes, &mut found)?,
        LeaseFormat::Odhcpd => odhcpd::parse(bytes, &mut found),
    }
    Ok(found.file())
}

/// The leases that a parser has found so far. A later lease of an address replaces an
/// earlier one.
struct Found {
    now: Timestamp,
    ipv4: Newest<Ipv4Addr>,
    ipv6: Newest<Ipv6Addr>,
    report: LeaseFile,
}

impl Found {
    fn new(now: Timestamp) -> Self {
        Self {
            now,
            ipv4: Newest::default(),
            ipv6: Newest::default(),
            report: LeaseFile::default(),
        }
    }

    /// Adds a lease, or replaces the one of the same address.
    fn lease(&mut self, lease: Lease) {
        if lease.has_ended(self.now) {
            return self.end(lease.address);
        }
        let is_full = match lease.address {
            IpAddr::V4(address) => self.ipv4.insert(address, lease),
            IpAddr::V6(address) => self.ipv6.insert(address, lease),
        };
        if is_full {
            self.report.not_kept = self.report.not_kept.saturating_add(1);
        }
    }

    /// Returns true if there is a lease of `address`.
    fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.ipv4.leases.contains_key(&address),
            IpAddr::V6(address) => self.ipv6.leases.contains_key(&address),
        }
    }

    /// Removes the lease of an address that is not in use any more.
    fn end(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.ipv4.remove(address),
            IpAddr::V6(address) => self.ipv6.remove(address),
        }
        self.report.ended = self.report.ended.saturating_add(1);
    }

    /// Counts a lease of a prefix.
    fn prefix(&mut self) {
        self.report.prefixes = self.report.prefixes.saturating_add(1);
    }

    fn skip(&mut self, line: u64, error: &InvalidLine) {
        self.report.skipped.add(line, || error.to_string());
    }

    fn file(self) -> LeaseFile {
        let (ipv4, ipv6) = (self.ipv4.leases, self.ipv6.leases);
        let ipv4 = ipv4.into_values().map(|(_, lease)| lease);
        let ipv6 = ipv6.into_values().map(|(_, lease)| lease);
        LeaseFile {
            leases: ipv4.chain(ipv6).collect(),
            ..self.report
        }
    }
}

/// The newest [`MAX_LEASES`] leases. Servers append to their files, so a later row is newer.
struct Newest<A> {
    /// Each lease with its place in the file.
    leases: BTreeMap<A, (u64, Lease)>,
    order: BTreeMap<u64, A>,
    next: u64,
}

impl<A> Default for Newest<A> {
    fn default() -> Self {
        Self {
            leases: BTreeMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<A: Ord + Copy> Newest<A> {
    /// Adds a lease, or replaces the one of the same address. Returns true if the oldest one
    /// was removed for it.
    fn insert(&mut self, address: A, lease: Lease) -> bool {
        let place = self.next;
        self.next = place.saturating_add(1);
        if let Some((before, _)) = self.leases.insert(address, (place, lease)) {
            self.order.remove(&before);
        }
        self.order.insert(place, address);
        if self.leases.len() <= MAX_LEASES {
            return false;
        }
        if let Some((_, oldest)) = self.order.pop_first() {
            self.leases.remove(&oldest);
        }
        true
    }

    fn remove(&mut self, address: A) {
        if let Some((place, _)) = self.leases.remove(&address) {
            self.order.remove(&place);
        }
    }
}

/// Parses a MAC of a device in the usual notation.
fn mac(text: &[u8]) -> Option<MacAddress> {
    let mac = str::from_utf8(text).ok()?.parse().ok()?;
    mac::is_device(mac).then_some(mac)
}

/// Returns the MAC of a device from its bytes.
fn mac_of_bytes(bytes: &[u8]) -> Option<MacAddress> {
    let mac = MacAddress(bytes.try_into().ok()?);
    mac::is_device(mac).then_some(mac)
}

fn address(text: &[u8]) -> Result<IpAddr, InvalidLine> {
    let address = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    address.ok_or(InvalidLine::Address)
}

fn number<N: std::str::FromStr>(text: &[u8]) -> Result<N, InvalidLine> {
    let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or(InvalidLine::Number)
}

/// Returns the time of `seconds` since 1970-01-01T00:00:00Z. Returns `None` for a time
/// after the year 9999: the lease has no end.
fn time(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

#[cfg(test)]
mod tests;
