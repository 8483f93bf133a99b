//! Parses a device as it is typed: a MAC, a MAC prefix, an address, a CIDR, or
//! a name.

use super::{Device, MacAddress, MacPrefix};
use crate::{
    address::{Address, Destination, Interval, InvalidDestination, Network},
    quoted::quoted,
};

/// The meaning of a typed device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeviceText {
    /// The text is the device itself.
    Device(Device),
    /// The text is a name that stands for devices.
    Name(String),
}

/// Why a text is not a valid device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidDevice {
    /// The first three bytes of a MAC, without a prefix length.
    #[error("`{text}` is the first half of a MAC")]
    HalfMac { text: String, whole: String },
    /// A MAC in another notation, or one that is too short or too long.
    #[error("`{text}` is not a MAC: that is six pairs of hexadecimal digits")]
    Mac {
        text: String,
        meant: Option<MacAddress>,
    },
    /// A MAC with a prefix length, but with bits set after that length.
    #[error("`{text}` has bits set after its first {length}: it reads as a prefix or as a MAC")]
    HostBits {
        text: String,
        length: u8,
        prefix: String,
        mac: MacAddress,
    },
    /// A prefix length that a MAC cannot have.
    #[error("`/{0}` is not the length of a MAC prefix")]
    Length(String),
    /// A range of several networks.
    #[error("`{0}` is a range, and a device is an address or a CIDR")]
    Range(String),
    /// A text that is neither a MAC, an address nor a name.
    #[error("`{0}` is neither a MAC, an address, nor a valid name of a device")]
    Nothing(String),
    /// A text that is almost an address.
    #[error(transparent)]
    Address(InvalidDestination),
}

impl InvalidDevice {
    /// How to fix the text.
    pub(super) fn help(&self) -> String {
        match self {
            Self::HalfMac { whole, .. } => {
                format!("write \"{whole}\" for all MACs that begin like this")
            }
            Self::Mac {
                meant: Some(mac), ..
            } => format!("write \"{mac}\""),
            Self::Mac { meant: None, .. } => {
                "write all six bytes: \"64:cc:2e:11:22:33\", or \"64:cc:2e:00:00:00/24\" for \
                 all MACs that begin like this"
                    .to_owned()
            }
            Self::HostBits { prefix, mac, .. } => {
                format!("write \"{prefix}\" for the prefix or \"{mac}\" for the MAC")
            }
            Self::Length(_) => "write a length from /1 to /48".to_owned(),
            Self::Range(_) => "write its addresses or CIDRs one by one".to_owned(),
            Self::Nothing(_) => "write a MAC (\"64:cc:2e:11:22:33\"), an address \
                 (192.168.50.10), or a name that `devices:` of a policy file defines"
                .to_owned(),
            Self::Address(error) => error.help(),
        }
    }

    /// The error for a `text` that parses neither as a MAC nor as a
    /// destination.
    fn of(text: &str, error: InvalidDestination) -> Self {
        let text = quoted(text);
        match error {
            InvalidDestination::Empty
            | InvalidDestination::Name { .. }
            | InvalidDestination::Address { .. } => Self::Nothing(text),
            InvalidDestination::Backwards { .. }
            | InvalidDestination::MixedFamilies { .. }
            | InvalidDestination::CidrInRange { .. } => Self::Range(text),
            InvalidDestination::HostBits { .. }
            | InvalidDestination::LeadingZero { .. }
            | InvalidDestination::Mapped { .. }
            | InvalidDestination::Zone { .. }
            | InvalidDestination::TooLong { .. }
            | InvalidDestination::Length { .. } => Self::Address(error),
        }
    }
}

/// Why a text on the command line matches no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownDevice {
    /// No policy file defines this name.
    #[error("there is no device named `{name}`; {help}")]
    Name {
        /// The text as it was typed.
        name: String,
        /// How to fix it.
        help: String,
    },
    /// The text is not a valid device.
    #[error("{message}; {help}")]
    Text {
        /// Why the text is not valid.
        message: String,
        /// How to fix it.
        help: String,
    },
}

