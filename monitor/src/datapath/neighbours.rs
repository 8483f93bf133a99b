//! The kernel's neighbour tables (ARP and NDP) of this network namespace.

use std::collections::BTreeMap;

use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState},
};

use super::{Error, gateway::reached_indices, interfaces::list, netlink::dump};
use crate::policy::MacAddress;

/// A MAC to which the kernel resolved an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Interface index.
    pub interface: u32,
    /// MAC of the neighbour.
    pub mac: MacAddress,
    /// True if the kernel learned that the neighbour is reachable, or if the
    /// operator entered it. False if the kernel may know the MAC only from a
    /// request that the neighbour sent.
    pub confirmed: bool,
}

/// MACs of the neighbours on these interfaces, on their bridges and on the VLANs of
/// both. The value is [`Neighbour::confirmed`].
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

/// Reads a neighbour from a netlink message. `None` if the message has no MAC, if
/// the MAC is not resolved, or if it is not the MAC of a single device.
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
