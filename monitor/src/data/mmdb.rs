//! Reads the networks of an MMDB database with AS numbers, countries and organisations.

mod work;

use std::{collections::HashMap, net::Ipv6Addr};

use ipnetwork::IpNetwork;
use jiff::{Timestamp, civil::Date, tz::Offset};
use maxminddb::{MaxMindDbError, Reader};
use serde::{Deserialize, de::IgnoredAny};

use self::work::{TooMuchWork, Work};
use super::{
    facts::{Facts, clean_name},
    statement::{CountryMeaning, HolderField},
    table::{BuildError, Builder},
};
use crate::{
    address::{Address, Destination, Network},
    lists::{Country, DatabaseError, asn, database_networks, ipv4_within},
};

/// Maximum number of networks, also of those that state nothing.
const MAX_NETWORKS: usize = 4_000_000;

/// Maximum number of entries of which the place is remembered. Beyond this all are
/// forgotten. It is 7/8 of a power of two, so that the map does not grow.
const REMEMBERED: usize = 112 * 1024;

/// The reason why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MmdbError {
    /// The database is damaged.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Building the table failed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// There are more networks than the limit.
    #[error("this MMDB database has more than {MAX_NETWORKS} networks")]
    Networks,
    /// Reading the entries takes too much work.
    #[error(transparent)]
    Work(#[from] TooMuchWork),
    /// No entry states a known fact.
    #[error("no entry of this MMDB database has an AS number, a country or an organisation")]
    Nothing,
}

impl From<MaxMindDbError> for MmdbError {
    fn from(error: MaxMindDbError) -> Self {
        Self::Database(error.into())
    }
}

/// Reads every network into `builder`. Returns the date of the database.
pub(super) fn read(bytes: &[u8], builder: &mut Builder) -> Result<Option<Date>, MmdbError> {
    let reader = Reader::from_source(bytes)?;
    let metadata = reader.metadata();
    let mut work = Work::new(bytes, metadata.node_count, metadata.record_size);
    // Many networks share one entry.
    let mut places = Places::new();
    for (index, network) in database_networks(&reader)?.enumerate() {
        if index == MAX_NETWORKS {
            return Err(MmdbError::Networks);
        }
        let (network, offset, found) = network?;
        let place = if let Some(known) = places.get(&offset) {
            *known
        } else {
            work.take(offset)?;
            let entry: Option<Entry<'_>> = found.decode()?;
            let facts = entry.map(|entry| entry.facts()).unwrap_or_default();
            let stated = !facts.is_empty();
            let place = stated.then(|| builder.store(&facts)).transpose()?;
            if places.len() == REMEMBERED {
                places.clear();
            }
            places.insert(offset, place);
            place
        };
        if let (Some(place), Some(addresses)) = (place, addresses(network)) {
            builder.add_stored(addresses, place)?;
        }
    }
    if builder.rows() == 0 {
        return Err(MmdbError::Nothing);
    }
    let built = i64::try_from(metadata.build_epoch)
        .ok()
        .and_then(|at| Timestamp::from_second(at).ok());
    Ok(built.map(|at| Offset::UTC.to_datetime(at).date()))
}

/// The place of the facts of each entry in the table, by the entry's offset. `None` if the
/// entry states nothing.
type Places = HashMap<usize, Option<u32>>;

fn addresses(network: IpNetwork) -> Option<Destination> {
    fn interval<A: Address>(address: A, length: u8) -> Option<crate::address::Interval<A>> {
        Some(Network::new(address, length)?.interval())
    }
    match network {
        IpNetwork::V4(of) => interval(of.network(), of.prefix()).map(Destination::Ipv4),
        IpNetwork::V6(of) => {
            let address: Ipv6Addr = of.network();
            match ipv4_within(address, of.prefix()) {
                Some((address, length)) => interval(address, length).map(Destination::Ipv4),
                None => interval(address, of.prefix()).map(Destination::Ipv6),
            }
        }
    }
}

/// The fields of an entry, as different publishers call them. A field of another type
/// counts as missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map with names")]
struct Entry<'a> {
    /// `GeoLite2`, DB-IP.
    #[serde(borrow)]
    autonomous_system_number: Option<Scalar<'a>>,
    #[serde(borrow)]
    autonomous_system_organization: Option<Scalar<'a>>,
    /// `IPinfo`.
    #[serde(borrow)]
    asn: Option<Scalar<'a>>,
    #[serde(borrow)]
    as_name: Option<Scalar<'a>>,
    #[serde(borrow)]
    country_code: Option<Scalar<'a>>,
    #[serde(borrow)]
    country: Option<Place<'a>>,
    /// `MaxMind`: the country under which the range is registered.
    #[serde(borrow)]
    registered_country: Option<Place<'a>>,
    /// `GeoIP2-ISP`: the organisation that uses the range.
    #[serde(borrow)]
    organization: Option<Scalar<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar<'a> {
    Number(u64),
    Text(&'a str),
    Other(IgnoredAny),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Place<'a> {
    Text(&'a str),
    Code {
        #[serde(borrow)]
        iso_code: Option<Scalar<'a>>,
    },
    Other(IgnoredAny),
}

impl Scalar<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Other(_) => None,
        }
    }

    fn asn(&self) -> Option<u32> {
        match self {
            Self::Number(number) => u32::try_from(*number).ok(),
            Self::Text(text) => asn(text),
            Self::Other(_) => None,
        }
    }
}

impl Place<'_> {
    fn country(&self) -> Option<Country> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Code { iso_code } => iso_code.as_ref()?.text()?.parse().ok(),
            Self::Other(_) => None,
        }
    }
}

impl Entry<'_> {
    fn facts(&self) -> Facts {
        let name = |field: &Option<Scalar<'_>>| {
            let text = field.as_ref().and_then(Scalar::text);
            text.and_then(clean_name)
        };
        let number = self.autonomous_system_number.as_ref().or(self.asn.as_ref());
        let registered = self.registered_country.as_ref().and_then(Place::country);
        let code = self.country_code.as_ref().and_then(Scalar::text);
        let code = code.and_then(|code| code.parse().ok());
        let located = code.or_else(|| self.country.as_ref().and_then(Place::country));
        let registered = registered.map(|country| (country, CountryMeaning::Delegation));
        let located = located.map(|country| (country, CountryMeaning::Location));
        Facts {
            asn: number.and_then(Scalar::asn),
            organisation: name(&self.autonomous_system_organization)
                .or_else(|| name(&self.as_name)),
            country: registered.or(located),
            holder: name(&self.organization).map(|name| (name, HolderField::Organization)),
            ..Facts::default()
        }
    }
}
