//! Destination address → match set, by longest prefix match.

use monitor_common::{MatchSet, NO_MATCH};

use crate::{
    maps::{HAS_IPV4, HAS_IPV6, MATCH_SETS},
    parse::Destination,
    trie,
};

/// Id and match set of the longest prefix that covers `destination`; `None` if no prefix
/// does. If the ruleset has no prefixes of a family, no look-up is compiled for it.
#[inline(always)]
pub(crate) fn lookup(destination: &Destination) -> Option<(u32, &'static MatchSet)> {
    let id = match destination {
        Destination::Ipv4(address) if HAS_IPV4.load() != 0 => trie::ipv4(*address),
        Destination::Ipv6([high, low]) if HAS_IPV6.load() != 0 => trie::ipv6(*high, *low),
        Destination::Ipv4(_) | Destination::Ipv6(_) => NO_MATCH,
    };
    if id == NO_MATCH {
        return None;
    }
    Some((id, MATCH_SETS.get(id)?))
}
