//! Longest prefix match: destination → match set.

use aya_ebpf::maps::lpm_trie::Key;
use monitor_common::{MatchSet, NO_MATCH};

use crate::{
    maps::{HAS_IPV4, HAS_IPV6, MATCH_SETS, PREFIXES_V4, PREFIXES_V6},
    parse::Destination,
};

/// Id and match set of the longest prefix that covers `destination`. A family
/// without prefixes costs no look-up.
#[inline(always)]
pub(crate) fn lookup(destination: &Destination) -> Option<(u32, &'static MatchSet)> {
    let id = match destination {
        Destination::Ipv4(address) if HAS_IPV4.load() != 0 => {
            PREFIXES_V4.get(&Key::new(u32::BITS, *address))
        }
        Destination::Ipv6(address) if HAS_IPV6.load() != 0 => {
            PREFIXES_V6.get(&Key::new(u128::BITS, *address))
        }
        Destination::Ipv4(_) | Destination::Ipv6(_) => None,
    }?;
    if *id == NO_MATCH {
        return None;
    }
    Some((*id, MATCH_SETS.get(*id)?))
}
