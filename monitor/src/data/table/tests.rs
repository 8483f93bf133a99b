use std::{cmp::Reverse, net::Ipv4Addr};

use proptest::prelude::*;

use super::{sort::Sorter, *};
use crate::address::{Destination, Interval};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn asn(number: u32) -> Facts {
    Facts {
        asn: Some(number),
        ..Facts::default()
    }
}

fn table(rows: &[(&str, u32)]) -> Result<Table, BuildError> {
    let directory = directory();
    let mut builder = Builder::new(directory.path())?;
    for (range, number) in rows {
        builder.add(range.parse().unwrap(), &asn(*number))?;
    }
    builder.finish()
}

fn found(table: &Table, address: &str) -> Option<u32> {
    let facts = table.find(address.parse().unwrap()).unwrap();
    facts.and_then(|facts| facts.asn)
}

#[test]
fn the_longest_prefix_counts_in_both_families() {
    let table = table(&[
        ("2001:db8:1::/48", 6),
        ("10.1.2.0/24", 3),
        ("10.0.0.0/8", 1),
        ("10.1.0.0/16", 2),
        ("2001:db8::/32", 5),
        ("0.0.0.0/0", 9),
        ("255.255.255.255", 8),
        ("ffff::/16", 7),
    ])
    .unwrap();
    for (address, expected) in [
        ("0.0.0.0", Some(9)),
        ("9.255.255.255", Some(9)),
        ("10.0.0.0", Some(1)),
        ("10.1.1.255", Some(2)),
        ("10.1.2.0", Some(3)),
        ("10.1.2.255", Some(3)),
        ("10.1.3.0", Some(2)),
        ("10.255.255.255", Some(1)),
        ("11.0.0.0", Some(9)),
        ("255.255.255.255", Some(8)),
        ("2001:db7:ffff::", None),
        ("2001:db8::", Some(5)),
        ("2001:db8:1::", Some(6)),
        ("2001:db8:2::", Some(5)),
        ("::", None),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(7)),
    ] {
        assert_eq!(found(&table, address), expected, "{address}");
    }
}

#[test]
fn of_equal_ranges_the_first_row_counts_and_the_contradiction_is_counted() {
    let rows = [
        ("10.0.0.0/8", 1),
        ("10.0.0.0/8", 2),
        ("10.0.0.0-10.255.255.255", 1),
    ];
    let table = table(&rows).unwrap();
    assert_eq!(found(&table, "10.0.0.1"), Some(1));
    assert_eq!(table.size().contradictions, 1);
    assert_eq!(table.size().ipv4_rows, 3);
    assert_eq!(table.size().ipv4_addresses, 1 << 24);
}

#[test]
fn the_sizes_count_each_address_once() {
    let rows = [
        ("10.0.0.0/8", 1),
        ("10.1.0.0/16", 2),
        ("::/0", 3),
        ("1.2.3.4", 4),
    ];
    let size = table(&rows).unwrap().size();
    assert_eq!((size.ipv4_rows, size.ipv6_rows), (3, 1));
    assert_eq!(size.ipv4_addresses, (1 << 24) + 1);
    assert_eq!(size.ipv6_addresses, u128::MAX);
}

#[test]
fn ranges_nested_more_deeply_than_prefixes_can_be_are_refused() {
    let rows: Vec<(String, u32)> = (0..300)
        .map(|at| (format!("10.0.{}.{}-10.9.0.0", at / 256, at % 256), at))
        .collect();
    let nested = |count: usize| {
        let rows = rows.iter().take(count);
        let rows: Vec<(&str, u32)> = rows.map(|(range, at)| (range.as_str(), *at)).collect();
        table(&rows)
    };
    assert_eq!(found(&nested(256).unwrap(), "10.9.0.0"), Some(255));
    let error = nested(257).unwrap_err();
    assert!(
        matches!(error, BuildError::Nested { limit: 256 }),
        "{error}"
    );
}

#[test]
fn a_table_of_many_pages_uses_little_memory_and_finds_every_range() {
    let directory = directory();
    let mut builder = Builder::new(directory.path()).unwrap();
    let first = |at: u32| Ipv4Addr::from_bits(at * 1024);
    for at in (0..100_000).rev() {
        let interval = Interval::new(first(at), Ipv4Addr::from_bits(at * 1024 + 511)).unwrap();
        let facts = asn(at % 1000);
        builder.add(Destination::Ipv4(interval), &facts).unwrap();
    }
    let table = builder.finish().unwrap();
    for at in (0..100_000).step_by(97) {
        let address = |offset| IpAddr::V4(Ipv4Addr::from_bits(at * 1024 + offset));
        let find = |offset| table.find(address(offset)).unwrap();
        assert_eq!(find(0), Some(asn(at % 1000)), "{at}");
        assert_eq!(find(511), Some(asn(at % 1000)), "{at}");
        assert_eq!(find(512), None, "{at}");
    }
    let (memory, disk) = table.bytes();
    assert!(memory < 16 * 1024, "{memory}");
    assert!((1_200_000..1_250_000).contains(&disk), "{disk}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (0..64_u32, 0..16_u32, 0..4_u32).prop_map(|(first, more, value)| Entry {
        first: first.into(),
        last: (first + more).into(),
        value,
    });
    proptest::collection::vec(entry, 0..60)
}

proptest! {
    #[test]
    fn merged_runs_have_the_order_of_a_stable_sort(entries in entries(), run in 1..9_usize) {
        let directory = directory();
        for family in [Family::Ipv4, Family::Ipv6] {
            let mut sorter = Sorter::with_run(family, directory.path(), run);
            for entry in &entries {
                sorter.add(*entry).unwrap();
            }
            let mut sorted = sorter.finish();
            let mut expected = entries.clone();
            expected.sort_by_key(|entry| (entry.first, Reverse(entry.last)));
            for entry in expected {
                prop_assert_eq!(sorted.next().unwrap(), Some(entry));
            }
            prop_assert_eq!(sorted.next().unwrap(), None);
        }
    }

    /// The range that starts last counts, then the smallest, then the first row.
    #[test]
    fn every_address_is_found_as_by_a_search_through_all_rows(entries in entries()) {
        let directory = directory();
        let mut builder = Builder::new(directory.path()).unwrap();
        for entry in &entries {
            let [first, last] = [entry.first, entry.last].map(|at| {
                Ipv4Addr::from_bits(u32::try_from(at).unwrap())
            });
            let interval = Interval::new(first, last).unwrap();
            builder.add(Destination::Ipv4(interval), &asn(entry.value)).unwrap();
        }
        let table = builder.finish().unwrap();
        let mut covered = 0;
        for at in 0..100_u32 {
            let around = entries
                .iter()
                .rev()
                .filter(|entry| (entry.first..=entry.last).contains(&u128::from(at)));
            let best = around.max_by_key(|entry| (entry.first, Reverse(entry.last)));
            covered += u128::from(best.is_some());
            let facts = table.find(Ipv4Addr::from_bits(at).into()).unwrap();
            prop_assert_eq!(facts, best.map(|entry| asn(entry.value)));
        }
        prop_assert_eq!(table.size().ipv4_addresses, covered);
    }
}
