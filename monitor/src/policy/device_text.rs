//! A device as it is typed: a MAC, the first bits of one, an address, or a name.

use super::{Device, MacAddress, MacPrefix};
use crate::address::{Address, Destination, Interval, InvalidDestination, Network};

/// What a text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeviceText {
    /// The device itself.
    Device(Device),
    /// A name that stands for devices.
    Name(String),
}

/// Why a text names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidDevice {
    /// Half of a MAC.
    #[error("`{text}` is the first half of a MAC")]
    HalfMac { text: String, whole: String },
    /// A prefix and a MAC at once.
    #[error("`{text}` has bits set after its first {length}: it reads as a prefix or as a MAC")]
    HostBits {
        text: String,
        length: u8,
        prefix: String,
        mac: MacAddress,
    },
    /// Not a length of a MAC.
    #[error("`/{0}` is not the length of a MAC prefix")]
    Length(String),
    /// Several networks.
    #[error("`{0}` is a range, and a device is an address or a CIDR")]
    Range(String),
    /// Neither.
    #[error(transparent)]
    Address(InvalidDestination),
}

impl InvalidDevice {
    /// How to mend it.
    pub(super) fn help(&self) -> String {
        match self {
            Self::HalfMac { whole, .. } => format!("write \"{whole}\" for all MACs that begin so"),
            Self::HostBits { prefix, mac, .. } => {
                format!("write \"{prefix}\" for the prefix or \"{mac}\" for the MAC")
            }
            Self::Length(_) => "write a length from /1 to /48".to_owned(),
            Self::Range(_) => "write its addresses or CIDRs one by one".to_owned(),
            Self::Address(error) => error.help(),
        }
    }
}

/// Whether `text` can be the name of devices: 1 to 63 letters, digits, `.`,
/// `_` and `-`, at least one letter, and neither a MAC nor an address.
/// `other` is taken: metrics have it for devices without a label of their own.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=63).contains(&text.len())
        && text.chars().all(allowed)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.contains(|c: char| c.is_ascii_alphabetic())
        && text != "other"
        && mac_bytes(text).is_none()
        && text.parse::<Destination>().is_err()
}

/// Reads a device.
pub(super) fn parse(text: &str) -> Result<DeviceText, InvalidDevice> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    match mac_bytes(address).as_deref() {
        Some(bytes @ [_, _, _]) => return Err(half_mac(text, bytes)),
        Some(bytes) => {
            if let Ok(bytes) = bytes.try_into() {
                return mac(text, MacAddress(bytes), length);
            }
        }
        None => {}
    }
    if is_name(text) {
        return Ok(DeviceText::Name(text.to_owned()));
    }
    let device = match text.parse().map_err(InvalidDevice::Address)? {
        Destination::Ipv4(interval) => network(interval).map(Device::Ipv4),
        Destination::Ipv6(interval) => network(interval).map(Device::Ipv6),
    };
    let device = device.ok_or_else(|| InvalidDevice::Range(text.to_owned()))?;
    Ok(DeviceText::Device(device))
}

fn network<A: Address>(interval: Interval<A>) -> Option<Network<A>> {
    match interval.networks().as_slice() {
        [network] => Some(*network),
        _ => None,
    }
}

/// Pairs of hexadecimal digits with one separator, `:` or `-`; at least three.
fn mac_bytes(text: &str) -> Option<Vec<u8>> {
    let separator = if text.contains(':') { ':' } else { '-' };
    let pairs = text.split(separator).map(|pair| {
        let hexadecimal = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        u8::from_str_radix(pair, 16).ok().filter(|_| hexadecimal)
    });
    let bytes: Option<Vec<u8>> = pairs.collect();
    bytes.filter(|bytes| matches!(bytes.len(), 3 | 6))
}

fn half_mac(text: &str, bytes: &[u8]) -> InvalidDevice {
    let mut whole = [0; 6];
    whole[..bytes.len()].copy_from_slice(bytes);
    InvalidDevice::HalfMac {
        text: text.to_owned(),
        whole: format!("{}/{}", MacAddress(whole), bytes.len() * 8),
    }
}

fn mac(text: &str, mac: MacAddress, length: Option<&str>) -> Result<DeviceText, InvalidDevice> {
    let length = match length {
        None => MacPrefix::BITS,
        Some(length) => length
            .parse()
            .ok()
            .filter(|bits| (1..=MacPrefix::BITS).contains(bits))
            .ok_or_else(|| InvalidDevice::Length(length.to_owned()))?,
    };
    let prefix = MacPrefix::new(mac, length).ok_or_else(|| InvalidDevice::HostBits {
        text: text.to_owned(),
        length,
        prefix: MacPrefix::around(mac, length).to_string(),
        mac,
    })?;
    Ok(DeviceText::Device(Device::Mac(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match parse(text) {
            Ok(DeviceText::Device(device)) => device.to_string(),
            Ok(DeviceText::Name(name)) => format!("name {name}"),
            Err(error) => format!("{error}; {}", error.help()),
        }
    }

    #[test]
    fn devices_are_macs_prefixes_addresses_and_names() {
        for (text, expected) in [
            ("64:cc:2e:11:22:33", "64:cc:2e:11:22:33"),
            ("64-CC-2E-11-22-33", "64:cc:2e:11:22:33"),
            ("64:cc:2e:00:00:00/24", "64:cc:2e:00:00:00/24"),
            ("64:cc:2e:11:22:33/48", "64:cc:2e:11:22:33"),
            ("80:00:00:00:00:00/1", "80:00:00:00:00:00/1"),
            ("192.168.50.10", "192.168.50.10"),
            ("192.168.50.0/24", "192.168.50.0/24"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("fe80::1", "fe80::1"),
            ("00:11:22:33:44:55:66:77", "0:11:22:33:44:55:66:77"),
            ("kids-tablet", "name kids-tablet"),
            ("bed.room_1", "name bed.room_1"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_none_says_how_to_mend_it() {
        for (text, expected) in [
            ("64:cc:2e", "write \"64:cc:2e:00:00:00/24\""),
            ("64:cc:2e:11:22:33/24", "write \"64:cc:2e:00:00:00/24\""),
            ("64:cc:2e:00:00:00/0", "/1 to /48"),
            ("64:cc:2e:00:00:00/49", "/1 to /48"),
            ("10.0.0.1-10.0.0.9", "one by one"),
            ("10.0.0.1/24", "10.0.0.0/24"),
            ("10.0.0.300", "write a CIDR"),
            ("", "write a CIDR"),
            ("other", "a name's change"),
        ] {
            let found = read(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
