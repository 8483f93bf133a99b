//! The flowtables of nftables, and other ways past the network stack.

use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::netlink::{attributes, list, text, value};
use crate::{doctor::facts::Flowtable, regular_file};

// Values of the kernel's uapi headers nfnetlink.h and nf_tables.h.
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_GETFLOWTABLE: u16 = 23;
const NFTA_FLOWTABLE_TABLE: u16 = 1;
const NFTA_FLOWTABLE_NAME: u16 = 2;
const NFTA_FLOWTABLE_HOOK: u16 = 3;
const NFTA_FLOWTABLE_FLAGS: u16 = 7;
const NFTA_FLOWTABLE_HOOK_DEVS: u16 = 3;
const NFT_FLOWTABLE_HW_OFFLOAD: u32 = 1;

/// Size of the header of messages about netfilter.
const HEADER: usize = 4;

/// Modules of vendors that forward packets past the network stack.
const ACCELERATORS: [&str; 6] = [
    "ecm",
    "qca_nss_sfe",
    "shortcut_fe",
    "mtkhnat",
    "hw_nat",
    "ctf",
];

/// Every flowtable of every family. Needs `CAP_NET_ADMIN`.
pub(super) fn flowtables() -> io::Result<Vec<Flowtable>> {
    let kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETFLOWTABLE;
    let bodies = match list(NETLINK_NETFILTER, kind, &[0; HEADER]) {
        // The kernel has no nftables, or none that know flowtables.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(Vec::new()),
        // It has no netfilter at all.
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => return Ok(Vec::new()),
        bodies => bodies?,
    };
    Ok(bodies.iter().filter_map(|body| flowtable(body)).collect())
}

/// Reads a flowtable from the body of a message.
fn flowtable(body: &[u8]) -> Option<Flowtable> {
    let mut found = Flowtable::default();
    for (kind, value) in attributes(body.get(HEADER..)?) {
        match kind {
            NFTA_FLOWTABLE_TABLE => found.table = text(value),
            NFTA_FLOWTABLE_NAME => found.name = text(value),
            NFTA_FLOWTABLE_HOOK => found.interfaces = interfaces(value),
            NFTA_FLOWTABLE_FLAGS => {
                let flags = value
                    .first_chunk()
                    .map_or(0, |flags| u32::from_be_bytes(*flags));
                found.in_hardware = flags & NFT_FLOWTABLE_HW_OFFLOAD != 0;
            }
            _ => {}
        }
    }
    Some(found)
}

fn interfaces(hook: &[u8]) -> Vec<String> {
    let names = value(hook, NFTA_FLOWTABLE_HOOK_DEVS).unwrap_or_default();
    attributes(names).map(|(_, name)| text(name)).collect()
}

/// The loaded modules among [`ACCELERATORS`].
pub(super) fn accelerators() -> io::Result<Vec<String>> {
    let modules = match regular_file::read_kernel_text("/proc/modules") {
        // The kernel can load no modules.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        modules => modules?,
    };
    let loaded = modules.lines().filter_map(|line| line.split(' ').next());
    let found = loaded.filter(|name| ACCELERATORS.contains(name));
    Ok(found.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute;

    #[test]
    fn a_flowtable_names_its_interfaces_and_says_if_hardware_forwards() {
        let message = |flags: Option<u32>| {
            let names = [attribute(1, b"lan0\0"), attribute(1, b"wan\0")].concat();
            let hook = attribute(NFTA_FLOWTABLE_HOOK_DEVS, &names);
            let mut body = vec![0; HEADER];
            body.extend(attribute(NFTA_FLOWTABLE_TABLE, b"fw4\0"));
            body.extend(attribute(NFTA_FLOWTABLE_NAME, b"ft\0"));
            body.extend(attribute(NFTA_FLOWTABLE_HOOK, &hook));
            if let Some(flags) = flags {
                body.extend(attribute(NFTA_FLOWTABLE_FLAGS, &flags.to_be_bytes()));
            }
            flowtable(&body).unwrap()
        };
        let hardware = message(Some(1));
        assert_eq!(hardware.interfaces, ["lan0", "wan"]);
        assert_eq!((&*hardware.table, &*hardware.name), ("fw4", "ft"));
        assert!(hardware.in_hardware);
        // The flag 2 only asks for counters.
        assert!(!message(Some(2)).in_hardware);
        assert!(!message(None).in_hardware);
    }
}
