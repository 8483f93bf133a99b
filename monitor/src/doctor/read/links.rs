//! The interfaces of this network namespace, over rtnetlink.

use std::{collections::BTreeMap, io};

use netlink_sys::protocols::NETLINK_ROUTE;

use super::forwarding::forwards;
use crate::{
    doctor::facts::{Families, Link, LinkKind},
    netlink::{attributes, list, long_number, number, text, value},
    snapshot::Mode,
};

// Values of the kernel's uapi headers rtnetlink.h, if_link.h and if_addr.h.
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_HAIRPIN: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const ARPHRD_ETHER: u16 = 1;
const IFLA_PHYS_SWITCH_ID: u16 = 36;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const XDP_ATTACHED_DRV: u8 = 1;
const XDP_ATTACHED_SKB: u8 = 2;
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 1 << 3;
const IFF_LOWER_UP: u32 = 1 << 16;

/// Sizes of the headers of messages about links and addresses.
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

/// Every interface, in the kernel's order.
pub(in crate::doctor) fn links() -> io::Result<Vec<Link>> {
    let bodies = list(NETLINK_ROUTE, RTM_GETLINK, &[0; LINK_HEADER])?;
    let families = families()?;
    let mut links: Vec<Link> = bodies.iter().filter_map(|body| link(body)).collect();
    for link in &mut links {
        link.addresses = families.get(&link.index).copied().unwrap_or_default();
        link.forwards = if link.is_up {
            forwards(&link.name)
        } else {
            Families::default()
        };
    }
    Ok(links)
}

/// Reads an interface from the body of a message.
pub(super) fn link(body: &[u8]) -> Option<Link> {
    let flags = long_number(body.get(8..)?)?;
    let mut link = Link {
        index: long_number(body.get(4..)?)?,
        is_up: flags & IFF_UP != 0 && flags & IFF_LOWER_UP != 0,
        ..Link::default()
    };
    let is_ethernet = body.get(2..).and_then(number) == Some(ARPHRD_ETHER);
    let (mut lower, mut word, mut is_elsewhere) = (None, String::new(), false);
    for (kind, value) in attributes(body.get(LINK_HEADER..)?) {
        match kind {
            IFLA_ADDRESS if is_ethernet => link.mac = value.first_chunk().copied(),
            IFLA_IFNAME => link.name = text(value),
            IFLA_LINK => lower = long_number(value),
            IFLA_LINK_NETNSID => is_elsewhere = true,
            IFLA_MASTER => link.controller = long_number(value),
            IFLA_PHYS_SWITCH_ID => link.switch = Some(hex::encode(value)),
            IFLA_XDP => (link.program, link.mode) = program(value),
            IFLA_LINKINFO => {
                word = info_kind(value);
                link.vlan = (word == "vlan").then(|| vlan(value)).flatten();
                link.is_isolated = port_has(value, IFLA_BRPORT_ISOLATED);
                link.is_hairpin = port_has(value, IFLA_BRPORT_HAIRPIN);
            }
            _ => {}
        }
    }
    link.kind = if flags & IFF_LOOPBACK != 0 {
        LinkKind::Internal
    } else {
        LinkKind::of(&word)
    };
    // Of other kinds, it is the index of a peer.
    link.lower = lower.filter(|_| link.kind == LinkKind::Stacked && !is_elsewhere);
    link.leads_elsewhere = is_elsewhere && word == "veth";
    link.word = word;
    Some(link)
}

fn info_kind(info: &[u8]) -> String {
    value(info, IFLA_INFO_KIND).map_or_else(String::new, text)
}

fn vlan(info: &[u8]) -> Option<u16> {
    let data = value(info, IFLA_INFO_DATA)?;
    value(data, IFLA_VLAN_ID).and_then(number)
}

/// True if this setting of a port of a bridge is on.
fn port_has(info: &[u8], setting: u16) -> bool {
    let port = value(info, IFLA_INFO_SLAVE_DATA);
    let found = port.and_then(|port| value(port, setting));
    found.is_some_and(|found| found.first() == Some(&1))
}

/// Id and mode of the XDP program.
fn program(xdp: &[u8]) -> (Option<u32>, Option<Mode>) {
    let attached = value(xdp, IFLA_XDP_ATTACHED).and_then(|attached| attached.first());
    let mode = match attached {
        Some(&XDP_ATTACHED_DRV) => Some(Mode::Native),
        Some(&XDP_ATTACHED_SKB) => Some(Mode::Generic),
        _ => None,
    };
    (value(xdp, IFLA_XDP_PROG_ID).and_then(long_number), mode)
}

/// The families of the addresses of each interface that has any.
fn families() -> io::Result<BTreeMap<u32, Families>> {
    let mut found: BTreeMap<u32, Families> = BTreeMap::new();
    for body in list(NETLINK_ROUTE, RTM_GETADDR, &[0; ADDRESS_HEADER])? {
        // An address of the link alone routes nothing: `struct ifaddrmsg`, RT_SCOPE_LINK.
        if body.get(3) == Some(&libc::RT_SCOPE_LINK) {
            continue;
        }
        let family = body.first().map(|family| i32::from(*family));
        if let Some(index) = body.get(4..).and_then(long_number) {
            let own = found.entry(index).or_default();
            own.ipv4 |= family == Some(libc::AF_INET);
            own.ipv6 |= family == Some(libc::AF_INET6);
        }
    }
    Ok(found)
}
