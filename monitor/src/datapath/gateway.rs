//! Addresses and networks of this machine, as devices behind its interfaces reach
//! them.

use std::net::IpAddr;

use super::{
    Error,
    interfaces::{self, Interface, OwnAddress, addresses, list},
};
use crate::{guard::LanInterface, lists::OwnNetwork, policy::MacAddress};

/// Returns each named interface with the addresses that devices reach through it.
/// An interface that does not exist has no addresses.
pub fn lan_interfaces(names: &[String]) -> Result<Vec<LanInterface>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let (interfaces, addresses) = listed()?;
    let each = names.iter().map(|name| {
        let reached = reached_through(name, &interfaces, &addresses);
        LanInterface {
            name: name.clone(),
            addresses: reached.iter().map(|own| own.address).collect(),
        }
    });
    Ok(each.collect())
}

/// Returns the networks of the addresses that devices reach through these
/// interfaces, sorted and without duplicates.
pub fn lan_networks(names: &[String]) -> Result<Vec<OwnNetwork>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let (interfaces, addresses) = listed()?;
    let reached = names
        .iter()
        .flat_map(|name| reached_through(name, &interfaces, &addresses));
    let mut networks: Vec<OwnNetwork> = reached
        .map(|own| OwnNetwork {
            address: own.address,
            length: own.length,
        })
        .collect();
    networks.sort_unstable();
    networks.dedup();
    Ok(networks)
}

/// Returns the MACs of the interfaces with these names.
pub fn macs(names: &[String]) -> Result<Vec<MacAddress>, Error> {
    interfaces::macs(names).map_err(|source| Error::system("list network interfaces", source))
}

/// Returns the addresses of every interface of this machine, sorted and without
/// duplicates.
pub fn own_addresses() -> Result<Vec<IpAddr>, Error> {
    let (_, addresses) = listed()?;
    let mut addresses: Vec<IpAddr> = addresses.iter().map(|own| own.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

fn listed() -> Result<(Vec<Interface>, Vec<OwnAddress>), Error> {
    let interfaces = list().map_err(|source| Error::system("list network interfaces", source))?;
    let addresses =
        addresses().map_err(|source| Error::system("list network addresses", source))?;
    Ok((interfaces, addresses))
}

/// Addresses of an interface, of the bridge that it is a port of, and of the VLANs
/// on both, sorted by address. The filter sees the packets to all of them.
fn reached_through(
    name: &str,
    interfaces: &[Interface],
    addresses: &[OwnAddress],
) -> Vec<OwnAddress> {
    let reached = reached_indices(name, interfaces);
    let own = addresses
        .iter()
        .filter(|own| reached.contains(&own.interface));
    let mut found: Vec<OwnAddress> = own.copied().collect();
    found.sort_unstable_by_key(|own| own.address);
    found
}

/// Indices of an interface, of the bridge that it is a port of, and of the VLANs on
/// both. Empty if no interface has this name.
pub(super) fn reached_indices(name: &str, interfaces: &[Interface]) -> Vec<u32> {
    let mut reached: Vec<u32> = Vec::new();
    let start = interfaces.iter().find(|interface| interface.name == name);
    let mut next: Vec<u32> = start.map(|interface| interface.index).into_iter().collect();
    while let Some(index) = next.pop() {
        if reached.contains(&index) {
            continue;
        }
        reached.push(index);
        for interface in interfaces {
            if interface.index == index {
                next.extend(interface.controller);
            }
            if interface.carrier == Some(index) {
                next.push(interface.index);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str, controller: u32, carrier: u32) -> Interface {
        let some = |index| (index > 0).then_some(index);
        Interface {
            name: name.to_owned(),
            alternatives: Vec::new(),
            index,
            controller: some(controller),
            carrier: some(carrier),
            has_ethernet: true,
            is_loopback: false,
            mtu: 1500,
            program: None,
            mode: None,
        }
    }

    #[test]
    fn a_port_reaches_the_bridge_and_the_vlans_on_it() {
        let interfaces = [
            interface(1, "wlan0", 2, 0),
            interface(2, "br-lan", 0, 0),
            interface(3, "br-lan.7", 0, 2),
            interface(4, "wan", 0, 0),
            interface(5, "wlan0.9", 0, 1),
        ];
        let addresses = [1, 2, 3, 4, 5].map(|index| OwnAddress {
            interface: index,
            address: IpAddr::from([192, 0, 2, u8::try_from(index).unwrap()]),
            length: 24,
        });
        let last = |name| -> Vec<String> {
            let reached = reached_through(name, &interfaces, &addresses);
            reached.iter().map(|own| own.address.to_string()).collect()
        };
        assert_eq!(
            last("wlan0"),
            ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.5"]
        );
        assert_eq!(last("br-lan"), ["192.0.2.2", "192.0.2.3"]);
        assert_eq!(last("wan"), ["192.0.2.4"]);
        assert!(last("none").is_empty());
    }
}
