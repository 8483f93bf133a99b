//! Which interfaces lead to the Internet, and which interfaces lie below others.

use std::path::Path;

use super::interfaces::Interface;
use crate::regular_file::{self, Purpose};

/// The most bytes of a table of the kernel that are read. The default routes come first for
/// IPv4.
const MOST: u64 = 256 << 10;

/// Names of the interfaces to which a default route of the main table leads.
#[must_use]
pub fn default_route_interfaces() -> Vec<String> {
    let (ipv4, ipv6) = (read("/proc/net/route"), read("/proc/net/ipv6_route"));
    let mut names: Vec<&str> = ipv4.lines().filter_map(default_ipv4).collect();
    names.extend(ipv6.lines().filter_map(default_ipv6));
    names.into_iter().map(str::to_owned).collect()
}

/// Ethernet interfaces that carry PPPoE sessions of this machine.
pub(super) fn pppoe_carriers() -> Vec<String> {
    let table = read("/proc/net/pppoe");
    table.lines().filter_map(pppoe_carrier).collect()
}

/// Indices of the interfaces to which a default route leads, and of those below them. A
/// PPPoE session lies above its carrier.
pub(super) fn far_sides(all: &[Interface]) -> Vec<u32> {
    let mut names = default_route_interfaces();
    let is_session =
        |interface: &Interface| !interface.has_ethernet && names.contains(&interface.name);
    if all.iter().any(is_session) {
        names.extend(pppoe_carriers());
    }
    let far = all
        .iter()
        .filter(|interface| names.contains(&interface.name));
    far.flat_map(|interface| {
        let mut indices = below(interface.index, all);
        indices.push(interface.index);
        indices
    })
    .collect()
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

/// Interface of a line of `/proc/net/route`, if its route covers at least half of the
/// addresses: a VPN replaces a default route by two halves.
fn default_ipv4(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let mask = u32::from_str_radix(fields.get(7)?, 16).ok()?;
    (mask.count_ones() <= 1).then_some(fields[0])
}

/// Interface of a line of `/proc/net/ipv6_route`. In addition, `2000::/3` counts: it covers all
/// addresses in use.
fn default_ipv6(line: &str) -> Option<&str> {
    const RTF_REJECT: u32 = 0x0200;
    let fields: Vec<&str> = line.split_whitespace().collect();
    let length = u32::from_str_radix(fields.get(1)?, 16).ok()?;
    let flags = u32::from_str_radix(fields.get(8)?, 16).ok()?;
    let is_global = fields[0].starts_with(['0', '2', '3', '8']);
    (length <= 3 && is_global && flags & RTF_REJECT == 0)
        .then(|| fields.get(9).copied())
        .flatten()
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
    fn default_routes_are_found_whole_and_in_halves() {
        let line = |destination: &str, mask: &str| {
            format!("eth0\t{destination}\t0101A8C0\t0003\t0\t0\t0\t{mask}\t0\t0\t0")
        };
        assert_eq!(default_ipv4(&line("00000000", "00000000")), Some("eth0"));
        assert_eq!(default_ipv4(&line("00000080", "00000080")), Some("eth0"));
        assert_eq!(default_ipv4(&line("0000A8C0", "0000FFFF")), None);
        assert_eq!(default_ipv4("Iface\tDestination\tGateway\tMask"), None);

        let zero = "00000000000000000000000000000000";
        let line = |destination: &str, length: &str, flags: &str| {
            format!(
                "{destination} {length} {zero} 00 {zero} 00000400 00000001 00000000 {flags} eth0"
            )
        };
        assert_eq!(default_ipv6(&line(zero, "00", "00000003")), Some("eth0"));
        assert_eq!(default_ipv6(&line(zero, "00", "00200200")), None);
        let global = "20000000000000000000000000000000";
        assert_eq!(default_ipv6(&line(global, "03", "00000003")), Some("eth0"));
        let private = "fd000000000000000000000000000000";
        assert_eq!(default_ipv6(&line(private, "08", "00000001")), None);
    }

    #[test]
    fn the_carrier_of_a_pppoe_session() {
        // `pppoe_seq_show` in the kernel's `drivers/net/ppp/pppoe.c`.
        assert_eq!(pppoe_carrier("Id       Address              Device"), None);
        let line = "0000002A 02:00:00:00:00:01     eth0.7";
        assert_eq!(pppoe_carrier(line), Some("eth0.7".to_owned()));
    }
}