impl From<InvalidDevice> for UnknownDevice {
    fn from(error: InvalidDevice) -> Self {
        Self::Text {
            message: error.to_string(),
            help: error.help(),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = UnknownDevice;

    /// Parses the text that `Display` of [`Device`] writes.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if let Some(name) = text.strip_prefix("interface ") {
            return Ok(Self::Interface(name.to_owned()));
        }
        match parse(&text)? {
            DeviceText::Device(device) => Ok(device),
            DeviceText::Name(name) => Err(InvalidDevice::Nothing(name).into()),
        }
    }
}

/// Why a text cannot be the name of devices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidDeviceName {
    /// Metrics use this label for all devices without a name.
    #[error("`{OTHER}` cannot be the name of a device: metrics use it for devices without a name")]
    Reserved,
    /// The text is a MAC or an address, so a use of it would be ambiguous.
    #[error("`{0}` is a MAC or an address, and cannot be the name of a device")]
    Device(String),
    /// The text has a character or a length that metrics, files or shells do
    /// not accept.
    #[error("`{0}` cannot be the name of a device")]
    Text(String),
}

const OTHER: &str = "other";

impl InvalidDeviceName {
    /// How to fix the name.
    pub(super) const fn help(&self) -> &'static str {
        match self {
            Self::Reserved => "write a name that says more, such as `other-phones`",
            Self::Device(_) => {
                "write a name before the colon and the device behind it: `NAME: \"64:cc:2e:11:22:33\"`"
            }
            Self::Text(_) => {
                "write 1 to 63 letters, digits, `.`, `_` and `-`, beginning with a letter or \
                 digit and with a letter among them, such as `kids-tablet`"
            }
        }
    }
}

/// Checks a name of devices: 1 to 63 letters, digits, `.`, `_` and `-`, with at
/// least one letter. A MAC, an address and the reserved word are refused.
pub(super) fn check_name(text: &str) -> Result<(), InvalidDeviceName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let well_formed = (1..=63).contains(&text.len())
        && text.chars().all(allowed)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.contains(|c: char| c.is_ascii_alphabetic());
    if text == OTHER {
        Err(InvalidDeviceName::Reserved)
    } else if mac_bytes(text).is_some() || text.parse::<Destination>().is_ok() {
        Err(InvalidDeviceName::Device(quoted(text)))
    } else if well_formed {
        Ok(())
    } else {
        Err(InvalidDeviceName::Text(quoted(text)))
    }
}

/// Parses a device or a name.
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
    if check_name(text).is_ok() {
        return Ok(DeviceText::Name(text.to_owned()));
    }
    let device = match text.parse() {
        Ok(Destination::Ipv4(interval)) => network(interval).map(Device::Ipv4),
        Ok(Destination::Ipv6(interval)) => network(interval).map(Device::Ipv6),
        Err(_) if is_like_a_mac(address) => {
            return Err(InvalidDevice::Mac {
                text: quoted(text),
                meant: meant_mac(text),
            });
        }
        Err(error) => return Err(InvalidDevice::of(text, error)),
    };
    let device = device.ok_or_else(|| InvalidDevice::Range(quoted(text)))?;
    Ok(DeviceText::Device(device))
}

/// The MAC that `text` writes in another notation: `64cc.2e11.2233`,
/// `64cc2e112233`, `0:c:29:1:2:3`.
pub(super) fn meant_mac(text: &str) -> Option<MacAddress> {
    let parts: Vec<&str> = text.split([':', '-', '.']).collect();
    let digits: String = match parts.as_slice() {
        [_] | [_, _, _] => parts.concat(),
        [_, _, _, _, _, _] => {
            let pairs = parts.iter().map(|part| format!("{part:0>2}"));
            pairs.collect::<Vec<_>>().concat()
        }
        _ => return None,
    };
    let hexadecimal = digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u64::from_str_radix(&digits, 16).ok();
    let [_, _, bytes @ ..] = number.filter(|_| hexadecimal)?.to_be_bytes();
    Some(MacAddress(bytes))
}

