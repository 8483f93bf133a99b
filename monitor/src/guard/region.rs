//! Sets of addresses, as intervals.

use crate::address::{Address, Interval};

/// The addresses that both hold.
pub(super) fn overlap<A: Address>(a: Interval<A>, b: Interval<A>) -> Option<Interval<A>> {
    Interval::new(a.first().max(b.first()), a.last().min(b.last()))
}

/// The same addresses, sorted and apart from each other.
pub(super) fn merge<A: Address>(mut parts: Vec<Interval<A>>) -> Vec<Interval<A>> {
    parts.sort_unstable();
    let mut merged: Vec<Interval<A>> = Vec::new();
    for part in parts {
        match merged.last_mut() {
            Some(before) if part.first() <= before.last() => {
                let last = before.last().max(part.last());
                *before = Interval::new(before.first(), last).unwrap_or(part);
            }
            Some(_) | None => merged.push(part),
        }
    }
    merged
}

/// What `holes`, which are [`merge`]d, leave of `whole`; ascending.
pub(super) fn subtract<A: Address>(whole: Interval<A>, holes: &[Interval<A>]) -> Vec<Interval<A>> {
    let from = holes.partition_point(|hole| hole.last() < whole.first());
    let mut left = Vec::new();
    let mut next = whole.first();
    for hole in &holes[from..] {
        if hole.first() > whole.last() {
            break;
        }
        if hole.first() > next {
            let before = A::from_number(hole.first().to_number() - 1);
            left.extend(Interval::new(next, before));
        }
        if hole.last() >= whole.last() {
            return left;
        }
        next = A::from_number(hole.last().to_number() + 1);
    }
    left.extend(Interval::new(next, whole.last()));
    left
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn interval((first, last): (u32, u32)) -> Interval<Ipv4Addr> {
        Interval::new(first.into(), last.into()).unwrap()
    }

    #[test]
    fn what_is_left_is_what_a_slow_model_says() {
        let cases: [&[(u32, u32)]; 7] = [
            &[],
            &[(0, 255)],
            &[(0, 9), (240, 300)],
            &[(10, 10), (20, 30)],
            &[(25, 40), (20, 30), (20, 21)],
            &[(10, 19), (20, 239)],
            &[(239, 239), (240, 240), (9, 9)],
        ];
        for holes in cases {
            let holes: Vec<_> = holes.iter().copied().map(interval).collect();
            let left = subtract(interval((10, 239)), &merge(holes.clone()));
            for number in 0..=300 {
                let address = Ipv4Addr::from_bits(number);
                let single = Interval::new(address, address).unwrap();
                let held = |parts: &[Interval<_>]| parts.iter().any(|part| part.contains(single));
                let expected = (10..=239).contains(&number) && !held(&holes);
                assert_eq!(held(&left), expected, "{number} {holes:?}");
            }
        }
    }

    #[test]
    fn the_last_address_has_no_next() {
        let all = interval((0, u32::MAX));
        assert_eq!(subtract(all, &[all]), []);
        let most = interval((0, u32::MAX - 1));
        assert_eq!(subtract(all, &[most]), [interval((u32::MAX, u32::MAX))]);
    }
}
