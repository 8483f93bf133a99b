//! Reads MMDB databases, and selects their networks by AS number or country.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnetwork::IpNetwork;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::{Deserialize, de::IgnoredAny};

use super::{Key, Kind, List, Selection, selection::Chooser};
use crate::{
    address::{Address, Interval, Network},
    quoted::{message, quoted},
};

/// The bytes with which the metadata begin, near the end of the file.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// The length in bits of the IPv6 prefix under which a tree for both families stores
/// IPv4.
const IPV4_IN_IPV6: u8 = 96;

/// The reason why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file is truncated or malformed.
    #[error("read the MMDB database: {}", message(.0.to_string()))]
    Damaged(#[from] MaxMindDbError),
    /// The tree has far more leaves than its number of nodes allows.
    #[error("read the MMDB database: its search tree has loops")]
    Loops,
    /// No entry has the wanted kind of value.
    #[error("no entry of this MMDB database (`{database_type}`) has {}", wanted.words())]
    Content {
        /// The database type in its metadata.
        database_type: String,
        /// The wanted kind of value.
        wanted: Wanted,
    },
    /// An entry has another value in its place.
    #[error("an entry of this MMDB database (`{database_type}`) has `{text}` in place of {}", wanted.words())]
    Value {
        /// The database type in its metadata.
        database_type: String,
        /// The value that was found.
        text: String,
        /// The wanted kind of value.
        wanted: Wanted,
    },
}

/// The kind of value by which entries are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Numbers of autonomous systems.
    Asn,
    /// Countries.
    Country,
}

impl Wanted {
    const fn words(self) -> &'static str {
        match self {
            Self::Asn => "the number of an autonomous system",
            Self::Country => "a country code",
        }
    }
}

impl DatabaseError {
    /// Returns the fix.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Damaged(_) | Self::Loops => "fetch the database again",
            Self::Content { wanted, .. } | Self::Value { wanted, .. } => match wanted {
                Wanted::Asn => {
                    "use a database of autonomous systems: its entries have `autonomous_system_number` or `asn`"
                }
                Wanted::Country => {
                    "use a database of countries: its entries have `country.iso_code`, `country_code`, or a code as `country`"
                }
            },
        }
    }
}

/// Returns true if `bytes` are an MMDB database. Looks for the marker of the metadata,
/// which cannot occur in UTF-8 text.
#[must_use]
pub fn is_database(bytes: &[u8]) -> bool {
    // The format allows the metadata in the last 128 KiB of the file.
    let tail = &bytes[bytes.len().saturating_sub(128 * 1024)..];
    tail.windows(MARKER.len()).any(|window| window == MARKER)
}

/// Reads the networks that `selection` includes, in one walk through the database.
pub fn read_database(bytes: &[u8], selection: &Selection) -> Result<List, DatabaseError> {
    let reader = Reader::from_source(bytes)?;
    let mut chooser = Chooser::new(selection);
    let mut entries = Entries::new(&reader, selection);
    let mut list = List::new(Kind::Database);
    for network in database_networks(&reader)? {
        let (network, offset, record) = network?;
        let key = entries.key(offset, record)?;
        if !chooser.takes(key) {
            list.left_out += 1;
            continue;
        }
        match network {
            IpNetwork::V4(of) => list.ipv4.extend(interval(of.network(), of.prefix())),
            IpNetwork::V6(of) => match ipv4_within(of.network(), of.prefix()) {
                Some((address, length)) => list.ipv4.extend(interval(address, length)),
                None => list.ipv6.extend(interval(of.network(), of.prefix())),
            },
        }
    }
    entries.refuse_other_content()?;
    // A database can have the same IPv4 network twice: as IPv4, and as IPv4-mapped.
    list.ipv4.sort_unstable();
    list.ipv4.dedup();
    list.missing = chooser.missing();
    Ok(list)
}

/// A network of a database, the offset of its entry in the file, and the entry.
pub(crate) type DatabaseRecord<'a> = (IpNetwork, usize, maxminddb::LookupResult<'a, &'a [u8]>);

/// Returns every network that has an entry, each once. A tree for both families can
/// repeat its IPv4 part under other prefixes (aliases); these are skipped.
pub(crate) fn database_networks<'a>(
    reader: &'a Reader<&'a [u8]>,
) -> Result<impl Iterator<Item = Result<DatabaseRecord<'a>, DatabaseError>>, DatabaseError> {
    let mut options = WithinOptions::default().include_networks_without_data();
    // If the tree has no IPv4 part, nothing is an alias of it. The reader would take other
    // networks with the same entry for aliases, so they are included.
    let zero = reader.lookup(IpAddr::V4(Ipv4Addr::UNSPECIFIED))?;
    if zero.network()?.is_ipv6() {
        options = options.include_aliased_networks();
    }
    // A tree has one leaf more than it has nodes. The factor 3 tolerates parts of the tree
    // that are reached in several ways.
    let limit = 3 * (reader.metadata().node_count as usize + 1);
    let found = reader.networks(options)?.enumerate();
    Ok(found.filter_map(move |(index, found)| {
        if index >= limit {
            return Some(Err(DatabaseError::Loops));
        }
        let found = match found {
            Ok(found) => found,
            Err(error) => return Some(Err(error.into())),
        };
        let offset = found.offset()?;
        let network = found.network().map_err(DatabaseError::from);
        Some(network.map(|network| (network, offset, found)))
    }))
}

