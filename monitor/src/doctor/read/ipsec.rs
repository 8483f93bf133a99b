//! Policies of IPsec that have no interface of their own, over the netlink of XFRM.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

use netlink_sys::protocols::NETLINK_XFRM;

use crate::doctor::facts::Ipsec;
use crate::netlink::visit;

// Values of the kernel's uapi header xfrm.h.
const XFRM_MSG_GETPOLICY: u16 = 0x15;
const XFRM_POLICY_FWD: u8 = 2;

// Places in `struct xfrm_userpolicy_info`, which begins with `struct xfrm_selector`.
const SOURCE: usize = 16;
const FAMILY: usize = 40;
const SOURCE_LENGTH: usize = 43;
const DIRECTION: usize = 160;

/// The most policies that are told.
const MOST: usize = 64;

/// Policies of the direction `fwd`: packets that come out of a tunnel and are forwarded. Needs
/// `CAP_NET_ADMIN`.
pub(super) fn ipsec() -> io::Result<Vec<Ipsec>> {
    let mut found = Vec::new();
    let visited = visit(NETLINK_XFRM, XFRM_MSG_GETPOLICY, &[], |body| {
        found.extend(forwarding(body).filter(|_| found.len() < MOST));
    });
    match visited {
        // The kernel has no IPsec.
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => Ok(Vec::new()),
        visited => visited.map(|()| found),
    }
}

/// Reads a policy from the body of a message; `None` if it is of another direction.
fn forwarding(body: &[u8]) -> Option<Ipsec> {
    if *body.get(DIRECTION)? != XFRM_POLICY_FWD {
        return None;
    }
    let length = *body.get(SOURCE_LENGTH)?;
    let family = u16::from_ne_bytes(*body.get(FAMILY..)?.first_chunk()?);
    let source = if i32::from(family) == libc::AF_INET6 {
        Ipv6Addr::from(*body.get(SOURCE..)?.first_chunk::<16>()?).to_string()
    } else {
        Ipv4Addr::from(*body.get(SOURCE..)?.first_chunk::<4>()?).to_string()
    };
    Some(Ipsec {
        source: format!("{source}/{length}"),
        is_everything: length <= 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_policies_that_forward_are_told_with_their_source() {
        let policy = |direction: u8, length: u8| {
            let mut body = vec![0; DIRECTION + 8];
            body[SOURCE..SOURCE + 4].copy_from_slice(&[10, 9, 0, 0]);
            body[FAMILY] = u8::try_from(libc::AF_INET).unwrap();
            body[SOURCE_LENGTH] = length;
            body[DIRECTION] = direction;
            forwarding(&body)
        };
        let site = policy(XFRM_POLICY_FWD, 24).unwrap();
        assert_eq!((&*site.source, site.is_everything), ("10.9.0.0/24", false));
        assert!(policy(XFRM_POLICY_FWD, 0).unwrap().is_everything);
        assert_eq!(policy(0, 24), None);
        assert_eq!(policy(1, 24), None);
        assert_eq!(forwarding(&[2; 40]), None);
    }
}
