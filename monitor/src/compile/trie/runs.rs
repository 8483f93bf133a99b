//! Prefixes → runs, and blocks of addresses.
//!
//! A *run* consists of consecutive addresses with the same match set. Adjacent runs have
//! different match sets, so equal coverage gives equal runs, however the prefixes were
//! written. Addresses are left aligned in 128 bits.

use monitor_common::NO_MATCH;

use super::{Prefix, high_half, low_half};
use crate::address::Address;
pub(super) use crate::compile::MatchSetId;

/// First address of a run, and its match set. The run ends before the next run.
pub(super) type Run = (u128, MatchSetId);

/// The runs of all addresses, in order. The first begins at address 0. `prefixes` must be
/// sorted by address, then by length.
pub(super) fn runs<'a, A: Address + 'a>(prefixes: impl Iterator<Item = &'a Prefix<A>>) -> Vec<Run> {
    runs_between((0, u128::MAX), NO_MATCH, prefixes.copied())
}

/// The runs of the addresses from `first` to `last`, in order. The first begins at `first`.
/// Addresses outside of `prefixes` have the match set `outside`.
pub(super) fn runs_between<A: Address>(
    (first, last): (u128, u128),
    outside: MatchSetId,
    prefixes: impl Iterator<Item = Prefix<A>>,
) -> Vec<Run> {
    let all = last;
    let mut runs = vec![(first, outside)];
    let mut enclosing = vec![(all, outside)];
    for prefix in prefixes {
        let first = prefix.address.to_number() << (128 - u32::from(A::BITS));
        let last = first | u128::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
        if let [.., (outer, _), (end, match_set)] = &mut enclosing[..]
            && *match_set == prefix.match_set
            && *outer > *end
        {
            // Most prefixes of large lists are adjacent to the one before.
            if end.wrapping_add(1) == first && first <= *outer {
                *end = last;
                continue;
            }
            if first <= *end {
                continue;
            }
        }
        leave(&mut enclosing, &mut runs, |end| end < first);
        begin(&mut runs, first, prefix.match_set);
        enclosing.push((last, prefix.match_set));
    }
    leave(&mut enclosing, &mut runs, |end| end < all);
    runs
}

/// Ends the innermost enclosing prefixes, as long as `ends` holds for their last
/// address.
fn leave(enclosing: &mut Vec<Run>, runs: &mut Vec<Run>, ends: impl Fn(u128) -> bool) {
    while let [.., (_, outer), (last, _)] = enclosing[..]
        && ends(last)
    {
        begin(runs, last + 1, outer);
        enclosing.pop();
    }
}

/// Begins a run at `first`, or continues the last run if it has the same match set.
pub(super) fn begin<S: PartialEq>(
    runs: &mut Vec<(S, MatchSetId)>,
    first: S,
    match_set: MatchSetId,
) {
    runs.pop_if(|(start, _)| *start == first);
    if runs.last().is_none_or(|(_, before)| *before != match_set) {
        runs.push((first, match_set));
    }
}

/// The runs that hold the addresses from `first` to `last`.
pub(super) fn within(runs: &[Run], first: u128, last: u128) -> &[Run] {
    let from = runs.partition_point(|(start, _)| *start <= first) - 1;
    let to = from + runs[from..].partition_point(|(start, _)| *start <= last);
    &runs[from..to]
}

/// Length of the common prefix, counted from bit `depth`, of all addresses in the block
/// except those of its first and last run. `None` if these two runs have different match
/// sets.
pub(super) fn common_bits(runs: &[Run], depth: u32) -> Option<u32> {
    let [(_, first), (start, _), .., (end, last)] = runs else {
        return None;
    };
    let shared = (start ^ (end - 1)).leading_zeros();
    (first == last).then(|| shared.saturating_sub(depth))
}

/// All addresses with the same first `depth` bits.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) depth: u32,
    /// The first address.
    pub(super) first: u128,
    /// The runs that hold these addresses. The first may begin before the block.
    pub(super) runs: &'a [Run],
}

