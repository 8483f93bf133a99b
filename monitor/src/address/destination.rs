//! Parses a destination in a policy file or a list: a CIDR, an address or a range.

use std::{
    fmt,
    net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{
    InvalidDestination,
    network::{Address, Interval, Network},
};
use crate::quoted::quoted;

/// The addresses of one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Destination {
    /// IPv4 addresses.
    Ipv4(Interval<Ipv4Addr>),
    /// IPv6 addresses.
    Ipv6(Interval<Ipv6Addr>),
}

impl FromStr for Destination {
    type Err = InvalidDestination;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidDestination::Empty);
        }
        if let Some((first, last)) = text.split_once('-') {
            // Many host names contain a hyphen too.
            if looks_like_address(first) {
                return range(text, first.trim(), last.trim());
            }
        }
        match text.split_once('/') {
            Some((address, length)) => cidr(text, address, length),
            None => match address(text)? {
                IpAddr::V4(address) => Ok(Self::Ipv4(single(address))),
                IpAddr::V6(address) => Ok(Self::Ipv6(single(address))),
            },
        }
    }
}

impl Destination {
    /// Returns the addresses from `first` to `last`, both included. Errors show `text`.
    pub(crate) fn range(text: &str, first: &str, last: &str) -> Result<Self, InvalidDestination> {
        range(text, first.trim(), last.trim())
    }

    /// The first and the last address.
    #[must_use]
    pub fn bounds(self) -> (IpAddr, IpAddr) {
        match self {
            Self::Ipv4(interval) => (interval.first().into(), interval.last().into()),
            Self::Ipv6(interval) => (interval.first().into(), interval.last().into()),
        }
    }

    /// Returns true if one network covers exactly these addresses. Returns false for a
    /// range that consists of several networks.
    #[must_use]
    pub fn is_one_network(self) -> bool {
        match self {
            Self::Ipv4(interval) => interval.networks().len() == 1,
            Self::Ipv6(interval) => interval.networks().len() == 1,
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = InvalidDestination;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> Self {
        destination.to_string()
    }
}

/// Writes an address if there is only one, a CIDR if the addresses are one network,
/// otherwise a range.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(interval) => write_interval(*interval, f),
            Self::Ipv6(interval) => write_interval(*interval, f),
        }
    }
}

fn write_interval<A: Address>(interval: Interval<A>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (first, last) = (interval.first(), interval.last());
    match interval.networks().as_slice() {
        _ if first == last => write!(f, "{first}"),
        [network] => write!(f, "{network}"),
        _ => write!(f, "{first}-{last}"),
    }
}

fn single<A: Address>(address: A) -> Interval<A> {
    Interval::new(address, address)
        .unwrap_or_else(|| unreachable!("an address is not after itself"))
}

fn range(text: &str, first: &str, last: &str) -> Result<Destination, InvalidDestination> {
    if first.contains('/') || last.contains('/') {
        return Err(InvalidDestination::CidrInRange { text: quoted(text) });
    }
    let backwards = || InvalidDestination::Backwards {
        text: quoted(text),
        swapped: quoted(&format!("{last}-{first}")),
    };
    match (address(first)?, address(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Interval::new(first, last)
            .map(Destination::Ipv4)
            .ok_or_else(backwards),
        (IpAddr::V6(first), IpAddr::V6(last)) => Interval::new(first, last)
            .map(Destination::Ipv6)
            .ok_or_else(backwards),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            Err(InvalidDestination::MixedFamilies { text: quoted(text) })
        }
    }
}

fn cidr(text: &str, before: &str, after: &str) -> Result<Destination, InvalidDestination> {
    if let Some(ipv4) = mapped(before, Some(after)) {
        return Err(InvalidDestination::Mapped {
            text: quoted(text),
            ipv4,
        });
    }
    // With a prefix shorter than 96 bits, the network also covers addresses that are not
    // IPv4-mapped, so it is an IPv6 network.
    match address(before)? {
        IpAddr::V4(address) => network(text, address, after).map(Destination::Ipv4),
        IpAddr::V6(address) => network(text, address, after).map(Destination::Ipv6),
    }
}