fn interval<A: Address>(address: A, length: u8) -> Option<(Interval<A>, u32)> {
    Some((Network::new(address, length)?.interval(), 0))
}

/// Returns the IPv4 network of an IPv6 network below `::/96` or `::ffff:0:0/96`.
pub(crate) fn ipv4_within(address: Ipv6Addr, length: u8) -> Option<(Ipv4Addr, u8)> {
    let length = length.checked_sub(IPV4_IN_IPV6)?;
    let number = address.to_bits();
    let low = u32::try_from(number).ok().map(Ipv4Addr::from_bits);
    Some((low.or_else(|| address.to_ipv4_mapped())?, length))
}

/// The keys of the entries read so far. Many networks share one entry.
struct Entries<'a> {
    database_type: &'a str,
    wanted: Wanted,
    /// The key of each entry, by the entry's offset in the file.
    keys: HashMap<usize, Option<Key>>,
}

impl<'a> Entries<'a> {
    fn new(reader: &'a Reader<&[u8]>, selection: &Selection) -> Self {
        Self {
            database_type: &reader.metadata().database_type,
            wanted: if selection.asn().is_some() {
                Wanted::Asn
            } else {
                Wanted::Country
            },
            keys: HashMap::new(),
        }
    }

    fn key(
        &mut self,
        offset: usize,
        found: maxminddb::LookupResult<'_, &[u8]>,
    ) -> Result<Option<Key>, DatabaseError> {
        if let Some(known) = self.keys.get(&offset) {
            return Ok(*known);
        }
        let record: Record<'_> = found.decode()?.unwrap_or_default();
        let key = match self.wanted {
            Wanted::Asn => record.asn(),
            Wanted::Country => record.country(),
        };
        let key = key.map_err(|text| DatabaseError::Value {
            database_type: quoted(self.database_type),
            text,
            wanted: self.wanted,
        })?;
        self.keys.insert(offset, key);
        Ok(key)
    }

    fn refuse_other_content(&self) -> Result<(), DatabaseError> {
        if self.keys.is_empty() || self.keys.values().any(Option::is_some) {
            return Ok(());
        }
        Err(DatabaseError::Content {
            database_type: quoted(self.database_type),
            wanted: self.wanted,
        })
    }
}

/// The fields of an entry that hold an AS number or a country, as different publishers
/// call them.
///
/// `MaxMind` has two countries. This uses `country`, where the addresses are, and never
/// `registered_country`, where their holder is registered. The two differ for whole
/// networks, so one cannot replace the other.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map with names")]
struct Record<'a> {
    /// `GeoLite2`, DB-IP.
    autonomous_system_number: Option<Asn<'a>>,
    /// `IPinfo`.
    #[serde(borrow)]
    asn: Option<Asn<'a>>,
    country_code: Option<&'a str>,
    country: Option<RecordPath<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Asn<'a> {
    Number(u64),
    Text(&'a str),
    Other(IgnoredAny),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RecordPath<'a> {
    Text(&'a str),
    /// `GeoLite2`, DB-IP.
    Code {
        #[serde(borrow)]
        iso_code: Option<&'a str>,
    },
    Other(IgnoredAny),
}

impl Record<'_> {
    /// Returns the AS number, or `None` if no autonomous system announces the network. The
    /// error is the value that was found instead.
    fn asn(&self) -> Result<Option<Key>, String> {
        let found = self.autonomous_system_number.as_ref();
        let number = match found.or(self.asn.as_ref()) {
            None | Some(Asn::Text("" | "-")) => return Ok(None),
            Some(Asn::Number(number)) => u32::try_from(*number).map_err(|_| number.to_string()),
            Some(Asn::Text(text)) => {
                let digits = text.strip_prefix("AS").unwrap_or(text);
                digits.parse().map_err(|_| quoted(text))
            }
            Some(Asn::Other(_)) => Err("…".to_owned()),
        };
        number.map(|number| Some(Key::Asn(number)))
    }

    /// Returns the country, or `None` if it is not known. The error is the value that was
    /// found instead.
    fn country(&self) -> Result<Option<Key>, String> {
        // If there is a `country_code`, `country` may hold the country's name.
        let code = match (self.country_code, &self.country) {
            (Some(code), _) => code,
            (None, Some(RecordPath::Text(code))) => *code,
            (None, Some(RecordPath::Code { iso_code })) => iso_code.unwrap_or_default(),
            (None, Some(RecordPath::Other(_))) => return Err("…".to_owned()),
            (None, None) => return Ok(None),
        };
        if matches!(code, "" | "-" | "??") {
            return Ok(None);
        }
        let country = code.parse().map_err(|_| quoted(code))?;
        Ok(Some(Key::Country(country)))
    }
}
