//! Which interfaces lead to the Internet, and which interfaces lie below others.

use std::{io, path::Path};

use super::interfaces::Interface;
use crate::{
    default_routes::default_routes,
    regular_file::{self, Purpose},
};

/// The most bytes of the kernel's table of sessions that are read.
const MOST: u64 = 256 << 10;

/// Ethernet interfaces that carry PPPoE sessions of this machine.
pub(crate) fn pppoe_carriers() -> Vec<String> {
    let table = read("/proc/net/pppoe");
    table.lines().filter_map(pppoe_carrier).collect()
}

/// Indices of the interfaces to which a default route leads, and of those below them. A
/// PPPoE session lies above its carrier.
pub(super) fn far_sides(all: &[Interface]) -> io::Result<Vec<u32>> {
    let mut far = default_routes()?;
    let is_session =
        |interface: &Interface| !interface.has_ethernet && far.contains(&interface.index);
    if all.iter().any(is_session) {
        let carriers = pppoe_carriers();
        let carriers = all.iter().filter(|it| carriers.contains(&it.name));
        far.extend(carriers.map(|carrier| carrier.index));
    }
    let below = far.iter().flat_map(|&index| below(index, all));
    let below: Vec<u32> = below.collect();
    far.extend(below);
    Ok(far)
}

/// Indices of the interfaces below this one: the carrier of a VLAN and the ports of a
/// bridge, and those below them.
pub(super) fn below(index: u32, all: &[Interface]) -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = vec![index];
    while let Some(index) = next.pop() {
        for interface in all {
            let lower = if interface.index == index {
                interface.carrier
            } else {
                (interface.controller == Some(index)).then_some(interface.index)
            };
            if let Some(lower) = lower.filter(|lower| !found.contains(lower)) {
                found.push(lower);
                next.push(lower);
            }
        }
    }
    found
}

fn read(path: &str) -> String {
    let bytes = regular_file::read_beginning(Path::new(path), Purpose::State, MOST);
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// Interface of a line of `/proc/net/pppoe`: session id, MAC of the other end, interface.
fn pppoe_carrier(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let is_session = fields.first()?.chars().all(|c| c.is_ascii_hexdigit());
    (is_session && fields.len() == 3).then(|| fields[2].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_carrier_of_a_pppoe_session() {
        // `pppoe_seq_show` in the kernel's `drivers/net/ppp/pppoe.c`.
        assert_eq!(pppoe_carrier("Id       Address              Device"), None);
        let line = "0000002A 02:00:00:00:00:01     eth0.7";
        assert_eq!(pppoe_carrier(line), Some("eth0.7".to_owned()));
    }
}
