//! The usual places of lease files.

use std::{fs, path::Path};

use crate::config::LeasesOption;

/// Places of the lease files of dnsmasq, Kea, the ISC server and odhcpd, below the root.
pub(super) const LEASES: [&str; 7] = [
    "var/lib/misc/dnsmasq.leases",
    "var/lib/dnsmasq/dnsmasq.leases",
    "var/lib/kea/kea-leases4.csv",
    "var/lib/kea/kea-leases6.csv",
    "var/lib/dhcp/dhcpd.leases",
    "var/lib/dhcp/dhcpd6.leases",
    "var/lib/odhcpd/dhcp.leases",
];

/// Places on OpenWrt. On another system, every user can write into `/tmp`.
pub(super) const LEASES_OPENWRT: [&str; 3] =
    ["tmp/dhcp.leases", "tmp/hosts/odhcpd", "tmp/odhcpd.leases"];

/// Exists on OpenWrt only.
pub(super) const OPENWRT: &str = "etc/openwrt_release";

/// Folder of the lease files of systemd-networkd: one for each interface.
const NETWORKD: &str = "var/lib/systemd/network/dhcp-server-lease";

/// The interfaces of the kernel.
const INTERFACES: &str = "sys/class/net";

/// The well-known places of the five DHCP servers. systemd-networkd may give leases on each
/// of `interfaces`, or on a bridge of which it is a port now.
pub(super) fn well_known(root: &Path, interfaces: &[String]) -> Vec<LeasesOption> {
    let is_openwrt = root.join(OPENWRT).exists();
    let openwrt = is_openwrt.then_some(LEASES_OPENWRT);
    let fixed = LEASES.into_iter().chain(openwrt.into_iter().flatten());
    let mut paths: Vec<_> = fixed.map(|path| root.join(path)).collect();
    for interface in interfaces {
        let master = root.join(INTERFACES).join(interface).join("master");
        let bridge = fs::read_link(master).ok();
        let bridge = bridge.as_deref().and_then(Path::file_name);
        for name in [Some(interface.as_ref()), bridge].into_iter().flatten() {
            let path = root.join(NETWORKD).join(name);
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    let files = paths.into_iter();
    files
        .map(|path| LeasesOption { path, format: None })
        .collect()
}
