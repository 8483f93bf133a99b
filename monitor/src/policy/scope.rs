//! Which packets to its destinations a policy is about: devices, interfaces, services.

use std::{fmt, net::IpAddr};

use super::{MacAddress, device::Device, service::Service};

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

impl Scope {
    /// Whether every packet meets it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `packet` meets it, as far as it is known.
    #[must_use]
    pub fn met_by(&self, packet: &Packet) -> ScopeMatch {
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
            return ScopeMatch::No;
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
            ScopeMatch::Yes
        } else {
            ScopeMatch::If(conditions.join(", and "))
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
pub enum ScopeMatch {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// That depends on what is not known of it: it does where this holds.
    If(String),
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
