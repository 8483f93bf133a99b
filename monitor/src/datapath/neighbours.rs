//! The kernel's neighbour tables (ARP and NDP) of this network namespace.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
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
    /// Address of the neighbour. `None` for entries of a bridge.
    pub address: Option<IpAddr>,
    /// True if the kernel learned that the neighbour is reachable, or if the
    /// operator entered it. False if the kernel may know the MAC only from a
    /// request that the neighbour sent.
    pub confirmed: bool,
    /// Time since the kernel confirmed or changed the entry. An entry of a device that has
    /// left stays in the table, and becomes older.
    pub age: Duration,
}

/// Ticks of a second in times that the kernel reports (`USER_HZ`, time(7)). It is the same
/// on every architecture of Linux that this program supports.
const TICKS: u64 = 100;

/// MACs of the neighbours on these interfaces, on their bridges and on the VLANs of
/// both. The value is [`Neighbour::confirmed`].
pub fn neighbours(names: &[String]) -> Result<BTreeMap<MacAddress, bool>, Error> {
    let mut found = BTreeMap::new();
    for neighbour in neighbour_entries(names)? {
        *found.entry(neighbour.mac).or_default() |= neighbour.confirmed;
    }
    Ok(found)
}

/// The entries of the neighbour tables for these interfaces, for their bridges and for the
/// VLANs of both.
pub fn neighbour_entries(names: &[String]) -> Result<Vec<Neighbour>, Error> {
    let failed = |source| Error::system("list neighbours", source);
    let interfaces = list().map_err(failed)?;
    let indices: Vec<u32> = names
        .iter()
        .flat_map(|name| reached_indices(name, &interfaces))
        .collect();
    let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    let mut all = dump(&request, |message| match message {
        RouteNetlinkMessage::NewNeighbour(message) => neighbour(&message),
        _ => None,
    })
    .map_err(failed)?;
    all.retain(|neighbour| indices.contains(&neighbour.interface));
    Ok(all)
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
        address: message.attributes.iter().find_map(address),
        confirmed,
        age: message.attributes.iter().find_map(age).unwrap_or_default(),
    })
}

fn address(attribute: &NeighbourAttribute) -> Option<IpAddr> {
    match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some((*address).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
            Some((*address).into())
        }
        _ => None,
    }
}

/// Time since the later one of the last confirmation and the last change.
fn age(attribute: &NeighbourAttribute) -> Option<Duration> {
    let NeighbourAttribute::CacheInfo(times) = attribute else {
        return None;
    };
    let ticks = u64::from(times.confirmed.min(times.updated));
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}
