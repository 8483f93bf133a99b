//! The examples of `docs/trie.md` are what the compiler makes.

use std::fmt::Write as _;

use super::*;

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/trie.md"));

/// Fails with the text that the document should have.
fn is_in_the_document(text: &str) {
    let block = format!("```\n{text}```\n");
    assert!(
        DOCUMENT.contains(&block),
        "docs/trie.md has no block\n{block}"
    );
}

fn compiled(prefixes: &[([u8; 4], u8, MatchSetId)]) -> Trie {
    let prefixes = prefixes.iter();
    let prefixes = prefixes.map(|(address, length, set)| prefix((*address).into(), *length, *set));
    Trie::new(&sorted::<Ipv4Addr>(prefixes.collect())).unwrap()
}

/// A value as the document writes it.
fn shown(value: u32) -> String {
    let value = value & VALUE;
    let index = value & INDEX;
    let meaning = match value >> KIND_SHIFT & KIND {
        _ if value & POINTER == 0 => format!("match set {value}"),
        TO_PAIRS => format!("TO_PAIRS, nodes {index} to {}", index + 3),
        TO_RUN_LINE => format!("TO_RUN_LINE, line {index}"),
        TO_SLOTS => format!("TO_SLOTS, {index:#x}"),
        INLINE => {
            let (bits, set) = (index >> INLINE_SHIFT, index & ((1 << INLINE_SHIFT) - 1));
            format!("INLINE, part bits {bits:#06x}, match set {set}")
        }
        _ => format!("TO_SKIP, node {index}"),
    };
    format!("{value:#010x}  {meaning}")
}

/// The elements that are not zero, as the document lists them. Lines from
/// `run_lines` on are run lines, up to those that hold values.
fn listed(trie: &Trie, run_lines: &[usize]) -> String {
    let mut text = String::new();
    for (at, line) in trie.lines.iter().enumerate() {
        if run_lines.contains(&at) {
            write!(text, "line  {at}      ").unwrap();
            for (number, word) in line.iter().enumerate() {
                let separator = if number == 4 { "\n              " } else { "" };
                write!(text, "{separator}  {word:#018x}").unwrap();
            }
            text.push('\n');
            continue;
        }
        for slot in 0..LINE_SLOTS {
            let two = line[slot as usize / 2];
            let value = u32::try_from(two >> (slot % 2 * 32) & u64::from(u32::MAX)).unwrap();
            if value != 0 {
                let index = u32::try_from(at).unwrap() * LINE_SLOTS + slot;
                writeln!(text, "slot {index:>3}        {}", shown(value)).unwrap();
            }
        }
    }
    for (at, node) in trie.nodes.iter().enumerate() {
        if *node != Node::default() {
            let kind = ["PAIR", "RUNS", "SKIP", "EXCEPTIONS"][(node.b >> NODE_KIND_SHIFT) as usize];
            let Node { bits, a, b } = node;
            writeln!(
                text,
                "node {at:>3}        bits {bits:#018x}  a {a:#010x}  b {b:#010x}  {kind}"
            )
            .unwrap();
        }
    }
    text
}

/// One look-up passes the first level, a run line, slots of values, and four nodes.
#[test]
fn the_first_example_is_true() {
    let trie = compiled(&[
        ([10, 1, 2, 0], 24, 1),
        ([10, 1, 3, 7], 32, 2),
        ([203, 0, 113, 0], 24, 1),
    ]);
    assert_eq!((trie.common_bits, trie.outside), (0, NO_MATCH));
    assert_eq!((trie.first_kind, trie.first_bits), (FIRST_SLOTS, 8));
    is_in_the_document(&listed(&trie, &[17, 18]));
    for (address, found, steps) in [
        ([10, 1, 3, 7], 2, 3),
        ([10, 1, 2, 9], 1, 2),
        ([203, 0, 113, 1], 1, 2),
        ([8, 8, 8, 8], NO_MATCH, 1),
    ] {
        assert_eq!(look_up(&trie, Ipv4Addr::from(address), steps), found);
    }
}

/// The first level consists of nodes: pairs, exceptions and a skip.
#[test]
fn the_second_example_is_true() {
    let trie = compiled(&[
        ([10, 0, 0, 0], 14, 1),
        ([10, 8, 0, 0], 14, 2),
        ([10, 16, 0, 0], 14, 3),
        ([192, 168, 0, 0], 16, 4),
    ]);
    assert_eq!((trie.first_kind, trie.first_bits), (FIRST_NODES, 8));
    is_in_the_document(&listed(&trie, &[]));
    for (address, found) in [
        ([10, 9, 1, 1], 2),
        ([10, 4, 1, 1], NO_MATCH),
        ([192, 168, 1, 1], 4),
    ] {
        assert_eq!(look_up(&trie, Ipv4Addr::from(address), 2), found);
    }
}

/// The values of two parts of a first-level node are inline pointers.
#[test]
fn the_inline_pointer_of_the_document_is_true() {
    let prefixes = [
        prefix(Ipv4Addr::new(10, 0, 16, 0), 20, 5),
        prefix(Ipv4Addr::new(10, 32, 48, 0), 20, 5),
        prefix(Ipv4Addr::new(200, 0, 0, 0), 8, 6),
    ];
    let first = FirstLevel {
        kind: FIRST_NODES,
        bits: 10,
    };
    let trie = Trie::with(&runs(prefixes.iter()), first, Room::default()).unwrap();
    let value = u32::try_from(trie.lines[0][0] & u64::from(u32::MAX)).unwrap();
    assert!(DOCUMENT.contains(&shown(value)), "{}", shown(value));
    for (address, found) in [([10, 0, 17, 1], 5), ([10, 0, 32, 1], NO_MATCH)] {
        assert_eq!(look_up(&trie, Ipv4Addr::from(address), 2), found);
    }
}
