//! Prefixes → runs of addresses with the same match set, and blocks of them.
//!
//! Each run is told by where it begins; equal neighbours are one, so nothing is
//! left of how the prefixes were written.

use monitor_common::NO_MATCH;

use super::{MatchSetId, Prefix};
use crate::address::Address;

/// From this address on, left aligned in 128 bits, the match set is this one.
pub(super) type Run = (u128, MatchSetId);

/// Sorted, the first from address 0, no two neighbours with the same match set.
pub(super) fn runs<A: Address>(prefixes: &[Prefix<A>]) -> Vec<Run> {
    let mut runs = vec![(0, NO_MATCH)];
    let mut enclosing = vec![(u128::MAX, NO_MATCH)];
    for prefix in prefixes {
        let first = prefix.address.to_number() << (128 - u32::from(A::BITS));
        let last = first | u128::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
        leave(&mut enclosing, &mut runs, |end| end < first);
        begin(&mut runs, first, prefix.match_set);
        enclosing.push((last, prefix.match_set));
    }
    leave(&mut enclosing, &mut runs, |end| end < u128::MAX);
    runs
}

/// Ends the innermost prefixes, as long as they `end`.
fn leave(enclosing: &mut Vec<Run>, runs: &mut Vec<Run>, ends: impl Fn(u128) -> bool) {
    while let [.., (_, outer), (last, _)] = enclosing[..]
        && ends(last)
    {
        begin(runs, last + 1, outer);
        enclosing.pop();
    }
}

fn begin(runs: &mut Vec<Run>, first: u128, match_set: MatchSetId) {
    runs.pop_if(|(start, _)| *start == first);
    if runs.last().is_none_or(|(_, before)| *before != match_set) {
        runs.push((first, match_set));
    }
}

/// The runs that addresses from `first` to `last` lie in.
pub(super) fn within(runs: &[Run], first: u128, last: u128) -> &[Run] {
    let from = runs.partition_point(|(start, _)| *start <= first) - 1;
    let to = from + runs[from..].partition_point(|(start, _)| *start <= last);
    &runs[from..to]
}

/// How many bits, from `depth` on, all addresses share that are not as the first
/// and the last of the block; `None` where these two differ.
pub(super) fn common_bits(runs: &[Run], depth: u32) -> Option<u32> {
    let [(_, first), (start, _), .., (end, last)] = runs else {
        return None;
    };
    let shared = (start ^ (end - 1)).leading_zeros();
    (first == last).then(|| shared.saturating_sub(depth))
}

/// Addresses with the same first `depth` bits.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) depth: u32,
    pub(super) first: u128,
    pub(super) runs: &'a [Run],
}

impl Block<'_> {
    /// Where the last of the bits lies that tell its runs from each other.
    pub(super) fn deepest(self) -> u32 {
        let starts = self.runs[1..].iter();
        128 - starts
            .fold(0, |all, (start, _)| all | start)
            .trailing_zeros()
    }

    /// The parts, of that many bits, that can be otherwise than the part before:
    /// a run begins with it or in one of the two; `None` if more than `most`.
    pub(super) fn places(self, length: u32, most: usize) -> Option<Vec<u64>> {
        let mut places: Vec<u64> = vec![];
        for (start, _) in &self.runs[1..] {
            let place = self.part_of(*start, length);
            let (_, first, _) = self.bounds(place.into(), length);
            let is_within = first != *start && place + 1 < 1 << length;
            for place in [Some(place), is_within.then_some(place + 1)] {
                places.extend(place.filter(|place| places.last().unwrap_or(&0) < place));
            }
            if places.len() > most {
                return None;
            }
        }
        Some(places)
    }

    /// In which of its parts, of that many bits, an address lies.
    pub(super) fn part_of(self, address: u128, length: u32) -> u64 {
        let within = (address << self.depth) >> (128 - length);
        u64::try_from(within).expect("at most 63 bits")
    }

    /// All its parts, in order, that begin with that many bits more.
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

    /// The part of it that begins with these bits, right aligned.
    pub(super) fn part(self, bits: u128, length: u32) -> Self {
        let (depth, first, last) = self.bounds(bits, length);
        let runs = within(self.runs, first, last);
        Self { depth, first, runs }
    }

    /// Depth, first and last address of such a part.
    fn bounds(self, bits: u128, length: u32) -> (u32, u128, u128) {
        let depth = self.depth + length;
        // Beyond the last bit of an address, parts are the same.
        let first = match 128_u32.checked_sub(depth) {
            Some(rest) => self.first | bits << rest,
            None => self.first | bits >> (depth - 128),
        };
        let last = first | u128::MAX.checked_shr(depth).unwrap_or(0);
        (depth, first, last)
    }
}

/// How many of the first runs begin at or before an address.
fn leading(runs: &[Run], address: u128) -> usize {
    let begun = runs.iter().take_while(|(start, _)| *start <= address);
    begun.count()
}
