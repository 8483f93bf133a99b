//! Sets of addresses, and the difference of an interval and a set.

use super::network::{Address, Interval};

/// A set of addresses, stored as sorted intervals that do not overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalSet<A>(Vec<Interval<A>>);

impl<A: Address> FromIterator<Interval<A>> for IntervalSet<A> {
    /// Collects the addresses of all `intervals`, which may overlap.
    fn from_iter<I: IntoIterator<Item = Interval<A>>>(intervals: I) -> Self {
        let mut intervals: Vec<Interval<A>> = intervals.into_iter().collect();
        intervals.sort_unstable();
        intervals.dedup_by(|next, before| {
            let joined = before.joined(*next);
            *before = joined.unwrap_or(*before);
            joined.is_some()
        });
        Self(intervals)
    }
}

impl<A: Address> IntervalSet<A> {
    /// Returns true if the set has no address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the intervals in ascending order.
    #[must_use]
    pub fn intervals(&self) -> &[Interval<A>] {
        &self.0
    }

    /// Returns true if the set covers `interval`: it has every address of it.
    #[must_use]
    pub fn covers(&self, interval: Interval<A>) -> bool {
        interval.without(self).is_empty()
    }

    /// Returns true if the set overlaps `interval`: it has at least one address of it.
    #[must_use]
    pub fn touches(&self, interval: Interval<A>) -> bool {
        let next = self.reaching(interval).first();
        next.is_some_and(|next| next.overlap(interval).is_some())
    }

    /// Returns the number of addresses in the set. For all of IPv6 it returns
    /// `u128::MAX`, because the number is one more than fits.
    #[must_use]
    pub fn size(&self) -> u128 {
        let sizes = self.0.iter().map(|interval| interval.size());
        sizes.fold(0, u128::saturating_add)
    }

    /// Returns the number of addresses in the set as a decimal number, exactly.
    #[must_use]
    pub fn size_text(&self) -> String {
        // The number of all IPv6 addresses is one more than fits.
        let is_all = |interval: &Interval<A>| {
            interval.last().to_number() - interval.first().to_number() == u128::MAX
        };
        if self.0.iter().any(is_all) {
            return "340282366920938463463374607431768211456".to_owned();
        }
        self.size().to_string()
    }

    /// Returns the intervals that do not end before `interval` starts.
    fn reaching(&self, interval: Interval<A>) -> &[Interval<A>] {
        let ends_before = |part: &Interval<A>| part.last() < interval.first();
        &self.0[self.0.partition_point(ends_before)..]
    }
}

impl<A: Address> Interval<A> {
    /// Returns the addresses that are in both intervals, if there are any.
    #[must_use]
    pub fn overlap(self, other: Self) -> Option<Self> {
        let first = self.first().max(other.first());
        Self::new(first, self.last().min(other.last()))
    }

    /// Returns the addresses of this interval that are not in `holes`, in ascending order.
    #[must_use]
    pub fn without(self, holes: &IntervalSet<A>) -> Vec<Self> {
        let mut left = Vec::new();
        let mut next = self.first();
        for hole in holes.reaching(self) {
            if hole.first() > self.last() {
                break;
            }
            if hole.first() > next {
                let before = A::from_number(hole.first().to_number() - 1);
                left.extend(Self::new(next, before));
            }
            if hole.last() >= self.last() {
                return left;
            }
            next = A::from_number(hole.last().to_number() + 1);
        }
        left.extend(Self::new(next, self.last()));
        left
    }

    /// Returns the number of addresses in the interval. For all of IPv6 it returns
    /// `u128::MAX`, because the number is one more than fits.
    #[must_use]
    pub fn size(self) -> u128 {
        let beyond_first = self.last().to_number() - self.first().to_number();
        beyond_first.saturating_add(1)
    }

