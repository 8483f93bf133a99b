//! Which packets a policy is about, of one family and on one interface.

use super::target::Family;
use crate::{
    address::Network,
    policy::{Device, MacPrefix, Ports, Scope, Service},
};

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender<A> {
    Anyone,
    Mac(MacPrefix),
    Network(Network<A>),
}

/// Packets that a policy treats alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packets<A> {
    pub(super) sender: Sender<A>,
    /// `None`: any, and those of which it cannot be read.
    pub(super) service: Option<Service>,
}

/// What is left of a scope where family and interface are known.
#[derive(Clone, Debug)]
pub(super) struct Reach<'a, A> {
    /// Not empty.
    senders: Vec<Sender<A>>,
    excepted: Vec<Sender<A>>,
    /// Empty: every service.
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

    /// Whether all that `other` sends, it sends.
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

    /// Whether no packet is from both.
    fn is_apart_from(self, other: Self) -> bool {
        match (self, other) {
            (Self::Mac(_), Self::Mac(_)) | (Self::Network(_), Self::Network(_)) => {
                !self.holds(other) && !other.holds(self)
            }
            // A MAC may send from any address.
            (Self::Anyone | Self::Mac(_) | Self::Network(_), _) => false,
        }
    }
}

impl<'a, A: Family> Reach<'a, A> {
    /// `None` where `scope` is about no packet that comes in `on` this interface.
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

    /// The packets that it is about and that are for one of `wanted` (empty:
    /// for any service), in parts of which each of `others` covers all or
    /// leaves something.
    pub(super) fn packets(&self, wanted: &[Service], others: &[Option<Self>]) -> Vec<Packets<A>> {
        let asked = |service: &Service| {
            let mut own = self.services.iter();
            self.services.is_empty() || own.any(|own| own.contains(*service))
        };
        let services: Vec<Option<Service>> = if !wanted.is_empty() {
            wanted.iter().copied().filter(asked).map(Some).collect()
        } else if self.services.is_empty() {
            // What covers these covers every service.
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

    /// Whether it is about all of `packets` but those that `drop` excepts.
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

/// Parts of `service`, such that each of `others` holds all of a part or nothing.
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
