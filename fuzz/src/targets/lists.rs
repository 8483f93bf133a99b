//! Lists, databases and updates of feeds.

use std::hint::black_box;

use monitor::{
    address::{Address, Interval},
    feeds::{difference, judge},
    lists::{
        Column, ColumnSelection, FeedReading, Format, Key, Kind, List, Locations, Reserved,
        Selection, is_database, list_text, read, read_database, recognise, unpack,
    },
    policy::{Feed, ReservedRule, Share},
};

use super::GATEWAY;

/// A list in a text format, read by the reader of every format.
pub fn list(bytes: &[u8]) {
    let Ok(bytes) = unpack(bytes.to_vec()) else {
        return;
    };
    let Ok(text) = list_text(bytes) else {
        return;
    };
    let text = text.as_str();
    if let Err(refused) = recognise(text) {
        assert!(refused.line >= 1 && !refused.why.help().is_empty());
    }
    for format in Format::ALL {
        for selection in selections() {
            check_list(&read(text, format, &selection), text.lines().count());
        }
    }
}

/// A database of autonomous systems or countries.
pub fn database(bytes: &[u8]) {
    black_box(is_database(bytes));
    for selection in selections() {
        match read_database(bytes, &selection) {
            Ok(list) => check_list(&list, 0),
            Err(error) => assert!(!error.to_string().is_empty() && !error.help().is_empty()),
        }
    }
}

fn selections() -> [Selection; 7] {
    let keys = |key| [key].into_iter().collect();
    [
        Selection {
            min_score: Some(2),
            ..Selection::default()
        },
        Selection {
            sets: ["x".to_owned()].into(),
            ..Selection::default()
        },
        Selection {
            keys: keys(Key::Asn(24406)),
            ..Selection::default()
        },
        Selection {
            keys: keys(Key::Country("CN".parse().expect("a country code"))),
            locations: Locations::read("geoname_id,country_iso_code\n7,CN\n"),
            ..Selection::default()
        },
        Selection {
            columns: Some(columns(Column::Number(2), None)),
            path: Some("$.*[*].ip".parse().expect("a path")),
            ignore_ports: true,
            ..Selection::default()
        },
        Selection {
            columns: Some(columns(Column::Number(1), Some(Column::Number(2)))),
            path: Some("$..ip".parse().expect("a path")),
            ..Selection::default()
        },
        Selection {
            columns: Some(ColumnSelection {
                conditions: [(Column::Number(1), "x".to_owned())].into(),
                ..columns(Column::Name("ip".to_owned()), None)
            }),
            path: Some("$.a[?@.t == 'x'].ip".parse().expect("a path")),
            ..Selection::default()
        },
    ]
}

fn columns(first: Column, last: Option<Column>) -> ColumnSelection {
    ColumnSelection {
        first,
        last,
        conditions: std::collections::BTreeMap::new(),
    }
}

/// Checks a list: each line gives a destination, is left out, or is an error.
fn check_list(list: &List, lines: usize) {
    fn check<A: Address>(intervals: &[(Interval<A>, u32)], lines: usize) {
        for (interval, line) in intervals {
            assert!(interval.first() <= interval.last());
            assert!(*line as usize <= lines, "line {line} of {lines}");
        }
    }
    check(&list.ipv4, lines);
    check(&list.ipv6, lines);
    // In nftables, Junos and JSON, one line may have several entries. In RPSL, an object
    // with members may also have addresses.
    let one_per_line = !matches!(
        list.kind,
        Kind::Lines(Format::Nft | Format::Juniper | Format::Json | Format::Rpsl)
    );
    let found = list.lines() + list.left_out + list.bad.count();
    // One error more says that the sets do not fit.
    assert!(lines == 0 || !one_per_line || found <= lines + 1);
    assert!(list.bad.first().len() <= list.bad.count());
    assert!(list.bad.exclusions() <= list.bad.count());
}

/// An update of a feed. A zero byte may separate the list in force from the update.
pub fn feed(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let first = parts.next().unwrap_or_default();
    let (before, update) = match parts.next() {
        Some(update) => (Some(first), update),
        None => (None, first),
    };
    // One of the four combinations for each input, to save time.
    let choice = update.len() % 4;
    let feed = feed_with(
        [ReservedRule::Strip, ReservedRule::Refuse][choice % 2],
        [None, Some(Format::Plain)][choice / 2],
    );
    let own = Reserved::new(&GATEWAY.networks);
    if let Err(refusal) = judge(update, before, &feed, &own) {
        assert!(!refusal.to_string().is_empty() && !refusal.help().is_empty());
        return;
    }
    // An accepted update can be shown, and the same update is accepted again.
    difference(update, before, &feed, &own).expect("an accepted update can be read");
    judge(update, Some(update), &feed, &own).expect("the list in force is accepted");
}

/// A feed with the given settings.
pub(crate) fn feed_with(reserved: ReservedRule, format: Option<Format>) -> Feed {
    let reading = FeedReading {
        format,
        skip_bad_lines: true,
        ..FeedReading::default()
    };
    Feed {
        url: "https://lists.example.net/a".parse().expect("a URL"),
        policies: ["p".parse().expect("a name")].into_iter().collect(),
        refresh: std::time::Duration::from_hours(24),
        sha256: None,
        max_change: Share::DEFAULT_CHANGE,
        reserved,
        readings: [reading].into_iter().collect(),
        in_force: None,
    }
}
