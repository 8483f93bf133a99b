//! Interfaces on which a DHCP server of this machine answers.

use std::{collections::BTreeMap, fs, io, path::Path};

use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use crate::doctor::facts::Link;
use crate::netlink::{list, long_number};

/// `SOCK_DIAG_BY_FAMILY` of the kernel's uapi header `sock_diag.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// The port of a DHCP server.
const SERVER_PORT: u16 = 67;

/// Offset of `id.idiag_if` in `struct inet_diag_msg`.
const BOUND_INTERFACE: usize = 40;

/// Lease files that have the name of their interface: of systemd-networkd and `NetworkManager`.
const LEASES: [(&str, &str, &str); 2] = [
    ("/var/lib/systemd/network/dhcp-server-lease/", "", ""),
    ("/var/lib/NetworkManager/", "dnsmasq-", ".leases"),
];

/// How each interface shows that a DHCP server answers on it, by index. And true if a server listens
/// that is bound to no interface.
pub(super) fn servers(links: &[Link]) -> (BTreeMap<u32, String>, bool) {
    let mut found = BTreeMap::new();
    for link in links {
        for (directory, before, after) in LEASES {
            let path = format!("{directory}{before}{}{after}", link.name);
            let is_file = !link.name.contains('/')
                && fs::symlink_metadata(Path::new(&path)).is_ok_and(|found| found.is_file());
            if is_file {
                found.insert(link.index, format!("a DHCP server writes {path}"));
            }
        }
    }
    // A kernel without the module `udp_diag` does not say it.
    let sockets = sockets().unwrap_or_default();
    let bound = sockets.iter().filter(|index| **index != 0);
    for index in bound.copied() {
        let why = "a DHCP server of this machine listens on it (UDP port 67)";
        found.insert(index, why.to_owned());
    }
    (found, sockets.contains(&0))
}

/// Indices of the interfaces to which sockets with the port of a DHCP server are bound. A server for
/// several interfaces binds its socket to none, which is 0.
fn sockets() -> io::Result<Vec<u32>> {
    let answers = list(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request())?;
    let bound = answers
        .iter()
        .filter_map(|answer| long_number(answer.get(BOUND_INTERFACE..)?));
    Ok(bound.collect())
}

/// `struct inet_diag_req_v2`: every IPv4 socket of UDP with this port.
fn request() -> Vec<u8> {
    let (family, protocol) = (libc::AF_INET, libc::IPPROTO_UDP);
    let mut request = [family, protocol, 0, 0]
        .map(|field| u8::try_from(field).unwrap_or(0))
        .to_vec();
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(SERVER_PORT.to_be_bytes());
    // Other port, addresses, interface and cookie: any.
    request.resize(56, 0);
    request
}
