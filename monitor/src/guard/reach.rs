//! The packets to which a policy's conditions apply, for one family and one
//! interface.

use super::target::Family;
use crate::{
    address::Network,
    policy::{Device, MacPrefix, Ports, Scope, Service},
};

/// A set of senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender<A> {
    /// All devices.
    Anyone,
    /// Devices whose MAC has this prefix.
    Mac(MacPrefix),
    /// Devices with a source address in this network.
    Network(Network<A>),
}

/// A set of packets that a policy treats in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packets<A> {
    /// The senders of the packets.
    pub(super) sender: Sender<A>,
    /// The service of the packets. `None` means all packets, also those whose service
    /// cannot be read.
    pub(super) service: Option<Service>,
}

/// The conditions of a policy, reduced to one family and one interface.
#[derive(Clone, Debug)]
pub(super) struct Reach<'a, A> {
    /// The senders that the policy names. Never empty.
    senders: Vec<Sender<A>>,
    /// The senders that it excepts.
    excepted: Vec<Sender<A>>,
    /// The services that it names. Empty means every service.
    services: &'a [Service],
}

impl<A: Family> Sender<A> {
    fn of(device: &Device, on: Option<&str>) -> Option<Self> {
        match device {
            Device::Mac(prefix) => Some(Self::Mac(*prefix)),
            Device::Interface(name) => (on == Some(name)).then_some(Self::Anyone),
            Device::Ipv4(_) | Device::Ipv6(_) => A::sender(device).map(Self::Network),
        }
    }

    /// Returns true if each packet from `other` is also from `self`.
    fn holds(self, other: Self) -> bool {
        match (self, other) {
            (Self::Anyone, _) => true,
            (Self::Mac(prefix), _) if prefix.length() == 0 => true,
            (Self::Network(network), _) if network.length() == 0 => true,
            (Self::Mac(own), Self::Mac(other)) => {
                own.length() <= other.length() && own.contains(other.address())
            }
            (Self::Network(own), Self::Network(other)) => own.contains_network(other),
            (Self::Mac(_) | Self::Network(_), _) => false,
        }
    }

    /// Returns true if no packet is from both.
    fn is_apart_from(self, other: Self) -> bool {
        match (self, other) {
            (Self::Mac(_), Self::Mac(_)) | (Self::Network(_), Self::Network(_)) => {
                !self.holds(other) && !other.holds(self)
            }
            // A device may send from any address, so a MAC and a network can overlap.
            (Self::Anyone | Self::Mac(_) | Self::Network(_), _) => false,
        }
    }
}

impl<'a, A: Family> Reach<'a, A> {
    /// Reduces `scope` to the interface `on`. Returns `None` if it applies to no packet
    /// from that interface.
    pub(super) fn new(scope: &'a Scope, on: Option<&str>) -> Option<Self> {
        let elsewhere = |name: &String| on != Some(name);
        if !scope.interfaces.is_empty() && scope.interfaces.iter().all(elsewhere) {
            return None;
        }
        let of = |device| Sender::of(device, on);
        let excepted: Vec<Sender<A>> = scope.except_devices.iter().filter_map(of).collect();
        let mut senders: Vec<Sender<A>> = scope.devices.iter().filter_map(of).collect();
        if scope.devices.is_empty() {
            senders.push(Sender::Anyone);
        }
        senders.retain(|sender| !excepted.iter().any(|excepted| excepted.holds(*sender)));
        (!senders.is_empty()).then_some(Self {
            senders,
            excepted,
            services: &scope.services,
        })
    }

    /// Returns the packets of this policy for the services in `wanted`, or for every
    /// service if `wanted` is empty. The packets are split by sender and service, so
    /// that each of `others` treats all packets of one part in the same way.
    pub(super) fn packets(&self, wanted: &[Service], others: &[Option<Self>]) -> Vec<Packets<A>> {
        let asked = |service: &Service| {
            let mut own = self.services.iter();
            self.services.is_empty() || own.any(|own| own.contains(*service))
        };
        let services: Vec<Option<Service>> = if !wanted.is_empty() {
            wanted.iter().copied().filter(asked).map(Some).collect()
        } else if self.services.is_empty() {
            // Only a policy for every service covers these packets, so a split by
            // service is not needed.
            vec![None]
        } else {
            let others = others.iter().flatten().flat_map(|other| other.services);
            let others: Vec<Service> = others.copied().collect();
            let parts = self.services.iter().flat_map(|own| split(*own, &others));
            parts.map(Some).collect()
        };
        let each = self.senders.iter().flat_map(|sender| {
            services.iter().map(|service| Packets {
                sender: *sender,
                service: *service,
            })
        });
        each.collect()
    }

    /// Returns true if this policy applies to all of `packets`, except those that `drop`
    /// itself excepts.
    pub(super) fn covers(&self, packets: Packets<A>, drop: &Self) -> bool {
        let sender = packets.sender;
        let missed = |missed: &Sender<A>| {
            let mut excepted = drop.excepted.iter();
            !missed.is_apart_from(sender) && !excepted.any(|excepted| excepted.holds(*missed))
        };
        let service = self.services.is_empty()
            || packets
                .service
                .is_some_and(|service| self.services.iter().any(|own| own.contains(service)));
        service
            && self.senders.iter().any(|own| own.holds(sender))
            && !self.excepted.iter().any(missed)
    }
}

/// Splits `service` at the ends of the port ranges of `others`. So each of `others`
/// contains either all of a part or nothing of it.
fn split(service: Service, others: &[Service]) -> Vec<Service> {
    let make = match service {
        Service::Icmp => return vec![service],
        Service::Tcp(_) => Service::Tcp,
        Service::Udp(_) => Service::Udp,
    };
    let ports_of = |other: &Service| match (service, *other) {
        (Service::Tcp(_), Service::Tcp(ports)) | (Service::Udp(_), Service::Udp(ports)) => {
            Some(ports)
        }
        (Service::Icmp | Service::Tcp(_) | Service::Udp(_), _) => None,
    };
    let Some(own) = ports_of(&service) else {
        return vec![service];
    };
    let edges = others.iter().filter_map(ports_of).flat_map(|ports| {
        let after = ports.last().checked_add(1);
        [Some(ports.first()), after].into_iter().flatten()
    });
    let inside = edges.filter(|edge| own.first() < *edge && *edge <= own.last());
    let mut starts: Vec<u16> = std::iter::once(own.first()).chain(inside).collect();
    starts.sort_unstable();
    starts.dedup();
    let ends = starts
        .iter()
        .skip(1)
        .map(|next| next - 1)
        .chain([own.last()]);
    let parts = starts.iter().zip(ends);
    parts
        .filter_map(|(first, last)| Ports::new(*first, last).map(make))
        .collect()
}
