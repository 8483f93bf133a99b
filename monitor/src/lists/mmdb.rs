//! MMDB databases, whose networks are found by their autonomous system or country.

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

/// Begins the metadata at the end of the file.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// Length in bits of the prefix that IPv4 has in the tree of both families.
const IPV4_IN_IPV6: u8 = 96;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Cut short, or written wrong.
    #[error("read the MMDB database: {}", message(.0.to_string()))]
    Damaged(#[from] MaxMindDbError),
    /// Far more leaves than a tree of so many nodes can have.
    #[error("read the MMDB database: its search tree has loops")]
    Loops,
    /// No entry has what was asked for.
    #[error("no entry of this MMDB database (`{database_type}`) has {}", wanted.words())]
    Content {
        /// As its metadata say.
        database_type: String,
        /// What was asked for.
        wanted: Wanted,
    },
    /// Something else where that belongs.
    #[error("an entry of this MMDB database (`{database_type}`) has `{text}` in place of {}", wanted.words())]
    Value {
        /// As its metadata say.
        database_type: String,
        /// What was found.
        text: String,
        /// What was asked for.
        wanted: Wanted,
    },
}

/// What entries are selected by.
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
    /// How to mend it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Damaged(_) | Self::Loops => "fetch the database again",
            Self::Content { wanted, .. } | Self::Value { wanted, .. } => match wanted {
                Wanted::Asn => {
                    "name a database of autonomous systems: its entries have `autonomous_system_number` or `asn`"
                }
                Wanted::Country => {
                    "name a database of countries: its entries have `country.iso_code`, `country_code`, or a code as `country`"
                }
            },
        }
    }
}

/// Whether `bytes` are an MMDB database, by the mark that every one has and no
/// UTF-8 text.
#[must_use]
pub fn is_database(bytes: &[u8]) -> bool {
    // As far from the end as readers look for it.
    let tail = &bytes[bytes.len().saturating_sub(128 * 1024)..];
    tail.windows(MARKER.len()).any(|window| window == MARKER)
}

/// Takes what `selection` asks for out of a database, in one walk.
pub fn read_database(bytes: &[u8], selection: &Selection) -> Result<List, DatabaseError> {
    let reader = Reader::from_source(bytes)?;
    let mut chooser = Chooser::new(selection);
    let mut entries = Entries::new(&reader, selection);
    let mut list = List::new(Kind::Database);
    for network in networks(&reader)? {
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
    // Where IPv4 is written twice, as such and as IPv4-mapped.
    list.ipv4.sort_unstable();
    list.ipv4.dedup();
    list.missing = chooser.missing();
    Ok(list)
}

type DatabaseRecord<'a> = (IpNetwork, usize, maxminddb::LookupResult<'a, &'a [u8]>);

/// Every network with an entry, once: the places where a tree of both families
/// repeats its IPv4 part are passed over.
fn networks<'a>(
    reader: &'a Reader<&'a [u8]>,
) -> Result<impl Iterator<Item = Result<DatabaseRecord<'a>, DatabaseError>>, DatabaseError> {
    let mut options = WithinOptions::default().include_networks_without_data();
    // Without an IPv4 part, what looks like its repetition is another network
    // with the same entry.
    let zero = reader.lookup(IpAddr::V4(Ipv4Addr::UNSPECIFIED))?;
    if zero.network()?.is_ipv6() {
        options = options.include_aliased_networks();
    }
    // A tree has one leaf more than nodes; parts that are shared are tolerated.
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

/// The IPv4 network that an IPv6 one stands for, under `::/96` or IPv4-mapped.
fn ipv4_within(address: Ipv6Addr, length: u8) -> Option<(Ipv4Addr, u8)> {
    let length = length.checked_sub(IPV4_IN_IPV6)?;
    let number = address.to_bits();
    let low = u32::try_from(number).ok().map(Ipv4Addr::from_bits);
    Some((low.or_else(|| address.to_ipv4_mapped())?, length))
}

/// The keys of the entries that networks share.
struct Entries<'a> {
    database_type: &'a str,
    wanted: Wanted,
    /// By where the entry lies.
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

/// What publishers call the two things that are asked for here. Of `MaxMind`'s
/// two countries `country` is taken, where the addresses are; never
/// `registered_country`, where their holder is registered: they differ for
/// whole networks, and one in place of the other would answer another question.
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
    /// `None` where nobody announces the network; what was found instead as error.
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

    /// `None` where none is known; what was found instead as error.
    fn country(&self) -> Result<Option<Key>, String> {
        // Where there is a `country_code`, `country` may be its name.
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
