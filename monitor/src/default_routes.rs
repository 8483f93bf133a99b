//! Where the default routes lead.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;

use crate::netlink::{attributes, long_number, number, visit};

// Values of the kernel's uapi header rtnetlink.h.
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const RTN_UNICAST: u8 = 1;

/// Size of the header of messages about routes (`struct rtmsg`).
const HEADER: usize = 12;

/// Size of the header of one of several next hops (`struct rtnexthop`).
const HOP_HEADER: usize = 8;

/// Indices of the interfaces to which a default route of any table leads, sorted.
///
/// # Errors
///
/// The kernel's answer, if it lists no routes.
pub(crate) fn default_routes() -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut request = [0; HEADER];
        request[0] = u8::try_from(family).unwrap_or_default();
        visit(NETLINK_ROUTE, RTM_GETROUTE, &request, |body| {
            found.extend(default_route(body));
            // One table has one default route, or a few. Another program may make many.
            found.sort_unstable();
            found.dedup();
        })?;
    }
    Ok(found)
}

/// The interfaces of a route, if it covers at least half of the addresses: a VPN replaces a
/// default route by two halves. For IPv6, `2000::/3` counts too: it covers all addresses in use.
fn default_route(body: &[u8]) -> Vec<u32> {
    let is_default = || {
        let family = i32::from(*body.first()?);
        let length = *body.get(1)?;
        let is_unicast = *body.get(7)? == RTN_UNICAST;
        let destination = attributes(body.get(HEADER..)?).find(|(kind, _)| *kind == RTA_DST);
        let first = destination.and_then(|(_, address)| address.first().copied());
        let is_whole = match family {
            libc::AF_INET => length <= 1,
            libc::AF_INET6 => length <= 3 && matches!(first.unwrap_or(0) >> 4, 0 | 2 | 3 | 8),
            _ => false,
        };
        Some(is_unicast && is_whole)
    };
    if is_default() != Some(true) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (kind, value) in attributes(body.get(HEADER..).unwrap_or_default()) {
        match kind {
            RTA_OIF => found.extend(long_number(value)),
            RTA_MULTIPATH => found.extend(hops(value)),
            _ => {}
        }
    }
    found
}

/// The interfaces of several next hops.
fn hops(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(number(rest)?).max(HOP_HEADER);
        let index = rest.get(4..).and_then(long_number)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(index)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::attribute;

    fn route(family: i32, length: u8, kind: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0; HEADER];
        body[0] = u8::try_from(family).unwrap();
        body[1] = length;
        body[7] = kind;
        body.extend(attributes.concat());
        body
    }

    fn to(index: u32) -> Vec<u8> {
        attribute(RTA_OIF, &index.to_ne_bytes())
    }

    #[test]
    fn default_routes_are_found_whole_in_halves_and_with_several_hops() {
        let ipv4 = |length, attributes: &[Vec<u8>]| {
            default_route(&route(libc::AF_INET, length, RTN_UNICAST, attributes))
        };
        assert_eq!(ipv4(0, &[to(3)]), [3]);
        let half = attribute(RTA_DST, &[128, 0, 0, 0]);
        assert_eq!(ipv4(1, &[half, to(3)]), [3]);
        assert!(ipv4(8, &[attribute(RTA_DST, &[10, 0, 0, 0]), to(3)]).is_empty());
        let hop = |index: u32| {
            let gateway = attribute(5, &[192, 0, 2, 1]);
            let length = u16::try_from(HOP_HEADER + gateway.len()).unwrap();
            [
                &length.to_ne_bytes()[..],
                &[0, 0],
                &index.to_ne_bytes(),
                &gateway,
            ]
            .concat()
        };
        let both = attribute(RTA_MULTIPATH, &[hop(3), hop(7)].concat());
        assert_eq!(ipv4(0, &[both]), [3, 7]);
        let unreachable = route(libc::AF_INET, 0, 7, &[to(1)]);
        assert!(default_route(&unreachable).is_empty());

        let ipv6 = |length, first: u8| {
            let destination = attribute(RTA_DST, &[first, 0, 0, 0, 0, 0, 0, 0]);
            default_route(&route(
                libc::AF_INET6,
                length,
                RTN_UNICAST,
                &[destination, to(3)],
            ))
        };
        assert_eq!((ipv6(0, 0), ipv6(3, 0x20)), (vec![3], vec![3]));
        assert!(ipv6(8, 0xfd).is_empty());
        assert!(ipv6(3, 0xe0).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            let _ = default_route(&bytes);
            prop_assert!(hops(&bytes).count() <= bytes.len());
        }
    }
}
