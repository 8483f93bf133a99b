//! The packets to its destinations that a policy matches: by device, interface
//! and service.

use std::{fmt, net::IpAddr};

use super::{Direction, MacAddress, device::Device, service::Service};

/// The conditions of a policy. A packet meets the conditions if its sender is one of
/// `devices` and none of `except_devices`, its interface one of `interfaces`, and its
/// service one of `services`. An empty list holds for every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Sorted.
    pub devices: Vec<Device>,
    /// Sorted.
    pub except_devices: Vec<Device>,
    /// Sorted names.
    pub interfaces: Vec<String>,
    /// Sorted, without overlaps.
    pub services: Vec<Service>,
}

impl Scope {
    /// True if every packet meets the conditions.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// True if the conditions on devices and interfaces hold for every packet that arrives
    /// from the internet on the interface `name`. `None` is an interface that no condition
    /// names.
    #[must_use]
    pub fn holds_for_every_device(&self, name: Option<&str>) -> bool {
        let mut interfaces = self.interfaces.iter();
        self.devices.is_empty()
            && self.except_devices.is_empty()
            && (self.interfaces.is_empty() || interfaces.any(|own| Some(own.as_str()) == name))
    }

    /// Checks a packet that arrives from the internet on the interface of `packet`. It does
    /// not show its device: a scope of some devices holds only for a policy that exempts.
    #[must_use]
    pub fn met_from_internet(&self, packet: &Packet, exempts: bool) -> ScopeMatch {
        if !exempts && !self.holds_for_every_device(packet.interface.as_deref()) {
            return ScopeMatch::No;
        }
        let services = Self {
            services: self.services.clone(),
            ..Self::default()
        };
        services.met_by(packet)
    }

    /// Checks `packet`, of which some properties may be unknown.
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

/// Three-valued "or": `None` if the answer depends on an unknown property.
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

/// The known properties of a packet, apart from its destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Ethernet source address.
    pub mac: Option<MacAddress>,
    /// IP source address.
    pub address: Option<IpAddr>,
    /// Interface on which the packet came in.
    pub interface: Option<String>,
    /// Protocol and port of the destination.
    pub service: Option<Service>,
    /// Direction. A packet `in` comes from the destination, and arrives from the internet.
    pub direction: Direction,
}

/// The result of checking a packet against a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeMatch {
    /// The packet meets the scope.
    Yes,
    /// The packet does not meet the scope.
    No,
    /// The packet meets the scope if this condition on an unknown property
    /// holds.
    If(String),
}

impl Device {
    /// True if the packet comes from the device; `None` if that depends on an
    /// unknown property.
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