    /// Returns the union of this interval and `next`, or `None` if they do not overlap.
    /// `next` must not start before this interval.
    fn joined(self, next: Self) -> Option<Self> {
        if next.first() > self.last() {
            return None;
        }
        Self::new(self.first(), self.last().max(next.last()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn interval(first: u8, last: u8, base: u32) -> Interval<Ipv4Addr> {
        let address = |last: u8| Ipv4Addr::from_bits(base + u32::from(last));
        Interval::new(address(first.min(last)), address(first.max(last))).unwrap()
    }

    proptest! {
        /// Tests the lowest and the highest 256 addresses: the highest one has no next
        /// address.
        #[test]
        fn each_address_is_left_or_in_a_hole(
            outer in any::<(u8, u8)>(),
            holes in proptest::collection::vec(any::<(u8, u8)>(), 0..6),
            at_the_end in any::<bool>(),
        ) {
            let base = if at_the_end { u32::MAX - 255 } else { 0 };
            let outer = interval(outer.0, outer.1, base);
            let holes: Vec<_> = holes.iter().map(|(a, b)| interval(*a, *b, base)).collect();
            let set: IntervalSet<_> = holes.iter().copied().collect();
            let left = outer.without(&set);
            prop_assert!(left.is_sorted());
            prop_assert_eq!(set.touches(outer), left != [outer]);
            prop_assert_eq!(set.covers(outer), left.is_empty());
            for last in 0..=255 {
                let one = interval(last, last, base);
                let wanted = outer.contains(one) && !holes.iter().any(|hole| hole.contains(one));
                let found = left.iter().filter(|part| part.contains(one)).count();
                prop_assert_eq!(found, usize::from(wanted));
            }
            let sizes: u128 = left.iter().map(|part| part.size()).sum();
            prop_assert_eq!(left.into_iter().collect::<IntervalSet<_>>().size(), sizes);
        }

        #[test]
        fn an_address_in_several_intervals_counts_once(
            parts in proptest::collection::vec(any::<(u8, u8)>(), 0..6),
        ) {
            let base = u32::MAX - 255;
            let parts: Vec<_> = parts.iter().map(|(a, b)| interval(*a, *b, base)).collect();
            let one = |last| interval(last, last, base);
            let held = |last: &u8| parts.iter().any(|part| part.contains(one(*last)));
            let count = (0..=255).filter(held).count();
            let set: IntervalSet<_> = parts.into_iter().collect();
            prop_assert_eq!(set.size(), count as u128);
            prop_assert!(set.intervals().windows(2).all(|pair| pair[0].last() < pair[1].first()));
        }
    }

    #[test]
    fn a_set_with_a_gap_of_one_address_does_not_cover_the_interval() {
        let [whole, low] = [interval(0, 255, 0), interval(0, 127, 0)];
        let covered = |parts: &[Interval<Ipv4Addr>]| {
            let parts: IntervalSet<_> = parts.iter().copied().collect();
            parts.covers(whole)
        };
        assert!(covered(&[low, interval(128, 255, 0)]));
        assert!(!covered(&[low, interval(129, 255, 0)]));
        assert!(!covered(&[low]));
        assert!(!covered(&[]));
    }

    #[test]
    fn a_hole_at_the_last_address_does_not_overflow() {
        let all = Interval::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST).unwrap();
        assert_eq!(all.without(&[all].into_iter().collect()), []);
        let most = Interval::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from_bits(u32::MAX - 1));
        let left = all.without(&most.into_iter().collect());
        assert_eq!(left, [interval(255, 255, u32::MAX - 255)]);
    }

    #[test]
    fn the_size_of_all_addresses_is_exact() {
        let all = Interval::new(std::net::Ipv6Addr::UNSPECIFIED, [0xffff; 8].into()).unwrap();
        let half = Interval::new([0x8000, 0, 0, 0, 0, 0, 0, 0].into(), [0xffff; 8].into()).unwrap();
        let size = |interval| IntervalSet::from_iter([interval]).size_text();
        assert_eq!(size(all), "340282366920938463463374607431768211456");
        assert_eq!(size(half), "170141183460469231731687303715884105728");
    }
}
