//! Reads the interfaces of this network namespace and their addresses over netlink.
//! It does not use `/sys`, which may show another namespace.

use std::{io, net::IpAddr};

use crate::{policy::MacAddress, snapshot::Mode};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{
        InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, Prop, XdpAttached,
    },
};

use super::netlink::dump;

/// Properties of an interface that the filter uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Alternative names (`ip link property add dev … altname …`, Linux 5.5, commit
    /// 36fbf1e52bd3).
    pub alternatives: Vec<String>,
    /// Interface index, unique in its network namespace.
    pub index: u32,
    /// Index of the bridge (or bond) that it is a port of.
    pub controller: Option<u32>,
    /// Index of the interface on which it is a VLAN.
    pub carrier: Option<u32>,
    /// True if its frames begin with an Ethernet header.
    pub has_ethernet: bool,
    /// True for `lo`.
    pub is_loopback: bool,
    /// Largest packet without the Ethernet header, bytes.
    pub mtu: u32,
    /// Id of the XDP program that it runs, of this filter or of any other program.
    pub program: Option<u32>,
    /// Mode of that program; `None` if it is neither native nor generic.
    pub mode: Option<Mode>,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// Index of the interface.
    pub interface: u32,
    /// Address.
    pub address: IpAddr,
    /// Length of the network prefix in bits.
    pub length: u8,
}

/// Every interface, in the kernel's order.
pub fn list() -> io::Result<Vec<Interface>> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    dump(&request, |message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(interface(link)),
        _ => None,
    })
}

/// MACs of the interfaces with these names.
pub(super) fn macs(names: &[String]) -> io::Result<Vec<MacAddress>> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let found: Vec<Option<MacAddress>> = dump(&request, |message| match message {
        RouteNetlinkMessage::NewLink(link) => {
            let (mut is_named, mut mac) = (false, None);
            for attribute in link.attributes {
                match attribute {
                    LinkAttribute::IfName(name) => is_named = names.contains(&name),
                    LinkAttribute::Address(bytes) => mac = bytes.try_into().ok().map(MacAddress),
                    _ => {}
                }
            }
            Some(mac.filter(|_| is_named))
        }
        _ => None,
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// Every address of every interface, in the kernel's order.
pub(super) fn addresses() -> io::Result<Vec<OwnAddress>> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    dump(&request, |message| match message {
        RouteNetlinkMessage::NewAddress(message) => own_address(&message),
        _ => None,
    })
}

/// Reads an interface from a netlink message.
#[must_use]
pub fn interface(link: LinkMessage) -> Interface {
    let kind = link.header.link_layer_type;
    let mut interface = Interface {
        name: String::new(),
        alternatives: Vec::new(),
        index: link.header.index,
        controller: None,
        carrier: None,
        has_ethernet: matches!(kind, LinkLayerType::Ether | LinkLayerType::Loopback),
        is_loopback: kind == LinkLayerType::Loopback,
        mtu: 0,
        program: None,
        mode: None,
    };
    let (mut lower, mut is_vlan) = (None, false);
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::PropList(properties) => {
                interface.alternatives = properties.into_iter().filter_map(alternative).collect();
            }
            LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
            LinkAttribute::Link(index) => lower = Some(index),
            LinkAttribute::LinkInfo(info) => {
                is_vlan = info.contains(&LinkInfo::Kind(InfoKind::Vlan));
            }
            LinkAttribute::Controller(index) => interface.controller = Some(index),
            LinkAttribute::Xdp(attributes) => {
                for attribute in attributes {
                    match attribute {
                        LinkXdp::ProgId(id) => interface.program = Some(id),
                        LinkXdp::Attached(hook) => interface.mode = mode(hook),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    // For other kinds of interfaces, it may be the index of a peer, even of one in
    // another namespace.
    interface.carrier = lower.filter(|_| is_vlan);
    interface
}

fn alternative(property: Prop) -> Option<String> {
    match property {
        Prop::AltIfName(name) => Some(name),
        _ => None,
    }
}

const fn mode(hook: XdpAttached) -> Option<Mode> {
    match hook {
        XdpAttached::Driver => Some(Mode::Native),
        XdpAttached::SocketBuffer => Some(Mode::Generic),
        _ => None,
    }
}

/// Reads an address from a netlink message; `None` if the message has no address.
#[must_use]
pub fn own_address(message: &AddressMessage) -> Option<OwnAddress> {
    let attributes = || message.attributes.iter();
    // On an interface with a peer, `Address` is the peer's address.
    let local = attributes().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = attributes().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    Some(OwnAddress {
        interface: message.header.index,
        address: local.or(address)?,
        length: message.header.prefix_len,
    })
}
