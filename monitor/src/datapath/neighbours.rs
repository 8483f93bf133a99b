//! The kernel's neighbour tables (ARP and NDP) of this network namespace.

use std::collections::BTreeMap;

use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState},
};

use super::{Error, gateway::reached_indices, interfaces::list, netlink::dump};
use crate::policy::MacAddress;

/// A MAC that the kernel resolved an address to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Index of the interface.
    pub interface: u32,
    /// MAC.
    pub mac: MacAddress,
    /// The kernel heard from it that it can be reached, or the operator entered
    /// it; else it may have only said so in a request of its own.
    pub confirmed: bool,
}

/// The neighbours on these interfaces, on the bridges that they are ports of and
/// on the VLANs on either: whether each is confirmed.
pub fn neighbours(names: &[String]) -> Result<BTreeMap<MacAddress, bool>, Error> {
    let failed = |source| Error::system("list neighbours", source);
    let interfaces = list().map_err(failed)?;
    let indices: Vec<u32> = names
        .iter()
        .flat_map(|name| reached_indices(name, &interfaces))
        .collect();
    let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    let all = dump(&request, |message| match message {
        RouteNetlinkMessage::NewNeighbour(message) => neighbour(&message),
        _ => None,
    })
    .map_err(failed)?;
    let mut found = BTreeMap::new();
    for neighbour in all.iter().filter(|it| indices.contains(&it.interface)) {
        *found.entry(neighbour.mac).or_default() |= neighbour.confirmed;
    }
    Ok(found)
}

/// What a message says of a neighbour; `None` where it names no MAC, or one that
/// was not resolved or belongs to no single device.
#[must_use]
pub fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    use NeighbourState::{Delay, Permanent, Probe, Reachable, Stale};
    let confirmed = match message.header.state {
        Reachable | Delay | Probe | Permanent => true,
        Stale => false,
        _ => return None,
    };
    let mac = message.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::LinkLayerAddress(mac) = attribute else {
            return None;
        };
        <[u8; 6]>::try_from(mac.as_slice()).ok()
    })?;
    // The lowest bit of the first byte marks groups (IEEE 802).
    let is_one_device = mac[0] & 1 == 0 && mac != [0; 6];
    is_one_device.then_some(Neighbour {
        interface: message.header.ifindex,
        mac: MacAddress(mac),
        confirmed,
    })
}
