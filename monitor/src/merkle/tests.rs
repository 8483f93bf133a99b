use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;

/// The tree of RFC 6962, section 2.1, word for word.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let largest = (leaves.len() - 1).ilog2();
            let (left, right) = leaves.split_at(1 << largest);
            let mut hash = Sha256::new();
            hash.update([1]);
            hash.update(root(left));
            hash.update(root(right));
            hash.finalize().into()
        }
    }
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count)
        .map(|number| leaf_hash(&number.to_be_bytes()))
        .collect()
}

fn hashes(leaves: &[Hash], ranges: &[Range]) -> Vec<Hash> {
    let mut collector = Collector::new(Frontier::default(), ranges);
    for leaf in leaves {
        collector.push(*leaf);
    }
    ranges
        .iter()
        .map(|range| collector.hash(*range).unwrap())
        .collect()
}

/// Roots of the trees of 1 to 8 leaves that the tests of Certificate Transparency use
/// (github.com/transparency-dev/merkle, testonly/constants.go).
#[test]
fn the_roots_are_those_of_certificate_transparency() {
    let inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::default();
    for (input, expected) in inputs.iter().zip(roots) {
        frontier.push(leaf_hash(&hex::decode(input).unwrap()));
        assert_eq!(hex::encode(frontier.root()), expected);
    }
}

#[test]
fn every_path_of_small_trees_leads_to_the_root() {
    for size in 1..70 {
        let leaves = leaves(size);
        let expected = root(&leaves);
        for number in 0..size {
            let path = hashes(&leaves, &path_ranges(number, size));
            let leaf = leaves[usize::try_from(number).unwrap()];
            assert_eq!(root_by_path(leaf, number, size, &path), Some(expected));
            assert_ne!(
                root_by_path(leaf_hash(b"other"), number, size, &path),
                Some(expected)
            );
            let place = root_by_path(leaf, number + 1, size, &path);
            assert_ne!(place, Some(expected), "{number} of {size}");
        }
    }
}

#[test]
fn every_pair_of_small_trees_is_consistent() {
    for size in 1..50 {
        let all = leaves(size);
        for earlier in 1..=size {
            let before = root(&all[..usize::try_from(earlier).unwrap()]);
            let proof = hashes(&all, &consistency_ranges(earlier, size));
            let (old, new) = ((earlier, before), (size, root(&all)));
            assert!(consistency_holds(old, new, &proof), "{earlier} of {size}");
            assert!(!consistency_holds((earlier, [7; 32]), new, &proof));
            assert!(!consistency_holds(old, (size, [7; 32]), &proof));
        }
    }
}

proptest! {
    /// A log whose first leaves are gone still has the paths of the others.
    #[test]
    fn a_base_stands_for_removed_leaves(size in 1_u64..200, base in 0_u64..200, number in 0_u64..200) {
        let base = base % size;
        let number = base + number % (size - base);
        let all = leaves(size);
        let mut before = Frontier::default();
        let (gone, kept) = all.split_at(usize::try_from(base).unwrap());
        for leaf in gone {
            before.push(*leaf);
        }
        let ranges = path_ranges(number, size);
        let mut collector = Collector::new(before, &ranges);
        for leaf in kept {
            collector.push(*leaf);
        }
        prop_assert_eq!(collector.frontier().root(), root(&all));
        let path: Option<Vec<_>> = ranges.iter().map(|range| collector.hash(*range)).collect();
        let leaf = all[usize::try_from(number).unwrap()];
        prop_assert_eq!(root_by_path(leaf, number, size, &path.unwrap()), Some(root(&all)));
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: "monitor-evidence/5f0c".to_owned(),
        size: 215,
        root: [3; 32],
        at: "2026-11-30T01:40:12Z".to_owned(),
        proofs: [4; 32],
    }
}

#[test]
fn a_head_opens_with_its_key_only() {
    let (own, other) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let (own, other) = (
        SigningKey::read(&own).unwrap(),
        SigningKey::read(&other).unwrap(),
    );
    let checkpoint = checkpoint();
    let note = checkpoint.sign(&own);
    let public = own.public(&checkpoint.origin);
    assert_eq!(Checkpoint::open(&note, &public), Ok(checkpoint.clone()));
    assert_eq!(public.to_string().parse::<PublicKey>().unwrap(), public);
    assert!(Checkpoint::open(&note, &other.public(&checkpoint.origin)).is_err());
    assert!("two words+00000000+AA==".parse::<PublicKey>().is_err());
    for (position, byte) in note.bytes().enumerate() {
        let mut changed = note.clone().into_bytes();
        changed[position] = byte ^ 1;
        if let Ok(changed) = String::from_utf8(changed) {
            assert!(
                Checkpoint::open(&changed, &public).is_err(),
                "byte {position}"
            );
        }
    }
}
