//! Tests of rows that a cut divides.

use super::*;

const HOUR: i64 = 1_795_953_600;

fn cut(second: i64) -> Cut {
    Cut {
        at: Timestamp::from_second(HOUR + second).unwrap(),
        mark: 1,
    }
}

fn row(first: i64, last: i64) -> Row {
    Row {
        key: (1, 1),
        bucket: HOUR / 300,
        packets: 10,
        is_merged: false,
        first: HOUR + first,
        last: HOUR + last,
    }
}

fn divided(row: &Row, cuts: &[Cut], copies: &[Option<Copied>]) -> Result<Vec<u64>, (usize, usize)> {
    let hour = CutHour {
        begin: HOUR / 300,
        cuts,
        first: 3,
        period: (HOUR, HOUR + 3_600),
    };
    divide(row, &hour, copies).map_err(|range| (*range.start(), *range.end()))
}

#[test]
fn without_a_copy_the_times_of_a_row_decide() {
    let one = [cut(100)];
    assert_eq!(divided(&row(0, 99), &one, &[None]), Ok(vec![10, 0]));
    assert_eq!(divided(&row(100, 200), &one, &[None]), Ok(vec![0, 10]));
    assert_eq!(divided(&row(0, 100), &one, &[None]), Err((3, 4)));
    let two = [cut(100), cut(200)];
    let none = [None, None];
    assert_eq!(divided(&row(50, 150), &two, &none), Err((3, 4)));
    assert_eq!(divided(&row(120, 250), &two, &none), Err((4, 5)));
    assert_eq!(divided(&row(50, 250), &two, &none), Err((3, 5)));
    assert_eq!(divided(&row(120, 150), &two, &none), Ok(vec![0, 10, 0]));
}

#[test]
fn a_copy_divides_a_row_exactly() {
    let copy = Copied::from([(
        (1, 1),
        BTreeMap::from([(HOUR / 300, 4), (HOUR / 300 + 1, 1)]),
    )]);
    let one = [cut(100)];
    let mut spans = row(0, 200);
    assert_eq!(divided(&spans, &one, &[Some(copy.clone())]), Ok(vec![4, 6]));
    assert_eq!(
        divided(&spans, &one, &[Some(Copied::new())]),
        Ok(vec![0, 10])
    );
    spans.is_merged = true;
    assert_eq!(divided(&spans, &one, &[Some(copy)]), Ok(vec![5, 5]));
}
