//! The prefixes of one family. They are kept in parts, which rulesets share: a ruleset that is
//! made from an earlier one takes over the parts without a change. So a reload neither copies nor
//! hashes these parts.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::{MatchSetId, Prefix, trie::KeptRuns};
use crate::address::{Address, Network};

/// The most prefixes of a part. Few in tests, so that small rulesets have several parts.
const MOST: usize = if cfg!(test) { 4 } else { 4096 };

/// The number of prefixes of a part that follows others. A part has room for some more.
const USUAL: usize = MOST / 2;

/// Prefixes of one family, sorted by address, then by length. Two values are equal if they have
/// the same prefixes, whatever their parts are.
#[derive(Clone)]
pub struct SortedPrefixes<A> {
    parts: Vec<Arc<Part<A>>>,
    /// For each part: the number of prefixes before it.
    starts: Vec<usize>,
    len: usize,
    /// Filled when a trie is built, unless there are too many.
    pub(super) runs: OnceLock<KeptRuns<A>>,
}

/// Consecutive prefixes; at least one.
pub(super) struct Part<A> {
    prefixes: Vec<Prefix<A>>,
    /// The match sets of the prefixes, in the order of their first use.
    match_sets: Vec<MatchSetId>,
    hash: OnceLock<Hashed>,
}

/// Prefixes that follow each other in one part.
#[derive(Clone, Copy)]
pub(super) enum Stretch<'a, A> {
    Whole(&'a Arc<Part<A>>),
    Some(&'a [Prefix<A>]),
}

impl<A> Part<A> {
    /// The match sets of the prefixes, in the order of their first use.
    pub(super) fn match_sets(&self) -> &[MatchSetId] {
        &self.match_sets
    }
}

impl<A> SortedPrefixes<A> {
    /// Number of prefixes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no prefix.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All prefixes, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Prefix<A>> + Clone {
        prefixes(&self.parts)
    }

    /// The parts that the prefixes with these numbers, counted from 0, lie in.
    pub(super) fn stretches(&self, range: Range<usize>) -> impl Iterator<Item = Stretch<'_, A>> {
        let Range { start, end } = range;
        let first = self.starts.partition_point(|at| *at <= start);
        let parts = self.starts.iter().zip(&self.parts);
        let parts = parts.skip(first.saturating_sub(1));
        let parts = parts.take_while(move |(at, _)| **at < end);
        parts.filter_map(move |(at, part)| {
            let all = &part.prefixes;
            let inside = start.saturating_sub(*at)..(end - at).min(all.len());
            if inside == (0..all.len()) {
                return Some(Stretch::Whole(part));
            }
            let some = all.get(inside).filter(|some| !some.is_empty());
            some.map(Stretch::Some)
        })
    }
}

impl<A: Address> SortedPrefixes<A> {
    /// The prefix of exactly `network`.
    #[must_use]
    pub fn get(&self, network: Network<A>) -> Option<&Prefix<A>> {
        let at = self.before(network.address(), network.length());
        let found = self.stretches(at..at + 1).next()?;
        let found = found.prefixes().first();
        found.filter(|prefix| prefix.network() == network)
    }

    /// Number of prefixes that sort before the network of `length` bits at `address`.
    pub(super) fn before(&self, address: A, length: u8) -> usize {
        self.count_leading(|prefix| (prefix.address, prefix.length) < (address, length))
    }

    /// Numbers of the prefixes that lie in `network`, which are consecutive.
    pub(super) fn numbers_in(&self, network: Network<A>) -> Range<usize> {
        let last = network.interval().last();
        let end = self.count_leading(|prefix| prefix.address <= last);
        self.before(network.address(), network.length())..end
    }

    /// The prefixes that lie in `network`.
    pub(super) fn inside(&self, network: Network<A>) -> impl Iterator<Item = Prefix<A>> {
        let stretches = self.stretches(self.numbers_in(network));
        stretches.flat_map(|stretch| stretch.prefixes().iter().copied())
    }

    /// Number of leading prefixes for which `holds` is true; it must be false for all others.
    fn count_leading(&self, holds: impl Fn(&Prefix<A>) -> bool) -> usize {
        let parts = self
            .parts
            .partition_point(|part| part.prefixes.last().is_some_and(&holds));
        match self.parts.get(parts) {
            Some(part) => self.starts[parts] + part.prefixes.partition_point(holds),
            None => self.len,
        }
    }

    /// A hash of all prefixes. It does not depend on the parts.
    pub(super) fn content_hash(&self) -> u64 {
        let hashed = self.parts.iter().map(|part| part.hashed());
        hashed.fold(0, |hash, Hashed { hash: part, power }| {
            hash.wrapping_mul(power).wrapping_add(part)
        })
    }

