//! Which families an interface forwards, and where the default routes lead.

use std::path::Path;

use crate::{
    doctor::facts::{Families, Link},
    regular_file::{self, Purpose},
};

/// The most bytes of a routing table that are read. The default routes come first for IPv4.
const MOST: u64 = 256 << 10;

/// Families that the interface of this name forwards. A family that the kernel does not have
/// is not forwarded.
pub(super) fn forwards(name: &str) -> Families {
    let is_on = |family: &str| {
        let path = format!("/proc/sys/net/{family}/conf/{name}/forwarding");
        regular_file::read_kernel_text(path).is_ok_and(|text| text.trim() != "0")
    };
    Families {
        ipv4: is_on("ipv4"),
        ipv6: is_on("ipv6"),
    }
}

/// Indices of the interfaces to which a default route of the main table leads.
pub(super) fn far_sides(links: &[Link]) -> Vec<u32> {
    let read = |path| {
        let bytes = regular_file::read_beginning(Path::new(path), Purpose::State, MOST);
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    let (ipv4, ipv6) = (read("/proc/net/route"), read("/proc/net/ipv6_route"));
    let mut names: Vec<&str> = ipv4.lines().filter_map(default_ipv4).collect();
    names.extend(ipv6.lines().filter_map(default_ipv6));
    let is_named = |link: &&Link| names.contains(&link.name.as_str());
    links
        .iter()
        .filter(is_named)
        .map(|link| link.index)
        .collect()
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
}