impl Block<'_> {
    /// The runs behind the first: where they begin, counted from the begin of the block, and
    /// their match sets.
    fn pattern(self) -> impl Iterator<Item = Run> {
        let runs = self.runs[1..].iter();
        runs.map(move |(start, match_set)| (start << self.depth, *match_set))
    }

    /// True if both blocks divide their addresses into the same runs, counted from their
    /// begin. Then all their parts have the same values, too.
    pub(super) fn is_like(self, other: Self) -> bool {
        self.runs.len() == other.runs.len()
            && self.runs[0].1 == other.runs[0].1
            && self.pattern().eq(other.pattern())
    }

    /// A hash that is equal for blocks that are alike. `seed` keeps an author of lists from
    /// choosing many blocks with the same hash.
    pub(super) fn pattern_hash(self, seed: u64) -> u64 {
        let mix = |hash: u64, word: u64| {
            // The odd number nearest to 2^64 divided by the golden ratio.
            (hash ^ word)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29)
        };
        let first = mix(seed, self.runs[0].1.into());
        self.pattern().fold(first, |hash, (start, match_set)| {
            let words = [high_half(start), low_half(start) ^ u64::from(match_set)];
            words.into_iter().fold(hash, mix)
        })
    }

    /// True if each run of the block begins at the start of a part with the same first `depth`
    /// bits.
    pub(super) fn is_divided_by(self, depth: u32) -> bool {
        let rest = u128::MAX.checked_shr(depth).unwrap_or(0);
        self.runs[1..].iter().all(|(start, _)| start & rest == 0)
    }

    /// Indices of the parts, of `length` bits, whose value may differ from the previous
    /// part's: a run begins with the part, inside it, or inside the previous part. `None`
    /// if there are more than `most`.
    pub(super) fn changes(self, length: u32, most: usize) -> Option<Vec<u64>> {
        // Each run adds at most two.
        let mut changes = Vec::with_capacity((most + 2).min(2 * self.runs.len()));
        for part in self.changing_parts(length) {
            changes.push(part);
            if changes.len() > most {
                return None;
            }
        }
        Some(changes)
    }

    /// Number of parts, of `length` bits, whose value may differ from the previous part's.
    pub(super) fn count_changes(self, length: u32) -> usize {
        self.changing_parts(length).count()
    }

    fn changing_parts(self, length: u32) -> impl Iterator<Item = u64> {
        let mut last = 0;
        let each = self.runs[1..].iter().flat_map(move |(start, _)| {
            let part = self.part_of(*start, length);
            let (_, first, _) = self.bounds(part.into(), length);
            let is_within = first != *start && part + 1 < 1 << length;
            [part, if is_within { part + 1 } else { 0 }]
        });
        each.filter(move |part| {
            let is_new = *part > last;
            last = last.max(*part);
            is_new
        })
    }

    /// Index of the part, of `length` bits, that holds `address`.
    pub(super) fn part_of(self, address: u128, length: u32) -> u64 {
        let within = (address << self.depth) >> (128 - length);
        u64::try_from(within).expect("at most 63 bits")
    }

    /// A bit for each part, of `length` bits, that has `match_set`. There are at most 64 parts,
    /// and each run of the block must begin with a part.
    pub(super) fn parts_with(self, match_set: MatchSetId, length: u32) -> u64 {
        let mut bits = 0;
        for (at, (start, found)) in self.runs.iter().enumerate() {
            if *found == match_set {
                // The first run may begin before the block.
                let from = if at == 0 {
                    0
                } else {
                    self.part_of(*start, length)
                };
                let next = self.runs.get(at + 1);
                let end = next.map_or(1 << length, |(next, _)| self.part_of(*next, length));
                bits |= u64::MAX >> (64 - (end - from)) << from;
            }
        }
        bits
    }

    /// All parts of the block in order: its addresses, divided by the next `length` bits.
    pub(super) fn parts(self, length: u32) -> impl Iterator<Item = Self> {
        let mut runs = self.runs;
        (0..1_u128 << length).map(move |bits| {
            let (depth, first, last) = self.bounds(bits, length);
            runs = &runs[leading(&runs[1..], first)..];
            Self {
                depth,
                first,
                runs: &runs[..=leading(&runs[1..], last)],
            }
        })
    }

    /// The part whose next `length` bits are `bits`, right aligned.
    pub(super) fn part(self, bits: u128, length: u32) -> Self {
        let (depth, first, last) = self.bounds(bits, length);
        let runs = within(self.runs, first, last);
        Self { depth, first, runs }
    }

    /// Depth, first and last address of that part.
    fn bounds(self, bits: u128, length: u32) -> (u32, u128, u128) {
        let depth = self.depth + length;
        // Parts that differ only behind the last bit of an address are equal.
        let first = match 128_u32.checked_sub(depth) {
            Some(rest) => self.first | bits << rest,
            None => self.first | bits >> (depth - 128),
        };
        let last = first | u128::MAX.checked_shr(depth).unwrap_or(0);
        (depth, first, last)
    }
}