/// True if `text` looks like an attempt to write a MAC.
fn is_like_a_mac(text: &str) -> bool {
    let pairs = |separator| {
        let parts: Vec<&str> = text.split(separator).collect();
        let short = |part: &&str| (1..=2).contains(&part.len());
        parts.len() >= 4 && parts.iter().all(short)
    };
    meant_mac(text).is_some() || pairs(':') || pairs('-')
}

fn network<A: Address>(interval: Interval<A>) -> Option<Network<A>> {
    match interval.networks().as_slice() {
        [network] => Some(*network),
        _ => None,
    }
}

/// Bytes of three or six pairs of hexadecimal digits that are separated by `:`
/// or `-`.
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
        text: quoted(text),
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
            .ok_or_else(|| InvalidDevice::Length(quoted(length)))?,
    };
    let prefix = MacPrefix::new(mac, length).ok_or_else(|| InvalidDevice::HostBits {
        text: quoted(text),
        length,
        prefix: MacPrefix::around(mac, length).to_string(),
        mac,
    })?;
    Ok(DeviceText::Device(Device::Mac(prefix)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{Ports, Service};

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
    fn a_text_that_is_no_device_gets_a_fix() {
        for (text, expected) in [
            ("64:cc:2e", "write \"64:cc:2e:00:00:00/24\""),
            ("64:cc:2e:11:22:33/24", "write \"64:cc:2e:00:00:00/24\""),
            ("64:cc:2e:00:00:00/0", "/1 to /48"),
            ("64:cc:2e:00:00:00/49", "/1 to /48"),
            ("10.0.0.1-10.0.0.9", "one by one"),
            ("10.0.0.1/24", "10.0.0.0/24"),
            ("10.0.0.300", "or a name that"),
            ("", "or a name that"),
            ("other", "or a name that"),
            ("kids tablet", "or a name that"),
            ("10.0.0.9-10.0.0.1", "one by one"),
            ("1122.3344.5566", "write \"11:22:33:44:55:66\""),
            ("112233445566", "write \"11:22:33:44:55:66\""),
            ("0:c:29:1:2:3", "write \"00:0c:29:01:02:03\""),
            ("64:CC:2E:11:22:3g", "write all six bytes"),
            ("64-cc-2e-11-22", "name 64-cc-2e-11-22"),
            ("64:cc:2e:11:22", "write all six bytes"),
        ] {
            let found = read(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }

    #[test]
    fn names_are_told_from_devices() {
        for name in [
            "a",
            "kids-tablet",
            "7up",
            "192.168.50.10.x",
            "fe80",
            "Other",
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "a".repeat(64);
        for (text, expected) in [
            (OTHER, InvalidDeviceName::Reserved),
            (
                "64-cc-2e-11-22-33",
                InvalidDeviceName::Device(String::new()),
            ),
            ("10.0.0.1", InvalidDeviceName::Device(String::new())),
            ("2001:db8::/32", InvalidDeviceName::Device(String::new())),
            ("", InvalidDeviceName::Text(String::new())),
            ("12345", InvalidDeviceName::Text(String::new())),
            ("-a", InvalidDeviceName::Text(String::new())),
            ("kids tablet", InvalidDeviceName::Text(String::new())),
            (&long, InvalidDeviceName::Text(String::new())),
        ] {
            let found = check_name(text).unwrap_err();
            assert_eq!(found.help(), expected.help(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back(mac: [u8; 6], ipv4: u32, ipv6: u128, bits in 0_u8..=128) {
            let (length, short) = (bits.clamp(1, MacPrefix::BITS), bits.min(32));
            for device in [
                Device::Mac(MacPrefix::around(MacAddress(mac), length)),
                Device::Ipv4(Network::around(ipv4.into(), short)),
                Device::Ipv6(Network::around(ipv6.into(), bits)),
            ] {
                let read = parse(&device.to_string());
                prop_assert_eq!(read, Ok(DeviceText::Device(device)));
            }
        }

        #[test]
        fn services_read_back(first: u16, last: u16) {
            let ports = Ports::new(first.min(last), first.max(last)).unwrap();
            for service in [Service::Icmp, Service::Tcp(ports), Service::Udp(ports)] {
                prop_assert_eq!(service.to_string().parse(), Ok(service));
            }
        }
    }
}