    /// Number of parts that `other` does not have, and of all parts.
    #[cfg(test)]
    pub(super) fn parts_not_in(&self, other: &Self) -> (usize, usize) {
        let is_new = |one: &&Arc<Part<A>>| !other.parts.iter().any(|part| Arc::ptr_eq(part, one));
        (self.parts.iter().filter(is_new).count(), self.parts.len())
    }

    /// Number of leading parts that both share.
    fn shared_parts(&self, other: &Self) -> usize {
        let both = self.parts.iter().zip(&other.parts);
        both.take_while(|(one, other)| Arc::ptr_eq(one, other))
            .count()
    }
}

fn prefixes<A>(parts: &[Arc<Part<A>>]) -> impl DoubleEndedIterator<Item = &Prefix<A>> + Clone {
    parts.iter().flat_map(|part| &part.prefixes)
}

impl<'a, A> Stretch<'a, A> {
    pub(super) fn prefixes(self) -> &'a [Prefix<A>] {
        match self {
            Self::Whole(part) => &part.prefixes,
            Self::Some(prefixes) => prefixes,
        }
    }
}

/// The hash of a sequence of prefixes: the sum of each prefix's number times a power of
/// [`BASE`]. So the hash of a longer sequence follows from those of its parts.
#[derive(Clone, Copy)]
struct Hashed {
    hash: u64,
    /// [`BASE`] to the power of the number of prefixes.
    power: u64,
}

/// Odd numbers without a pattern: fractions of the golden ratio, and of the square roots of 2,
/// 3 and 5.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTORS: [u64; 3] = [
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
];

impl<A: Address> Part<A> {
    fn hashed(&self) -> Hashed {
        *self.hash.get_or_init(|| {
            let mut hashed = Hashed { hash: 0, power: 1 };
            for prefix in &self.prefixes {
                hashed.hash = hashed.hash.wrapping_mul(BASE).wrapping_add(number(prefix));
                hashed.power = hashed.power.wrapping_mul(BASE);
            }
            hashed
        })
    }
}

/// A number of 64 bits for a prefix, to which each of its bits contributes.
fn number<A: Address>(prefix: &Prefix<A>) -> u64 {
    let address = prefix.address.to_number();
    let rest = u64::from(prefix.length) << 32 | u64::from(prefix.match_set);
    let [low, high] = halves(address);
    let mut number = FACTORS[0];
    for (word, factor) in [high, low, rest].into_iter().zip(FACTORS) {
        let [low, high] = halves(u128::from(number ^ word) * u128::from(factor));
        number = low ^ high;
    }
    number
}

/// The lower and the higher half.
#[expect(clippy::cast_possible_truncation, reason = "each half has 64 bits")]
fn halves(number: u128) -> [u64; 2] {
    [number as u64, (number >> 64) as u64]
}

/// Prefixes to which others are added, in order.
pub(super) struct Growing<A> {
    done: SortedPrefixes<A>,
    /// The prefixes behind those that are done.
    open: Vec<Prefix<A>>,
    /// By match set: the part in which it was found last.
    found_in: Vec<usize>,
}

impl<A: Address> Growing<A> {
    pub(super) fn new() -> Self {
        Self {
            done: SortedPrefixes::default(),
            open: Vec::new(),
            found_in: Vec::new(),
        }
    }

    /// Adds a prefix.
    pub(super) fn push(&mut self, prefix: Prefix<A>) {
        if self.open.len() == MOST {
            let rest = self.open.split_off(USUAL);
            self.close();
            self.open = rest;
        }
        self.open.push(prefix);
    }

    /// Adds the prefixes of a part, without copying them.
    pub(super) fn share(&mut self, part: &Arc<Part<A>>) {
        self.close();
        self.add_part(Arc::clone(part));
    }

    pub(super) fn finish(mut self) -> SortedPrefixes<A> {
        self.close();
        let mut done = self.done;
        done.parts.shrink_to_fit();
        done.starts.shrink_to_fit();
        done
    }

    fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        // The copy has no spare room. The open prefixes keep theirs for the next part.
        let prefixes = self.open.clone();
        self.open.clear();
        let match_sets = self.match_sets(&prefixes);
        self.add_part(Arc::new(Part {
            prefixes,
            match_sets,
            hash: OnceLock::new(),
        }));
    }

    /// The match sets of the next part, in the order of their first use.
    fn match_sets(&mut self, prefixes: &[Prefix<A>]) -> Vec<MatchSetId> {
        // Part 0 is number 1, so that 0 is no part.
        let part = self.done.parts.len() + 1;
        let mut match_sets = Vec::new();
        for same in prefixes.chunk_by(|one, next| one.match_set == next.match_set) {
            let at = same[0].match_set as usize;
            if self.found_in.len() <= at {
                self.found_in.resize(at + 1, 0);
            }
            if std::mem::replace(&mut self.found_in[at], part) != part {
                match_sets.push(same[0].match_set);
            }
        }
        match_sets.shrink_to_fit();
        match_sets
    }

    fn add_part(&mut self, part: Arc<Part<A>>) {
        self.done.starts.push(self.done.len);
        self.done.len += part.prefixes.len();
        self.done.parts.push(part);
    }
}

