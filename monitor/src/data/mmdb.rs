//! Reads the networks of an MMDB database with AS numbers, countries and organisations.

use std::net::Ipv6Addr;

use ipnetwork::IpNetwork;
use jiff::{Timestamp, civil::Date, tz::Offset};
use maxminddb::{MaxMindDbError, Reader};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    facts::{Facts, clean_name},
    statement::CountryMeaning,
    table::{BuildError, Builder},
};
use crate::{
    address::{Address, Destination, Network},
    lists::{Country, DatabaseError, asn, database_networks, ipv4_within},
};

/// The reason why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MmdbError {
    /// The database is damaged.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Building the table failed.
    #[error(transparent)]
    Build(#[from] BuildError),
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
    // Many networks in a row share one entry.
    let mut before: Option<(usize, Facts)> = None;
    for network in database_networks(&reader)? {
        let (network, offset, found) = network?;
        let facts = match before.take() {
            Some((known, facts)) if known == offset => facts,
            Some(_) | None => {
                let entry: Option<Entry<'_>> = found.decode()?;
                entry.map(|entry| entry.facts()).unwrap_or_default()
            }
        };
        if !facts.is_empty()
            && let Some(addresses) = addresses(network)
        {
            builder.add(addresses, &facts)?;
        }
        before = Some((offset, facts));
    }
    if builder.rows() == 0 {
        return Err(MmdbError::Nothing);
    }
    let built = reader.metadata().build_epoch;
    let built = i64::try_from(built)
        .ok()
        .and_then(|at| Timestamp::from_second(at).ok());
    Ok(built.map(|at| Offset::UTC.to_datetime(at).date()))
}

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
            holder: name(&self.organization),
            ..Facts::default()
        }
    }
}