/// Number of leading runs that begin at or before an address.
fn leading(runs: &[Run], address: u128) -> usize {
    let begun = runs.iter().take_while(|(start, _)| *start <= address);
    begun.count()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::Ipv4Addr};

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::address::Network;

    proptest! {
        #[test]
        fn parts_with_a_match_set_are_counted_from_runs(
            starts in vec((1_u128..64, 0_u32..3), 0..20),
            before: bool,
            depth in 0_u32..=124,
            length in 4_u32..=6,
            within in 0_u32..3,
        ) {
            // Runs in one of the blocks of `depth` bits.
            let first = (u128::MAX >> 1).checked_shl(128 - depth).unwrap_or(0);
            let unit = 1_u128.checked_shl(128_u32.saturating_sub(depth + length)).unwrap_or(1);
            let starts: BTreeMap<u128, u32> = starts.into_iter().collect();
            let first_run = (if before { 0 } else { first }, 0);
            let mut all = vec![first_run];
            let most = (u128::MAX >> depth) / unit;
            for (start, match_set) in starts {
                if start <= most && start < 1 << length && all[all.len() - 1].1 != match_set {
                    all.push((first + start * unit, match_set));
                }
            }
            let block = Block { depth, first, runs: &all };
            let parts = block.parts(length).enumerate();
            let expected = parts.filter(|(_, part)| part.runs[0].1 == within);
            let expected = expected.fold(0, |bits, (part, _)| bits | 1 << part);
            prop_assert_eq!(block.parts_with(within, length), expected);
        }

        #[test]
        fn runs_are_the_longest_matches_of_all_addresses(
            written in vec((0_u8..32, 24_u8..=32, 0_u32..3), 0..24),
            all in prop::option::of(0_u32..3),
        ) {
            let mut prefixes = BTreeMap::new();
            let networks = written.into_iter().map(|(last, length, match_set)| {
                // The last addresses too, because a run ends before the next one begins.
                let first = if last < 16 { [10, 0, 0, last] } else { [255, 255, 255, 223 + last] };
                (Network::around(Ipv4Addr::from(first), length), match_set)
            });
            let all = all.map(|match_set| (Network::around(Ipv4Addr::UNSPECIFIED, 0), match_set));
            for (network, match_set) in networks.chain(all) {
                prefixes.insert(network, match_set);
            }
            let of = |address: u32| {
                let address = Ipv4Addr::from_bits(address);
                let holding = prefixes.iter().filter(|(network, _)| network.contains(address));
                let longest = holding.max_by_key(|(network, _)| network.length());
                longest.map_or(NO_MATCH, |(_, match_set)| *match_set)
            };
            let mut starts: Vec<u32> = vec![0];
            for network in prefixes.keys() {
                let interval = network.interval();
                starts.push(interval.first().to_bits());
                starts.extend(interval.last().to_bits().checked_add(1));
            }
            starts.sort_unstable();
            let mut expected: Vec<Run> = vec![];
            for start in starts {
                if expected.last().is_none_or(|(_, before)| *before != of(start)) {
                    expected.push((u128::from(start) << 96, of(start)));
                }
            }
            let prefixes: Vec<_> = prefixes
                .iter()
                .map(|(network, match_set)| Prefix {
                    address: network.address(),
                    length: network.length(),
                    match_set: *match_set,
                })
                .collect();
            prop_assert_eq!(runs(prefixes.iter()), expected);
        }
    }
}