fn network<A>(text: &str, address: A, after: &str) -> Result<Interval<A>, InvalidDestination>
where
    A: Address + Into<IpAddr>,
{
    let digits = !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit());
    let Some(length) = after.parse::<u8>().ok().filter(|_| digits) else {
        return Err(InvalidDestination::Length {
            text: quoted(after),
            netmask: netmask(after),
            bits: A::BITS,
        });
    };
    if length > A::BITS {
        return Err(InvalidDestination::TooLong {
            length,
            family: if A::BITS == 32 { "IPv4" } else { "IPv6" },
            bits: A::BITS,
        });
    }
    match Network::new(address, length) {
        Some(network) => Ok(network.interval()),
        None => Err(InvalidDestination::HostBits {
            text: quoted(text),
            network: Network::around(address, length).to_string(),
            address: address.into(),
            length,
        }),
    }
}

/// Returns the prefix length of a netmask such as 255.255.255.0.
fn netmask(text: &str) -> Option<u8> {
    ipnetwork::ipv4_mask_to_prefix(text.parse().ok()?).ok()
}

fn address(text: &str) -> Result<IpAddr, InvalidDestination> {
    if let Some(ipv4) = mapped(text, None) {
        return Err(InvalidDestination::Mapped {
            text: quoted(text),
            ipv4,
        });
    }
    text.parse().map_err(|source| why_no_address(text, source))
}

/// Returns the IPv4 form of an IPv4-mapped address or network (RFC 4291, section
/// 2.5.5.2).
fn mapped(address: &str, length: Option<&str>) -> Option<String> {
    const MAPPED_BITS: u8 = 96;
    let ipv4 = address.parse::<Ipv6Addr>().ok()?.to_ipv4_mapped()?;
    match length {
        None => Some(ipv4.to_string()),
        Some(length) => {
            let length = length.parse::<u8>().ok()?.checked_sub(MAPPED_BITS)?;
            (length <= <Ipv4Addr as Address>::BITS).then(|| format!("{ipv4}/{length}"))
        }
    }
}

fn why_no_address(text: &str, source: AddrParseError) -> InvalidDestination {
    if let Some((address, _zone)) = text.split_once('%')
        && address.parse::<Ipv6Addr>().is_ok()
    {
        return InvalidDestination::Zone {
            text: quoted(text),
            address: quoted(address),
        };
    }
    if let Some(decimal) = without_leading_zeros(text) {
        return InvalidDestination::LeadingZero {
            text: quoted(text),
            decimal,
        };
    }
    let quoted = quoted(text);
    if text.contains(|c: char| c.is_ascii_alphabetic() && !c.is_ascii_hexdigit())
        || (text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains(':'))
    {
        return InvalidDestination::Name { text: quoted };
    }
    InvalidDestination::Address {
        text: quoted,
        source,
    }
}

fn without_leading_zeros(text: &str) -> Option<String> {
    let numbers: Option<Vec<String>> = text
        .split('.')
        .map(|part| part.parse::<u8>().ok().map(|number| number.to_string()))
        .collect();
    let decimal = numbers?.join(".");
    (decimal.parse::<Ipv4Addr>().is_ok() && decimal != text).then_some(decimal)
}

