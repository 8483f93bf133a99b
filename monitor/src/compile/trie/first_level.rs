//! Size and kind of the first level of a trie.

use monitor_common::trie::{FIRST_NODES, FIRST_SLOTS, INLINE_BITS, MIN_FIRST_BITS, STRIDE};

use super::{
    builder::fits_inline,
    runs::{MatchSetId, Run},
};

/// The most first-level bits for nodes of a small ruleset: 2^13 nodes are 128 KiB.
const FEW_NODES: u32 = 13;
/// First-level bits for nodes of a large ruleset whose values are [`INLINE`] pointers:
/// 2^14 nodes are 256 KiB.
///
/// [`INLINE`]: monitor_common::trie::INLINE
const NODES_OF_INLINE: u32 = 14;
/// First-level bits for nodes of other large rulesets: 2^18 nodes are 4 MiB.
const MANY_NODES: u32 = 18;
/// The most first-level bits for slots: 2^16 slots are 256 KiB.
const MOST_SLOTS: u32 = 16;

/// Size and kind of a first level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstLevel {
    /// [`FIRST_NODES`] or [`FIRST_SLOTS`].
    pub(super) kind: u32,
    /// It has 2^`bits` elements.
    pub(super) bits: u32,
}

impl FirstLevel {
    /// Chooses a first level for `runs`, behind a common prefix of `common_bits` bits.
    ///
    /// A node takes four times the memory of a slot and saves a step. Most packets go to
    /// addresses that no policy covers, so the first level should stay in the
    /// second-level cache:
    ///
    /// - A small ruleset gets up to 2^13 nodes, if they answer most look-ups.
    /// - A large ruleset gets 2^14 nodes, if their values are mostly inline pointers, or
    ///   else 2^18 nodes, if these answer most look-ups.
    /// - All other rulesets get four to eight slots per run, up to 2^16, so that a block
    ///   has few runs.
    pub(super) fn choose(runs: &[Run], common_bits: u32) -> Self {
        let magnitude = runs.len().ilog2();
        let slots = (magnitude + 3).clamp(MIN_FIRST_BITS, MOST_SLOTS);
        let nodes_answer = |bits| {
            let depth = common_bits + bits;
            holds_for_most_runs(runs, depth, |block| node_answers(block, depth))
        };
        let inline_answers = |bits| {
            let depth = common_bits + bits + STRIDE;
            holds_for_most_runs(runs, depth, |block| {
                inline_pointer_answers(block, depth, runs[0].1)
            })
        };
        let (kind, bits) = match magnitude {
            0..12 if nodes_answer(slots.min(FEW_NODES)) => (FIRST_NODES, slots.min(FEW_NODES)),
            16.. if inline_answers(NODES_OF_INLINE) => (FIRST_NODES, NODES_OF_INLINE),
            16.. if nodes_answer(MANY_NODES) => (FIRST_NODES, MANY_NODES),
            _ => (FIRST_SLOTS, slots),
        };
        Self { kind, bits }
    }
}

/// True if more than two thirds of all runs begin in blocks for which `condition` holds.
/// A block consists of the addresses with the same first `depth` bits.
fn holds_for_most_runs(runs: &[Run], depth: u32, condition: impl Fn(&[Run]) -> bool) -> bool {
    let block_of = |start: u128| start >> (128 - depth);
    let enough = runs.len() * 2 / 3;
    let (mut holding, mut left) = (0, runs.len());
    for block in runs.chunk_by(|(one, _), (other, _)| block_of(*one) == block_of(*other)) {
        left -= block.len();
        if condition(block) {
            holding += block.len();
        }
        // Later blocks may not change the answer any more.
        if holding > enough || holding + left <= enough {
            break;
        }
    }
    holding > enough
}

/// True if a node for the block, which begins at bit `depth`, answers most look-ups.
fn node_answers(block: &[Run], depth: u32) -> bool {
    block.len() <= 2 || all_start_on(block, depth + STRIDE)
}

/// True if an inline pointer answers all look-ups in the block, which begins at bit
/// `depth`.
fn inline_pointer_answers(block: &[Run], depth: u32, outside: MatchSetId) -> bool {
    let mut inside = block.iter().map(|(_, match_set)| *match_set);
    let first = inside.find(|match_set| *match_set != outside);
    all_start_on(block, depth + INLINE_BITS)
        && first.is_none_or(fits_inline)
        && inside.all(|match_set| match_set == outside || Some(match_set) == first)
}

/// True if every run of the block begins at the start of a part of `depth` bits.
fn all_start_on(block: &[Run], depth: u32) -> bool {
    block
        .iter()
        .all(|(start, _)| start & u128::MAX >> depth == 0)
}
