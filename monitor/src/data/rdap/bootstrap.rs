//! The RDAP server for an address, from the bootstrap files of IANA (RFC 9224), as
//! published at <https://data.iana.org/rdap/>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::{Timestamp, civil::Date, tz::Offset};
use serde::Deserialize;

use super::{RdapError, Server};
use crate::{address::Destination, registry::Registry};

const IPV4: &str = include_str!("ipv4.json");
const IPV6: &str = include_str!("ipv6.json");

/// A bootstrap file.
#[derive(Debug, Deserialize)]
struct Bootstrap {
    publication: Timestamp,
    /// Networks, and the base URLs of the servers for them.
    services: Vec<(Vec<Destination>, Vec<String>)>,
}

impl Bootstrap {
    fn of(address: IpAddr) -> Self {
        Self::parse(if address.is_ipv4() { IPV4 } else { IPV6 })
    }

    #[expect(
        clippy::expect_used,
        reason = "the text is part of the program, and a test parses it"
    )]
    fn parse(text: &str) -> Self {
        serde_json::from_str(text).expect("the file in the program is valid")
    }

    /// Returns the URLs for the longest prefix that contains `address`.
    fn urls(&self, address: IpAddr) -> Option<&[String]> {
        let services = self.services.iter();
        let matching = services.flat_map(|(networks, urls)| {
            let containing = networks
                .iter()
                .filter_map(|network| size(*network, address));
            containing.map(move |size| (size, urls.as_slice()))
        });
        matching.min_by_key(|(size, _)| *size).map(|(_, urls)| urls)
    }
}

/// Returns the number of addresses of `network` if it contains `address`.
fn size(network: Destination, address: IpAddr) -> Option<u128> {
    let (first, last): (u128, u128) = match network {
        Destination::Ipv4(of) => (of.first().to_bits().into(), of.last().to_bits().into()),
        Destination::Ipv6(of) => (of.first().to_bits(), of.last().to_bits()),
    };
    let number = match (network, address) {
        (Destination::Ipv4(_), IpAddr::V4(address)) => Ipv4Addr::to_bits(address).into(),
        (Destination::Ipv6(_), IpAddr::V6(address)) => Ipv6Addr::to_bits(address),
        (Destination::Ipv4(_), IpAddr::V6(_)) | (Destination::Ipv6(_), IpAddr::V4(_)) => {
            return None;
        }
    };
    let contains = (first..=last).contains(&number);
    contains.then(|| (last - first).saturating_add(1))
}

/// Returns the server for `address`. Only servers with https count.
pub(super) fn server_for(address: IpAddr) -> Result<Server, RdapError> {
    let bootstrap = Bootstrap::of(address);
    let urls = bootstrap.urls(address).unwrap_or_default();
    let mut encrypted = urls.iter().filter(|url| url.starts_with("https://"));
    let server = encrypted.find_map(|url| url.parse().ok());
    server.ok_or_else(|| RdapError::NoServer {
        address,
        published: published(&bootstrap),
    })
}

/// Returns the registry that runs this host: it is in IANA's table, and a part of its name is
/// the registry's. Any other host could carry such a name.
pub(super) fn registry_of(host: &str) -> Option<Registry> {
    let is_known = [IPV4, IPV6].into_iter().any(|text| {
        let services = Bootstrap::parse(text).services;
        let mut urls = services.iter().flat_map(|(_, urls)| urls);
        urls.any(|url| url.parse::<Server>().is_ok_and(|url| url.0.host() == host))
    });
    let mut parts = host.split('.');
    parts.find_map(Registry::of_file).filter(|_| is_known)
}

/// Returns the registry of a whois server: `whois.apnic.net` is APNIC's.
pub(super) fn registry_of_whois(host: &str) -> Option<Registry> {
    let name = host.strip_prefix("whois.")?.strip_suffix(".net")?;
    Registry::of_file(name).filter(|registry| registry.parent().is_none())
}

fn published(bootstrap: &Bootstrap) -> Date {
    Offset::UTC.to_datetime(bootstrap.publication).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(address: &str) -> String {
        let server = server_for(address.parse().unwrap()).unwrap();
        server.0.as_str().to_owned()
    }

    #[test]
    fn the_server_of_each_regional_registry_is_found() {
        for (address, base) in [
            ("42.62.48.1", "https://rdap.apnic.net/"),
            ("203.107.1.65", "https://rdap.apnic.net/"),
            ("47.241.69.153", "https://rdap.arin.net/registry/"),
            ("193.0.6.139", "https://rdap.db.ripe.net/"),
            ("200.160.2.3", "https://rdap.lacnic.net/rdap/"),
            ("196.216.2.6", "https://rdap.afrinic.net/rdap/"),
            ("2400:cb00::1", "https://rdap.apnic.net/"),
            ("2001:67c:2e8::1", "https://rdap.db.ripe.net/"),
            ("2001:500:88::1", "https://rdap.arin.net/registry/"),
        ] {
            assert_eq!(server(address), base, "{address}");
        }
    }

    #[test]
    fn an_address_without_a_server_is_an_error_that_names_the_table_and_the_option() {
        for address in ["10.1.2.3", "127.0.0.1", "224.0.0.1", "fe80::1", "3fff::1"] {
            let error = server_for(address.parse().unwrap())
                .unwrap_err()
                .to_string();
            assert!(error.contains("table of 2019-"), "{error}");
            assert!(error.contains("--rdap-server"), "{error}");
        }
    }

    #[test]
    fn only_a_host_of_the_table_is_a_registrys() {
        for (host, registry) in [
            ("rdap.apnic.net", Some(Registry::Apnic)),
            ("rdap.db.ripe.net", Some(Registry::RipeNcc)),
            ("rdap.arin.net", Some(Registry::Arin)),
            ("rdap.lacnic.net", Some(Registry::Lacnic)),
            ("rdap.afrinic.net", Some(Registry::Afrinic)),
            ("apnic.example.net", None),
            ("rdap.apnic.net.example.com", None),
            ("arin.net", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(registry_of(host), registry, "{host}");
        }
        for (host, registry) in [
            ("whois.apnic.net", Some(Registry::Apnic)),
            ("whois.ripe.net", Some(Registry::RipeNcc)),
            ("whois.apnic.example.net", None),
            ("apnic.net", None),
            ("whois.cnnic.net", None),
            ("", None),
        ] {
            assert_eq!(registry_of_whois(host), registry, "{host}");
        }
    }

    /// Every /8 outside of 0/8, 10/8, 127/8, multicast and reserved space is delegated
    /// through exactly one registry.
    #[test]
    fn the_ipv4_table_is_complete() {
        let bootstrap = Bootstrap::of(Ipv4Addr::LOCALHOST.into());
        for first in 0..=255 {
            let address = IpAddr::from([first, 1, 2, 3]);
            let networks = bootstrap.services.iter().flat_map(|(networks, _)| networks);
            let found = networks.filter(|network| size(**network, address).is_some());
            let expected = usize::from(!matches!(first, 0 | 10 | 127 | 224..));
            assert_eq!(found.count(), expected, "{first}");
        }
    }
}
