//! Leases of the DHCP server of systemd-networkd (`dhcp_server_save_leases` in its
//! `sd-dhcp-server-lease.c`).
//!
//! ```json
//! {"BootID":"…","Address":[192,168,50,1],"PrefixLength":24,"Leases":[
//!  {"ClientId":[1,100,204,46,17,34,51],"Address":[192,168,50,10],"Hostname":"phone",
//!   "HardwareAddressType":1,"HardwareAddressLength":6,
//!   "HardwareAddress":[100,204,46,17,34,51],
//!   "ExpirationUSec":86400000000,"ExpirationRealtimeUSec":1796000000000000}]}
//! ```
//!
//! Version 256 wrote only the array, without the fields from `HardwareAddressType` on and
//! without `ExpirationRealtimeUSec`. `ExpirationUSec` is a time since the machine started,
//! so it is not read.

use std::{fmt, net::Ipv4Addr};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Found, InvalidLeaseFile, InvalidLine, Lease, LeaseFormat, MAX_LEASES, mac_of_bytes};
use crate::{devices::lines::host_name, policy::MacAddress};

/// Hardware type of Ethernet (IANA).
const ETHERNET: u64 = 1;

/// Longest element that is read, in bytes. networkd writes at most 255 numbers for the
/// client identifier, and a host name.
const MAX_ELEMENT: usize = 8192;

#[derive(Deserialize)]
struct File<'a> {
    #[serde(rename = "Leases", borrow, default)]
    leases: Elements<'a>,
}

/// The elements of the array, as text: one that is not a lease does not end the file.
#[derive(Default)]
struct Elements<'a> {
    texts: Vec<&'a str>,
    /// Number of elements beyond the limit.
    not_kept: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    address: [u8; 4],
    #[serde(default)]
    client_id: Vec<u8>,
    hostname: Option<String>,
    hardware_address_type: Option<u64>,
    hardware_address: Option<Vec<u8>>,
    #[serde(rename = "ExpirationRealtimeUSec")]
    expiration: Option<u64>,
}

pub(super) fn parse(bytes: &[u8], found: &mut Found) -> Result<(), InvalidLeaseFile> {
    let elements = match bytes.trim_ascii() {
        [] => return Ok(()),
        bytes @ [b'[', ..] => serde_json::from_slice(bytes),
        bytes => serde_json::from_slice(bytes).map(|file: File<'_>| file.leases),
    };
    let elements = elements.map_err(|error| InvalidLeaseFile::Json { line: error.line() })?;
    found.report.not_kept = found.report.not_kept.saturating_add(elements.not_kept);
    for (number, text) in (1..).zip(elements.texts) {
        match element(text) {
            Ok(entry) => found.lease(entry.lease()),
            Err(error) => found.skip(number, &error),
        }
    }
    Ok(())
}

fn element(text: &str) -> Result<Entry, InvalidLine> {
    if text.len() > MAX_ELEMENT {
        return Err(InvalidLine::Element);
    }
    serde_json::from_str(text).map_err(|_| InvalidLine::Element)
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

struct ElementsVisitor;

impl<'a> Visitor<'a> for ElementsVisitor {
    type Value = Elements<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of leases")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Elements<'a>, A::Error> {
        let mut elements = Elements::default();
        while let Some(element) = array.next_element::<&RawValue>()? {
            if elements.texts.len() < MAX_LEASES {
                elements.texts.push(element.get());
            } else {
                elements.not_kept = elements.not_kept.saturating_add(1);
            }
        }
        Ok(elements)
    }
}

impl Entry {
    fn lease(&self) -> Lease {
        let name = self.hostname.as_deref().unwrap_or_default();
        // 2^64 - 1 is how systemd writes "never"; it is no time before the year 10000.
        let microseconds = self.expiration.and_then(|time| i64::try_from(time).ok());
        Lease {
            mac: self.mac(),
            address: Ipv4Addr::from(self.address).into(),
            host_name: host_name(name.as_bytes()),
            expires: microseconds.and_then(|time| Timestamp::from_microsecond(time).ok()),
            source: LeaseFormat::Networkd,
        }
    }

    /// Returns the MAC. Without a hardware address, that is the MAC in a client identifier
    /// of the type Ethernet (RFC 2132, section 9.14).
    fn mac(&self) -> Option<MacAddress> {
        match (&self.hardware_address, self.client_id.as_slice()) {
            (Some(bytes), _) => {
                let kind = self.hardware_address_type.unwrap_or(ETHERNET);
                mac_of_bytes(bytes).filter(|_| kind == ETHERNET)
            }
            (None, [1, bytes @ ..]) => mac_of_bytes(bytes),
            (None, _) => None,
        }
    }
}