impl<A: Address> FromIterator<Prefix<A>> for SortedPrefixes<A> {
    fn from_iter<T: IntoIterator<Item = Prefix<A>>>(prefixes: T) -> Self {
        let mut growing = Growing::new();
        prefixes.into_iter().for_each(|prefix| growing.push(prefix));
        growing.finish()
    }
}

impl<A> Default for SortedPrefixes<A> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            starts: Vec::new(),
            len: 0,
            runs: OnceLock::new(),
        }
    }
}

impl<A: Address> PartialEq for SortedPrefixes<A> {
    fn eq(&self, other: &Self) -> bool {
        let shared = self.shared_parts(other);
        let (own, others) = (&self.parts[shared..], &other.parts[shared..]);
        self.len == other.len && prefixes(own).eq(prefixes(others))
    }
}

impl<A: Address> Eq for SortedPrefixes<A> {}

impl<A: Address> Hash for SortedPrefixes<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len.hash(state);
        self.iter().for_each(|prefix| prefix.hash(state));
    }
}

impl<A: Address> fmt::Debug for SortedPrefixes<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::Ipv4Addr};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn parts_do_not_change_what_is_found_or_the_hash(
            written in vec((any::<u8>(), 24_u8..=32, 0_u32..3), 0..40),
            ranges in vec((0_usize..40, 0_usize..40), 0..4),
            wanted in (any::<u8>(), 22_u8..=32),
        ) {
            let network = |last, length| Network::around(Ipv4Addr::new(10, 0, 0, last), length);
            let by_network: BTreeMap<_, _> = written
                .into_iter()
                .map(|(last, length, match_set)| (network(last, length), match_set))
                .collect();
            let prefixes = by_network.iter().map(|(network, match_set)| Prefix {
                address: network.address(),
                length: network.length(),
                match_set: *match_set,
            });
            let prefixes: Vec<_> = prefixes.collect();
            let one: SortedPrefixes<_> = prefixes.iter().copied().collect();
            // The same prefixes, some parts of which are shared.
            let mut growing = Growing::new();
            let mut from = 0;
            for range in ranges.iter().map(|(start, end)| *start..*end) {
                let range = range.start.max(from)..range.end.min(prefixes.len());
                if range.start > range.end {
                    continue;
                }
                for prefix in &prefixes[from..range.start] {
                    growing.push(*prefix);
                }
                from = range.end;
                for stretch in one.stretches(range) {
                    match stretch {
                        Stretch::Whole(part) => growing.share(part),
                        Stretch::Some(some) => some.iter().for_each(|one| growing.push(*one)),
                    }
                }
            }
            prefixes[from..].iter().for_each(|one| growing.push(*one));
            let other = growing.finish();
            for all in [&one, &other] {
                prop_assert!(all.iter().eq(&prefixes));
                prop_assert_eq!(all.len(), prefixes.len());
                prop_assert!(all.parts.iter().all(|part| (1..=MOST).contains(&part.prefixes.len())));
                for part in &all.parts {
                    let mut first_uses = Vec::new();
                    for prefix in &part.prefixes {
                        if !first_uses.contains(&prefix.match_set) {
                            first_uses.push(prefix.match_set);
                        }
                    }
                    prop_assert_eq!(&part.match_sets, &first_uses);
                }
            }
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(one.content_hash(), other.content_hash());
            let wanted = network(wanted.0, wanted.1);
            let expected = by_network.get(&wanted);
            prop_assert_eq!(other.get(wanted).map(|prefix| &prefix.match_set), expected);
            let inside: Vec<_> = other.inside(wanted).collect();
            let expected = prefixes.iter().filter(|one| wanted.contains_network(one.network()));
            prop_assert!(inside.iter().eq(expected));
            if let Some(last) = prefixes.last() {
                let mut fewer = prefixes.clone();
                fewer.pop();
                let changed = Prefix { match_set: last.match_set + 1, ..*last };
                let with_change = fewer.iter().copied().chain([changed]);
                let with_change: SortedPrefixes<_> = with_change.collect();
                let fewer: SortedPrefixes<_> = fewer.into_iter().collect();
                for differs in [fewer, with_change] {
                    prop_assert_ne!(&one, &differs);
                    prop_assert_ne!(one.content_hash(), differs.content_hash());
                }
            }
        }
    }
}
