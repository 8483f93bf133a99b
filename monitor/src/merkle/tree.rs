//! The Merkle tree of RFC 6962, section 2.1.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Hash of a leaf: SHA-256 over the byte 0 and the line.
#[must_use]
pub fn leaf_hash(line: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(line);
    hash.finalize().into()
}

/// Hash of an inner node: SHA-256 over the byte 1 and the hashes of its two children.
fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// Hash of a tree without leaves: SHA-256 over nothing.
fn empty_hash() -> Hash {
    Sha256::digest([]).into()
}

/// The leaves under a node: those from `begin` up to `end`, `end` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// Number of the first leaf, counted from 0.
    pub begin: u64,
    /// Number after the last leaf.
    pub end: u64,
}

impl Range {
    fn new(begin: u64, end: u64) -> Self {
        Self { begin, end }
    }

    fn length(self) -> u64 {
        self.end.saturating_sub(self.begin)
    }

    /// True if the tree under the node is complete, so that later leaves do not change it.
    fn is_complete(self) -> bool {
        self.length().is_power_of_two() && self.begin.is_multiple_of(self.length())
    }

    /// The ranges of the two children of a node with at least two leaves. The left one has
    /// the largest power of two of leaves that is smaller than the length.
    fn children(self) -> (Self, Self) {
        let largest = 1 << (self.length().saturating_sub(1).max(1)).ilog2();
        let middle = self.begin.saturating_add(largest).min(self.end);
        (Self::new(self.begin, middle), Self::new(middle, self.end))
    }
}

/// Ranges of the hashes that lead from a leaf to the root of a tree with `size` leaves (RFC
/// 6962, section 2.1.1: the audit path), from the leaf upwards. Empty if the tree has no such
/// leaf.
#[must_use]
pub fn path_ranges(number: u64, size: u64) -> Vec<Range> {
    let mut path = Vec::new();
    let mut node = Range::new(0, size);
    if number >= size {
        return path;
    }
    while node.length() > 1 {
        let (left, right) = node.children();
        let (next, sibling) = if number < left.end {
            (left, right)
        } else {
            (right, left)
        };
        path.push(sibling);
        node = next;
    }
    path.reverse();
    path
}

/// Ranges of the hashes that show that a tree with `size` leaves begins with the leaves of the
/// tree with `earlier` leaves (RFC 6962, section 2.1.2: the consistency proof).
#[must_use]
pub fn consistency_ranges(earlier: u64, size: u64) -> Vec<Range> {
    let mut proof = Vec::new();
    if earlier == 0 || earlier >= size {
        return proof;
    }
    let mut node = Range::new(0, size);
    while earlier < node.end {
        let (left, right) = node.children();
        if earlier <= left.end {
            proof.push(right);
            node = left;
        } else {
            proof.push(left);
            node = right;
        }
    }
    // The verifier already has the root of the earlier tree.
    if node.begin > 0 {
        proof.push(node);
    }
    proof.reverse();
    proof
}

/// The root of a tree with `size` leaves, from the hash of a leaf and its path. `None` if the
/// path has another length than that of such a leaf.
#[must_use]
pub fn root_by_path(leaf: Hash, number: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let ranges = path_ranges(number, size);
    if number >= size || ranges.len() != path.len() {
        return None;
    }
    let steps = ranges.iter().zip(path);
    Some(steps.fold(leaf, |hash, (range, sibling)| {
        if range.begin > number {
            node_hash(&hash, sibling)
        } else {
            node_hash(sibling, &hash)
        }
    }))
}

