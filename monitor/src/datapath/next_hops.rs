//! Reads the next hops of the routes of this network namespace over netlink.

use std::net::IpAddr;

use netlink_packet_route::{
    RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteMessage},
};

use super::{Error, netlink::dump};

/// The next hops of all routes, sorted and without duplicates.
pub fn next_hops() -> Result<Vec<IpAddr>, Error> {
    let request = RouteNetlinkMessage::GetRoute(RouteMessage::default());
    let routes: Vec<Vec<IpAddr>> = dump(&request, |message| match message {
        RouteNetlinkMessage::NewRoute(route) => Some(next_hops_of(&route)),
        _ => None,
    })
    .map_err(|source| Error::system("list routes", source))?;
    let mut hops: Vec<IpAddr> = routes.into_iter().flatten().collect();
    hops.sort_unstable();
    hops.dedup();
    Ok(hops)
}

fn next_hops_of(route: &RouteMessage) -> Vec<IpAddr> {
    let mut hops = Vec::new();
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Gateway(hop) => hops.extend(address(hop)),
            RouteAttribute::MultiPath(paths) => {
                let each = paths.iter().flat_map(|path| &path.attributes);
                hops.extend(each.filter_map(|attribute| match attribute {
                    RouteAttribute::Gateway(hop) => address(hop),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    hops
}

fn address(hop: &RouteAddress) -> Option<IpAddr> {
    match hop {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
