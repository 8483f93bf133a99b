//! Features of network cards, over the netlink of ethtool.

use std::io;

use netlink_packet_core::NLA_F_NESTED;

use super::generic::Family;
use crate::netlink::{attribute, attributes, long_number, text, value};

// Values of the kernel's uapi header ethtool_netlink.h.
const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_HEADER_DEV_INDEX: u16 = 1;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;

/// Name of the feature that lets a card execute rules of tc and of flowtables.
const HARDWARE_TC: &str = "hw-tc-offload";

/// Those of these interfaces whose cards may execute rules of tc. Each is asked for alone: the
/// kernel does not make room for the long names in a list.
pub(super) fn hardware_tc(indices: impl Iterator<Item = u32>) -> io::Result<Vec<u32>> {
    let Some(ethtool) = Family::named("ethtool")? else {
        return Err(io::Error::other("the kernel has no netlink for ethtool"));
    };
    let mut found = Vec::new();
    for index in indices {
        let device = attribute(ETHTOOL_A_HEADER_DEV_INDEX, &index.to_ne_bytes());
        let request = attribute(ETHTOOL_A_FEATURES_HEADER | NLA_F_NESTED, &device);
        match ethtool.ask(ETHTOOL_MSG_FEATURES_GET, &request) {
            // It is gone meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            answer => found.extend(active(&answer?)),
        }
    }
    Ok(found)
}

/// Index of the interface, if the feature is on.
fn active(answer: &[u8]) -> Option<u32> {
    let header = value(answer, ETHTOOL_A_FEATURES_HEADER)?;
    let index = value(header, ETHTOOL_A_HEADER_DEV_INDEX).and_then(long_number)?;
    let active = value(answer, ETHTOOL_A_FEATURES_ACTIVE)?;
    // The list names only features that are on.
    let mut bits = attributes(value(active, ETHTOOL_A_BITSET_BITS)?);
    let is_on = bits.any(|(_, bit)| {
        value(bit, ETHTOOL_A_BITSET_BIT_NAME).is_some_and(|name| text(name) == HARDWARE_TC)
    });
    is_on.then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_features_that_are_on_count() {
        let answer = |features: &[&str]| {
            let name = |feature: &&str| {
                let name = format!("{feature}\0");
                attribute(1, &attribute(ETHTOOL_A_BITSET_BIT_NAME, name.as_bytes()))
            };
            let bits: Vec<u8> = features.iter().flat_map(name).collect();
            let index = attribute(ETHTOOL_A_HEADER_DEV_INDEX, &7_u32.to_ne_bytes());
            let active = attribute(ETHTOOL_A_BITSET_BITS, &bits);
            [
                attribute(ETHTOOL_A_FEATURES_HEADER, &index),
                attribute(ETHTOOL_A_FEATURES_ACTIVE, &active),
            ]
            .concat()
        };
        assert_eq!(active(&answer(&["rx-gro", HARDWARE_TC])), Some(7));
        assert_eq!(active(&answer(&["rx-gro", "rx-gro-hw"])), None);
        assert_eq!(active(&answer(&[])), None);
    }
}
