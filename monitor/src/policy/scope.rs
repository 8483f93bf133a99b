//! Which packets to its destinations a policy is about: devices, interfaces, services.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use super::{
    MacAddress, UnknownDevice,
    device_text::{self, DeviceText, InvalidDevice},
    service::Service,
};
use crate::address::{Address, Network};

/// The conditions of a policy. A packet meets them where it comes from one of
/// `devices` and none of `except_devices`, on one of `interfaces`, for one of
/// `services`; a condition that is empty holds for every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Sorted.
    pub devices: Vec<Device>,
    /// Sorted.
    pub except_devices: Vec<Device>,
    /// Sorted names.
    pub interfaces: Vec<String>,
    /// Sorted, apart from each other.
    pub services: Vec<Service>,
}

/// How a packet tells that it comes from a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The Ethernet source begins with these bits.
    Mac(MacPrefix),
    /// The IPv4 source address lies in this network.
    Ipv4(Network<Ipv4Addr>),
    /// The IPv6 source address lies in this network.
    Ipv6(Network<Ipv6Addr>),
    /// It came in on the interface of this name.
    Interface(String),
}

/// A MAC address, or the first bits of one: `64:cc:2e:00:00:00/24`. Host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacPrefix {
    address: MacAddress,
    length: u8,
}

impl Scope {
    /// Whether every packet meets it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `packet` meets it, as far as it is known.
    #[must_use]
    pub fn met_by(&self, packet: &Packet) -> Met {
        let from_device = if self.devices.is_empty() {
            Some(true)
        } else {
            any(self.devices.iter().map(|device| device.holds(packet)))
        };
        let devices = self.except_devices.iter();
        let excluded = any(devices.map(|device| device.holds(packet)));
        let on_interface = match &packet.interface {
            _ if self.interfaces.is_empty() => Some(true),
            Some(name) => Some(self.interfaces.contains(name)),
            None => None,
        };
        let for_service = match packet.service {
            _ if self.services.is_empty() => Some(true),
            Some(service) => Some(self.services.iter().any(|own| own.contains(service))),
            None => None,
        };
        let answers = [
            from_device,
            excluded.map(|no| !no),
            on_interface,
            for_service,
        ];
        if answers.contains(&Some(false)) {
            return Met::No;
        }
        let [devices, exceptions, interfaces, services] = answers.map(|answer| answer.is_none());
        let mut conditions = Vec::new();
        conditions.extend(devices.then(|| format!("the device is {}", either(&self.devices))));
        conditions.extend(
            exceptions.then(|| format!("the device is not {}", either(&self.except_devices))),
        );
        conditions
            .extend(interfaces.then(|| format!("it comes in on {}", either(&self.interfaces))));
        conditions.extend(services.then(|| format!("the service is {}", either(&self.services))));
        if conditions.is_empty() {
            Met::Yes
        } else {
            Met::If(conditions.join(", and "))
        }
    }
}

/// Whether any answer is yes, as far as known.
fn any(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut known = Some(false);
    for answer in answers {
        match answer {
            Some(true) => return Some(true),
            Some(false) => {}
            None => known = None,
        }
    }
    known
}

/// `a`, `a or b`, `a, b or c`.
fn either<T: fmt::Display>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    match texts.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// What is known of a packet beside its destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Ethernet source.
    pub mac: Option<MacAddress>,
    /// IP source.
    pub address: Option<IpAddr>,
    /// Interface on which it came in.
    pub interface: Option<String>,
    /// What it is for.
    pub service: Option<Service>,
}

/// Whether a packet meets a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// That depends on what is not known of it: it does where this holds.
    If(String),
}

impl MacPrefix {
    /// Bits of a MAC address.
    pub const BITS: u8 = 48;

    /// The prefix, or `None` where `length` (bits) is too long or host bits are set.
    #[must_use]
    pub fn new(address: MacAddress, length: u8) -> Option<Self> {
        let prefix = Self::around(address, length);
        (length <= Self::BITS && prefix.address == address).then_some(prefix)
    }

    /// The prefix of `length` bits that holds `address`; all of it where
    /// `length` is longer.
    #[must_use]
    pub fn around(address: MacAddress, length: u8) -> Self {
        let length = length.min(Self::BITS);
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&address.0);
        let mask = u64::MAX.checked_shl(64 - u32::from(length)).unwrap_or(0);
        let masked = (u64::from_be_bytes(bytes) & mask).to_be_bytes();
        let mut address = [0; 6];
        address.copy_from_slice(&masked[..6]);
        Self {
            address: MacAddress(address),
            length,
        }
    }

    /// Its first address.
    #[must_use]
    pub fn address(self) -> MacAddress {
        self.address
    }

    /// Its length in bits.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether `address` begins with it.
    #[must_use]
    pub fn contains(self, address: MacAddress) -> bool {
        Self::around(address, self.length) == self
    }

    /// Whether more than one address begins with it.
    #[must_use]
    pub fn is_shared(self) -> bool {
        self.length < Self::BITS
    }

    /// Whether addresses begin with it that their device made up: the locally
    /// administered ones (IEEE 802, the second bit of the first byte).
    #[must_use]
    pub fn holds_randomised(self) -> bool {
        self.length < 7 || self.address.0[0] & 0b10 != 0
    }
}

impl Device {
    /// Whether a packet that is known so far comes from it; `None` where that
    /// depends on what is not known.
    fn holds(&self, packet: &Packet) -> Option<bool> {
        match self {
            Self::Mac(prefix) => packet.mac.map(|mac| prefix.contains(mac)),
            Self::Interface(name) => packet.interface.as_ref().map(|other| other == name),
            Self::Ipv4(network) => packet.address.map(|address| match address {
                IpAddr::V4(address) => network.contains(address),
                IpAddr::V6(_) => false,
            }),
            Self::Ipv6(network) => packet.address.map(|address| match address {
                IpAddr::V4(_) => false,
                IpAddr::V6(address) => network.contains(address),
            }),
        }
    }
}

impl From<Network<Ipv4Addr>> for Device {
    fn from(network: Network<Ipv4Addr>) -> Self {
        Self::Ipv4(network)
    }
}

impl From<Network<Ipv6Addr>> for Device {
    fn from(network: Network<Ipv6Addr>) -> Self {
        Self::Ipv6(network)
    }
}

impl fmt::Display for MacPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == Self::BITS {
            return self.address.fmt(f);
        }
        f.pad(&format!("{}/{}", self.address, self.length))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(prefix) => prefix.fmt(f),
            Self::Ipv4(network) => fmt_network(*network, f),
            Self::Ipv6(network) => fmt_network(*network, f),
            Self::Interface(name) => f.pad(&format!("interface {name}")),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = UnknownDevice;

    /// Reads what [`Device`] displays.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if let Some(name) = text.strip_prefix("interface ") {
            return Ok(Self::Interface(name.to_owned()));
        }
        match device_text::parse(&text)? {
            DeviceText::Device(device) => Ok(device),
            DeviceText::Name(name) => Err(InvalidDevice::Nothing(name).into()),
        }
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

/// A network of one address is written as the address.
fn fmt_network<A: Address>(network: Network<A>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if network.length() == A::BITS {
        return write!(f, "{}", network.address());
    }
    write!(f, "{network}")
}
