//! Prefixes → runs, and blocks of addresses.
//!
//! A *run* consists of consecutive addresses with the same match set. Adjacent runs have
//! different match sets, so equal coverage gives equal runs, however the prefixes were
//! written. Addresses are left aligned in 128 bits.

use monitor_common::NO_MATCH;

use super::Prefix;
use crate::address::Address;
pub(super) use crate::compile::MatchSetId;

/// First address of a run, and its match set. The run ends before the next run.
pub(super) type Run = (u128, MatchSetId);

/// The runs of all addresses, in order. The first begins at address 0. `prefixes` must be
/// sorted by address, then by length.
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
fn begin(runs: &mut Vec<Run>, first: u128, match_set: MatchSetId) {
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
    /// The shortest prefix length that separates all runs of the block.
    pub(super) fn deepest(self) -> u32 {
        let starts = self.runs[1..].iter();
        128 - starts
            .fold(0, |all, (start, _)| all | start)
            .trailing_zeros()
    }

    /// Indices of the parts, of `length` bits, whose value may differ from the previous
    /// part's: a run begins with the part, inside it, or inside the previous part. `None`
    /// if there are more than `most`.
    pub(super) fn changes(self, length: u32, most: usize) -> Option<Vec<u64>> {
        let mut changes: Vec<u64> = vec![];
        for (start, _) in &self.runs[1..] {
            let part = self.part_of(*start, length);
            let (_, first, _) = self.bounds(part.into(), length);
            let is_within = first != *start && part + 1 < 1 << length;
            for part in [Some(part), is_within.then_some(part + 1)] {
                changes.extend(part.filter(|part| changes.last().unwrap_or(&0) < part));
            }
            if changes.len() > most {
                return None;
            }
        }
        Some(changes)
    }

    /// Index of the part, of `length` bits, that holds `address`.
    pub(super) fn part_of(self, address: u128, length: u32) -> u64 {
        let within = (address << self.depth) >> (128 - length);
        u64::try_from(within).expect("at most 63 bits")
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
