//! Programs of tc at the ingress of an interface.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;

use crate::netlink::{list, long_number, text, value};
use crate::{datapath, doctor::facts::Ingress};

// Values of the kernel's uapi headers rtnetlink.h and pkt_sched.h.
const RTM_GETTFILTER: u16 = 46;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
/// The ingress side of the queueing disciplines `ingress` and `clsact`.
const INGRESS: u32 = 0xffff_fff2;
const TCA_CLS_FLAGS_IN_HW: u32 = 1 << 2;

/// Size of the header of messages about tc.
const HEADER: usize = 20;

/// What runs at the ingress of an interface.
pub(super) fn ingress(index: u32) -> io::Result<Ingress> {
    let mut request = [0; HEADER];
    request[4..8].copy_from_slice(&index.to_ne_bytes());
    request[12..16].copy_from_slice(&INGRESS.to_ne_bytes());
    let mut found = Ingress {
        linked: datapath::linked_classifiers(index)?,
        ..Ingress::default()
    };
    for body in list(NETLINK_ROUTE, RTM_GETTFILTER, &request)? {
        if let Some((word, in_hardware)) = filter(&body) {
            found.in_hardware += usize::from(in_hardware);
            found.filters.push(word);
        }
    }
    found.filters.sort_unstable();
    found.filters.dedup();
    Ok(found)
}

/// Kind of a filter, and true if hardware executes it.
fn filter(body: &[u8]) -> Option<(String, bool)> {
    let attributes = body.get(HEADER..)?;
    let word = value(attributes, TCA_KIND).map(text)?;
    let options = value(attributes, TCA_OPTIONS).unwrap_or_default();
    let flags = flags_of(&word).and_then(|kind| value(options, kind));
    let flags = flags.and_then(long_number).unwrap_or(0);
    Some((word, flags & TCA_CLS_FLAGS_IN_HW != 0))
}

/// Number of the option that holds the flags of a filter (`pkt_cls.h`).
fn flags_of(word: &str) -> Option<u16> {
    match word {
        "matchall" => Some(3),
        "bpf" => Some(9),
        "u32" => Some(11),
        "flower" => Some(22),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute;

    #[test]
    fn a_filter_says_whether_hardware_executes_it() {
        let message = |word: &str, option: u16, flags: u32| {
            let options = attribute(option, &flags.to_ne_bytes());
            let kind = attribute(TCA_KIND, format!("{word}\0").as_bytes());
            [vec![0; HEADER], kind, attribute(TCA_OPTIONS, &options)].concat()
        };
        let in_hardware = |body: &[u8]| filter(body).unwrap().1;
        assert!(in_hardware(&message("flower", 22, TCA_CLS_FLAGS_IN_HW)));
        assert!(!in_hardware(&message("flower", 22, 1 << 3)));
        assert!(!in_hardware(&message("u32", 22, TCA_CLS_FLAGS_IN_HW)));
        assert!(!in_hardware(&message("basic", 11, TCA_CLS_FLAGS_IN_HW)));
        assert_eq!(filter(&[0; 7]), None);
    }
}
