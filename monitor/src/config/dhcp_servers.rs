//! The DHCP servers that gave the gateway its own addresses, from the files of DHCP clients.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use crate::regular_file::{self, Purpose};

/// The most bytes that are read of a file.
const MOST: u64 = 64 << 10;

/// The servers of these interfaces, sorted and without duplicates. Empty if no known client
/// wrote a file. DHCPv6 needs no address: its packets go to a multicast address, and come from a
/// link-local one.
pub(super) fn servers(interfaces: &[String]) -> Vec<IpAddr> {
    let files = interfaces.iter().flat_map(|name| files_of(name));
    let mut servers: Vec<IpAddr> = files
        .flat_map(|path| {
            let bytes = regular_file::read_beginning(&path, Purpose::Devices, MOST);
            parse(&String::from_utf8_lossy(&bytes.unwrap_or_default()))
        })
        .collect();
    servers.sort_unstable();
    servers.dedup();
    servers
}

/// Files that systemd-networkd and dhclient write about an interface.
fn files_of(interface: &str) -> Vec<PathBuf> {
    let leases = Path::new("/var/lib/dhcp");
    let index = nix::net::if_::if_nametoindex(interface).ok();
    let networkd = index.map(|index| format!("/run/systemd/netif/leases/{index}").into());
    let dhclient = [
        leases.join(format!("dhclient.{interface}.leases")),
        leases.join("dhclient.leases"),
    ];
    networkd.into_iter().chain(dhclient).collect()
}

/// Addresses of servers in either format: `SERVER_ADDRESS=…`, and
/// `option dhcp-server-identifier …;`.
fn parse(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let line = line.trim();
        let server = line.strip_prefix("SERVER_ADDRESS=").or_else(|| {
            let option = line.strip_prefix("option dhcp-server-identifier ")?;
            option.strip_suffix(';')
        });
        server?.trim().parse().ok()
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_in_the_files_of_two_clients() {
        let networkd = "# This is private data. Do not parse.\nADDRESS=203.0.113.7\n\
            SERVER_ADDRESS=203.0.113.67\nNEXT_SERVER=0.0.0.0\n";
        let dhclient = "lease {\n  interface \"eth0\";\n  fixed-address 203.0.113.7;\n  \
            option dhcp-server-identifier 203.0.113.68;\n}\n";
        let found = [parse(networkd), parse(dhclient)].concat();
        let found: Vec<_> = found.iter().map(IpAddr::to_string).collect();
        assert_eq!(found, ["203.0.113.67", "203.0.113.68"]);
    }
}
