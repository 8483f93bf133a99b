//! Counts the addresses that a MAC uses at the same time.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::fact::{Fact, FactSource, Period};

/// Time within which addresses count as used at once.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// Number of IPv6 addresses that one device may use within [`WINDOW`]. In each prefix, a
/// device has one stable address, one of DHCPv6, and up to three temporary ones: with the
/// lifetimes of RFC 8981, section 3.8, one is preferred, one deprecated, and the next one
/// is made in advance. Three prefixes (global, unique local, and a new global one during
/// renumbering) make 15. One is spare.
pub const MAX_IPV6_AT_ONCE: usize = 16;

/// The highest number of addresses that a MAC used at the same time, and when, if one
/// device does not use as many.
#[derive(Clone, Debug, Default)]
pub(super) struct AtOnce {
    pub(super) ipv4: Option<(u16, Period)>,
    pub(super) ipv6: Option<(u16, Period)>,
}

impl AtOnce {
    /// Takes in that `address` was used at `at`, and before that at `before`. `others` are
    /// the other addresses, each with the last time of its use.
    pub(super) fn use_address(
        &mut self,
        address: IpAddr,
        before: Option<Timestamp>,
        at: Timestamp,
        others: impl Iterator<Item = (IpAddr, Timestamp)>,
    ) {
        let is_old = before.is_some_and(|before| before > at);
        if is_link_local(address) || is_old {
            return;
        }
        let start = at.checked_sub(WINDOW).unwrap_or(Timestamp::MIN);
        // For IPv4, only uses after the address was used last count.
        let after = match (address, before) {
            (IpAddr::V4(_), None) => return,
            (IpAddr::V4(_), Some(before)) if before < start => return,
            (IpAddr::V4(_), Some(before)) => before,
            (IpAddr::V6(_), _) => start,
        };
        let is_counted = |(other, last): &(IpAddr, Timestamp)| {
            other.is_ipv6() == address.is_ipv6()
                && !is_link_local(*other)
                && (after < *last && *last <= at)
        };
        let number = others.filter(is_counted).count().saturating_add(1);
        let limit = if address.is_ipv6() {
            MAX_IPV6_AT_ONCE
        } else {
            1
        };
        if number > limit {
            let most = u16::try_from(number).unwrap_or(u16::MAX);
            self.add(address.is_ipv6(), most, Period::at(at));
        }
    }

    /// Adds a number that was seen in a period.
    pub(super) fn add(&mut self, is_ipv6: bool, most: u16, period: Period) {
        let known = if is_ipv6 {
            &mut self.ipv6
        } else {
            &mut self.ipv4
        };
        let (before, times) = known.unwrap_or((most, period));
        *known = Some((most.max(before), times.with(period)));
    }

    /// Removes a number that was last seen before `oldest`.
    pub(super) fn expire(&mut self, oldest: Timestamp) {
        for known in [&mut self.ipv4, &mut self.ipv6] {
            *known = known.filter(|(_, period)| period.last >= oldest);
        }
    }

    /// Returns the numbers as facts.
    pub(super) fn facts(&self) -> impl Iterator<Item = (Fact, FactSource, Period)> {
        let both = [(false, self.ipv4), (true, self.ipv6)];
        both.into_iter().filter_map(|(is_ipv6, known)| {
            let (most, period) = known?;
            Some((Fact::AtOnce { is_ipv6, most }, FactSource::Frame, period))
        })
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
