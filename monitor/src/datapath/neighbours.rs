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
    /// True if the kernel holds the neighbour for reachable now, or if the operator entered
    /// it. False while the kernel only asks whether an earlier neighbour is still there:
    /// a packet of an old connection makes the kernel ask for a device that has left.
    pub reachable: bool,
    /// Time since the kernel learned that the neighbour is reachable. The change of an
    /// entry to another state does not count: the kernel changes also the entry of a device
    /// that has left. Of an entry that was never confirmed, the kernel gives one minute more
    /// than its age.
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
        reachable: matches!(message.header.state, Reachable | Permanent),
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

/// Time since the last confirmation.
fn age(attribute: &NeighbourAttribute) -> Option<Duration> {
    let NeighbourAttribute::CacheInfo(times) = attribute else {
        return None;
    };
    Some(Duration::from_millis(
        u64::from(times.confirmed) * 1000 / TICKS,
    ))
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::neighbour::NeighbourCacheInfo;

    use super::*;

    /// A phone left an hour ago. The kernel still asks for it.
    #[test]
    fn an_entry_that_the_kernel_probes_is_as_old_as_its_last_confirmation() {
        use NeighbourState::{Delay, Failed, Permanent, Probe, Reachable, Stale};
        for (state, expected) in [
            (Reachable, Some((true, true))),
            (Permanent, Some((true, true))),
            (Stale, Some((false, false))),
            (Delay, Some((true, false))),
            (Probe, Some((true, false))),
            (Failed, None),
        ] {
            let mut message = NeighbourMessage::default();
            message.header.state = state;
            let times = [360_000_u32, 100, 100, 0].map(u32::to_ne_bytes);
            let times = NeighbourCacheInfo::parse(times.as_flattened()).unwrap();
            message.attributes = vec![
                NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 1]),
                NeighbourAttribute::CacheInfo(times),
            ];
            let found = neighbour(&message);
            let flags = found.map(|found| (found.confirmed, found.reachable));
            assert_eq!(flags, expected, "{state:?}");
            let age = found.map(|found| found.age);
            assert!(age.is_none_or(|age| age == Duration::from_hours(1)));
        }
    }
}
