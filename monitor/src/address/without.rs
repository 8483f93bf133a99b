//! What is left of addresses where others are taken out.

use super::network::{Address, Interval};

impl<A: Address> Interval<A> {
    /// Its addresses that lie in none of `holes`, ascending. `holes` must be
    /// sorted, and may overlap.
    #[must_use]
    pub fn without(self, holes: &[Self]) -> Vec<Self> {
        let mut left = Vec::new();
        let mut next = self.first();
        for hole in holes {
            if hole.last() < next {
                continue;
            }
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

    /// How many addresses it has; all of IPv6 is one more than can be told.
    #[must_use]
    pub fn size(self) -> u128 {
        let beyond_first = self.last().to_number() - self.first().to_number();
        beyond_first.saturating_add(1)
    }
}

/// How many addresses lie in at least one of `intervals`.
#[must_use]
pub fn united_size<A: Address>(mut intervals: Vec<Interval<A>>) -> u128 {
    intervals.sort_unstable();
    let mut size: u128 = 0;
    // The highest address that is counted.
    let mut counted: Option<A> = None;
    for interval in intervals {
        let first = match counted {
            Some(counted) if counted >= interval.last() => continue,
            Some(counted) if counted >= interval.first() => A::from_number(counted.to_number() + 1),
            Some(_) | None => interval.first(),
        };
        let uncounted = Interval::new(first, interval.last());
        size = size.saturating_add(uncounted.map_or(0, Interval::size));
        counted = Some(interval.last());
    }
    size
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
        /// Both ends of the address space, where one more does not exist.
        #[test]
        fn as_if_each_address_were_looked_at(
            outer in any::<(u8, u8)>(),
            holes in proptest::collection::vec(any::<(u8, u8)>(), 0..6),
            at_the_end in any::<bool>(),
        ) {
            let base = if at_the_end { u32::MAX - 255 } else { 0 };
            let outer = interval(outer.0, outer.1, base);
            let mut holes: Vec<_> = holes.iter().map(|(a, b)| interval(*a, *b, base)).collect();
            holes.sort_unstable();
            let left = outer.without(&holes);
            prop_assert!(left.is_sorted());
            for last in 0..=255 {
                let one = interval(last, last, base);
                let wanted = outer.contains(one) && !holes.iter().any(|hole| hole.contains(one));
                let found = left.iter().filter(|part| part.contains(one)).count();
                prop_assert_eq!(found, usize::from(wanted));
            }
            let sizes: u128 = left.iter().map(|part| part.size()).sum();
            prop_assert_eq!(united_size(left), sizes);
        }

        #[test]
        fn united_addresses_count_once(parts in proptest::collection::vec(any::<(u8, u8)>(), 0..6)) {
            let base = u32::MAX - 255;
            let parts: Vec<_> = parts.iter().map(|(a, b)| interval(*a, *b, base)).collect();
            let one = |last| interval(last, last, base);
            let held = |last: &u8| parts.iter().any(|part| part.contains(one(*last)));
            let count = (0..=255).filter(held).count();
            prop_assert_eq!(united_size(parts), count as u128);
        }
    }
}
