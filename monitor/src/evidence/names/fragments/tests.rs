use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn the_first_copy_of_a_byte_wins() {
    let mut piece = Fragments::new(8, 100);
    assert_eq!(piece.add(4, b"efgh"), 0);
    assert_eq!(piece.add(2, b"CDEFGHIJ"), 0);
    assert_eq!(piece.from(2), b"CDefghIJ");
    assert_eq!(piece.add(0, b"ab"), 0);
    assert_eq!(piece.from(0), b"abCDefghIJ");
    assert_eq!(piece.from(5), b"fghIJ");
    assert_eq!(piece.from(10), b"");
    assert_eq!(piece.held(), 10);
}

#[test]
fn a_gap_ends_a_run() {
    let mut piece = Fragments::new(8, 100);
    piece.add(0, b"ab");
    piece.add(3, b"de");
    assert_eq!(piece.from(0), b"ab");
    assert_eq!(piece.from(3), b"de");
    assert_eq!(piece.from(-1), b"");
    piece.add(2, b"c");
    assert_eq!(piece.from(0), b"abcde");
}

#[test]
fn what_finds_no_room_is_counted() {
    let mut piece = Fragments::new(2, 5);
    assert_eq!(piece.add(0, b"ab"), 0);
    assert_eq!(piece.add(10, b"cdef"), 1);
    assert_eq!(piece.add(4, b"x"), 1);
    assert_eq!(piece.add(0, b"ab"), 0);
    assert_eq!((piece.held(), piece.count()), (5, 2));
}

proptest! {
    #[test]
    fn a_byte_by_byte_model_agrees(
        fragments in prop::collection::vec((-20i64..40, prop::collection::vec(any::<u8>(), 0..20)), 0..12),
    ) {
        let mut piece = Fragments::new(1_000, 10_000);
        let mut model = BTreeMap::new();
        for (start, bytes) in &fragments {
            prop_assert_eq!(piece.add(*start, bytes), 0);
            for (position, byte) in (*start..).zip(bytes) {
                model.entry(position).or_insert(*byte);
            }
        }
        prop_assert_eq!(piece.held(), model.len());
        for start in -25..70 {
            let expected: Vec<u8> = (start..).map_while(|p| model.get(&p).copied()).collect();
            prop_assert_eq!(piece.from(start), expected);
        }
    }

    #[test]
    fn the_bounds_hold(
        fragments in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..50)), 0..40),
        near in any::<bool>(),
    ) {
        let mut piece = Fragments::new(5, 100);
        for (start, bytes) in &fragments {
            let before = piece.held();
            let start = if near { start % 300 } else { *start };
            let refused = piece.add(start, bytes);
            prop_assert!(refused + piece.held() - before <= bytes.len());
            prop_assert!(piece.held() <= 100 && piece.count() <= 5);
            prop_assert!(piece.from(start).len() <= 100);
        }
    }
}
