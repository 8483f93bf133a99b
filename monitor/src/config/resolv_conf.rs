//! The resolvers that the gateway itself asks: `/etc/resolv.conf`.

use std::{net::IpAddr, path::Path};

use crate::regular_file::{self, Purpose};

const PATH: &str = "/etc/resolv.conf";
/// The most bytes that are read of it.
const MOST: u64 = 64 << 10;

/// The resolvers on other machines. Empty if the file cannot be read: then the gateway asks
/// no resolver by it.
pub(super) fn resolvers() -> Vec<IpAddr> {
    let bytes = regular_file::read_beginning(Path::new(PATH), Purpose::Config, MOST);
    parse(&String::from_utf8_lossy(&bytes.unwrap_or_default()))
}

/// Addresses behind `nameserver` that are not loopback (resolv.conf(5)).
fn parse(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let is_server = words.next() == Some("nameserver");
        let address = words.next().filter(|_| is_server)?;
        // A link-local address may have a zone. The guard protects link-local networks whole.
        address.parse::<IpAddr>().ok()
    });
    servers.filter(|address| !address.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_other_machines() {
        let text = "# nameserver 192.0.2.1\nsearch example\nnameserver 127.0.0.53\nnameserver 192.0.2.53\n nameserver\t2001:db8::53 # x\nnameserver fe80::1%eth0\nnameserver\n";
        let found: Vec<_> = parse(text).iter().map(IpAddr::to_string).collect();
        assert_eq!(found, ["192.0.2.53", "2001:db8::53"]);
    }
}
