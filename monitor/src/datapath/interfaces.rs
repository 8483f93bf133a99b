//! Network interfaces of this network namespace, as the kernel lists them over
//! netlink. Not `/sys`, which may show another namespace.

use std::{io, net::IpAddr};

use crate::snapshot::Mode;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage, LinkXdp, Prop, XdpAttached},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::decode::netlink_reply;

/// An interface, as far as the filter cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Other names that it has beside it (`ip link property add dev … altname …`,
    /// Linux 5.5, commit 36fbf1e52bd3).
    pub alternatives: Vec<String>,
    /// Index, unique in its namespace.
    pub index: u32,
    /// Index of the bridge (or bond) that it is a port of.
    pub controller: Option<u32>,
    /// Index of the interface that carries it as a VLAN.
    pub carrier: Option<u32>,
    /// Id of the XDP program that it runs, whoever attached it.
    pub program: Option<u32>,
    /// How that is attached, where it is at one of the two hooks.
    pub mode: Option<Mode>,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// Index of the interface.
    pub interface: u32,
    /// Address.
    pub address: IpAddr,
    /// Length of its network's prefix in bits.
    pub length: u8,
}

/// Every interface, in the kernel's order.
pub fn list() -> io::Result<Vec<Interface>> {
    let mut interfaces = Vec::new();
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    dump(request, |message| {
        if let RouteNetlinkMessage::NewLink(link) = message {
            interfaces.push(interface(link));
        }
    })?;
    Ok(interfaces)
}

/// Every address of every interface, in the kernel's order.
pub(super) fn addresses() -> io::Result<Vec<OwnAddress>> {
    let mut addresses = Vec::new();
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    dump(request, |message| {
        if let RouteNetlinkMessage::NewAddress(message) = message {
            addresses.extend(own_address(&message));
        }
    })?;
    Ok(addresses)
}

/// Asks the kernel for a list, and hands out what is in it.
pub(super) fn dump(
    request: RouteNetlinkMessage,
    mut found: impl FnMut(RouteNetlinkMessage),
) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&serialized(request), 0)?;
    loop {
        let (reply, _) = socket.recv_from_full()?;
        if netlink_reply(&reply, &mut found)? {
            return Ok(());
        }
    }
}

fn serialized(message: RouteNetlinkMessage) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    bytes
}

/// What a message says of an interface.
#[must_use]
pub fn interface(link: LinkMessage) -> Interface {
    let mut interface = Interface {
        name: String::new(),
        alternatives: Vec::new(),
        index: link.header.index,
        controller: None,
        carrier: None,
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
    // Of other kinds it may be a peer, also one in another namespace.
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

/// What a message says of an address; `None` where it names none.
#[must_use]
pub fn own_address(message: &AddressMessage) -> Option<OwnAddress> {
    let attributes = || message.attributes.iter();
    // Where there is a peer, `Address` is the peer's.
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