/// True if `proof` shows that the tree with `size` leaves and this root begins with the leaves
/// of the tree with `earlier` leaves and the root `earlier_root`.
#[must_use]
pub fn consistency_holds(
    (earlier, earlier_root): (u64, Hash),
    (size, root): (u64, Hash),
    proof: &[Hash],
) -> bool {
    if earlier == 0 {
        return proof.is_empty();
    }
    if earlier == size {
        return proof.is_empty() && earlier_root == root;
    }
    let ranges = consistency_ranges(earlier, size);
    if earlier > size || ranges.len() != proof.len() {
        return false;
    }
    let mut known: HashMap<Range, Hash> = ranges.into_iter().zip(proof.iter().copied()).collect();
    let old = Range::new(0, earlier);
    if old.is_complete() {
        // The earlier root is a node of the later tree.
        known.insert(old, earlier_root);
    }
    resolve(&known, old) == Some(earlier_root) && resolve(&known, Range::new(0, size)) == Some(root)
}

/// The hash of a node, from known ones.
fn resolve(known: &HashMap<Range, Hash>, node: Range) -> Option<Hash> {
    if let Some(hash) = known.get(&node) {
        return Some(*hash);
    }
    if node.length() < 2 {
        return None;
    }
    let (left, right) = node.children();
    Some(node_hash(&resolve(known, left)?, &resolve(known, right)?))
}

/// The right edge of a tree: the hashes of its largest complete nodes, from left to right. It
/// stands for all leaves before, so that these can be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of a tree with `size` leaves. `None` if the number of nodes is not the
    /// number of bits of `size`.
    #[must_use]
    pub fn new(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes, from left to right.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_and(leaf, |_, _| {});
    }

    /// Appends a leaf, and shows each node that it completes.
    fn push_and(&mut self, leaf: Hash, mut show: impl FnMut(Range, Hash)) {
        let mut range = Range::new(self.size, self.size + 1);
        let mut hash = leaf;
        show(range, hash);
        // One child is complete for each lowest bit that is set.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.nodes.pop() else { break };
            hash = node_hash(&left, &hash);
            range.begin -= range.length();
            show(range, hash);
        }
        self.nodes.push(hash);
        self.size += 1;
    }

    /// The complete nodes with their leaves.
    fn ranges(&self) -> Vec<(Range, Hash)> {
        let mut begin = 0;
        let mut found = Vec::with_capacity(self.nodes.len());
        let bits = (0..u64::BITS).rev().map(|bit| 1 << bit);
        let lengths = bits.filter(|length| self.size & length != 0);
        for (length, hash) in lengths.zip(&self.nodes) {
            found.push((Range::new(begin, begin + length), *hash));
            begin += length;
        }
        found
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else {
            return empty_hash();
        };
        nodes.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// Finds the hashes of chosen nodes while leaves go by once, in order. Its memory is that of
/// the chosen nodes.
#[derive(Debug)]
pub struct Collector {
    frontier: Frontier,
    /// Chosen complete nodes.
    found: HashMap<Range, Option<Hash>>,
}

impl Collector {
    /// Begins after the leaves that `base` stands for.
    #[must_use]
    pub fn new(base: Frontier, chosen: &[Range]) -> Self {
        let mut found = HashMap::new();
        for range in chosen {
            choose(*range, &mut found);
        }
        for (range, hash) in base.ranges() {
            found.insert(range, Some(hash));
        }
        Self {
            frontier: base,
            found,
        }
    }

    /// The next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let found = &mut self.found;
        self.frontier.push_and(leaf, |range, hash| {
            if let Some(chosen) = found.get_mut(&range) {
                *chosen = Some(hash);
            }
        });
    }

    /// The tree of all leaves so far.
    #[must_use]
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The hash of a chosen node. `None` if one of its leaves did not go by.
    #[must_use]
    pub fn hash(&self, range: Range) -> Option<Hash> {
        if let Some(Some(hash)) = self.found.get(&range) {
            return Some(*hash);
        }
        if range.length() < 2 {
            return None;
        }
        let (left, right) = range.children();
        Some(node_hash(&self.hash(left)?, &self.hash(right)?))
    }
}

/// Splits a range into complete nodes.
fn choose(range: Range, chosen: &mut HashMap<Range, Option<Hash>>) {
    if range.length() == 0 {
        return;
    }
    if range.is_complete() {
        chosen.insert(range, None);
    } else {
        let (left, right) = range.children();
        choose(left, chosen);
        choose(right, chosen);
    }
}