fn looks_like_address(text: &str) -> bool {
    let only = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/' | ' ' | '%');
    text.contains(['.', ':']) && text.chars().all(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, String) {
        let error = text.parse::<Destination>().unwrap_err();
        (error.to_string(), error.help())
    }

    fn ipv4(first: [u8; 4], last: [u8; 4]) -> Destination {
        Destination::Ipv4(Interval::new(first.into(), last.into()).unwrap())
    }

    #[test]
    fn cidr_address_and_range() {
        assert_eq!(
            "42.62.48.0/24".parse(),
            Ok(ipv4([42, 62, 48, 0], [42, 62, 48, 255]))
        );
        assert_eq!(
            "203.0.113.7".parse(),
            Ok(ipv4([203, 0, 113, 7], [203, 0, 113, 7]))
        );
        let range = ipv4([198, 51, 100, 10], [198, 51, 100, 20]);
        assert_eq!("198.51.100.10-198.51.100.20".parse(), Ok(range));
        assert_eq!(" 198.51.100.10 - 198.51.100.20 ".parse(), Ok(range));
        assert_eq!("0.0.0.0/0".parse(), Ok(ipv4([0; 4], [255; 4])));
        let Ok(Destination::Ipv6(all)) = "::/0".parse() else {
            panic!("::/0 is IPv6")
        };
        assert_eq!(all.last().to_bits(), u128::MAX);
        assert!("2001:db8::1-2001:db8::ff".parse::<Destination>().is_ok());
        assert!("::ffff:0:0/95".parse::<Destination>().is_err());
        assert!("::/64".parse::<Destination>().is_ok());
    }

    #[test]
    fn a_printed_destination_parses_to_the_same_text() {
        for text in [
            "198.51.100.7",
            "198.51.100.0/24",
            "198.51.100.7-198.51.100.9",
            "2001:db8::/48",
            "2001:db8::1",
            "::-::2",
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination.to_string(), text);
        }
    }

    #[test]
    fn each_error_gives_the_reason_and_a_fix() {
        let cases = [
            ("", "empty", "write a CIDR"),
            (
                "10.0.0.1/8",
                "bits set after its first 8",
                "`10.0.0.0/8` for the network or `10.0.0.1` for the address",
            ),
            (
                "2001:db8::1/32",
                "bits set after its first 32",
                "`2001:db8::/32` for the network",
            ),
            ("010.0.0.1", "leading zero", "`10.0.0.1`"),
            ("10.0.0.01/24", "leading zero", "`10.0.0.1`"),
            ("::ffff:192.0.2.1", "written as IPv6", "`192.0.2.1`"),
            ("::ffff:192.0.2.0/120", "written as IPv6", "`192.0.2.0/24`"),
            (
                "::ffff:192.0.2.1-::ffff:192.0.2.2",
                "written as IPv6",
                "`192.0.2.1`",
            ),
            ("fe80::1%wlan0", "zone", "`fe80::1`"),
            (
                "10.0.0.0/33",
                "`/33` is longer than an IPv4 address",
                "from /0 to /32",
            ),
            (
                "2001:db8::/129",
                "`/129` is longer than an IPv6 address",
                "from /0 to /128",
            ),
            ("10.0.0.0/", "`/` is not a prefix length", "from /0 to /32"),
            (
                "10.0.0.0/+8",
                "`/+8` is not a prefix length",
                "from /0 to /32",
            ),
            ("10.0.0.0/255.0.0.0", "is not a prefix length", "`/8`"),
            (
                "10.0.0.9-10.0.0.1",
                "ends before it starts",
                "`10.0.0.1-10.0.0.9`",
            ),
            ("10.0.0.1-2001:db8::1", "one family", "one range for IPv4"),
            (
                "10.0.0.0/8-11.0.0.0/8",
                "CIDR at one end",
                "first and the last address",
            ),
            ("api.account.xiaomi.com", "is a name", "its addresses"),
            ("my-host.example", "is a name", "its addresses"),
            ("10.0.0", "is not an IPv4 or IPv6 address", "write a CIDR"),
            (
                "10.0.0.256",
                "is not an IPv4 or IPv6 address",
                "write a CIDR",
            ),
        ];
        for (text, why, fix) in cases {
            let (message, help) = refused(text);
            assert!(message.contains(why), "{text}: {message}");
            assert!(help.contains(fix), "{text}: {help}");
        }
    }
}
