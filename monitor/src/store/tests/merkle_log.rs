//! The Merkle log: lines for what is stored, proofs, and what a change leaves behind.

use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use rusqlite::types::Value;

use super::{Opened, ago, claim, days, flow, mac, noon};
use crate::{
    evidence::mark::{Mark, MarkKind},
    merkle::{Checkpoint, Entry, Line, Proven, PublicKey},
    store::{AskedProof, LogCheck, WrongLine, signing_key},
};

fn asked(sha256: &str) -> AskedProof {
    AskedProof {
        format: "html".to_owned(),
        sha256: sha256.to_owned(),
        since: ago(days(29)),
        until: noon(),
        devices: None,
        with_lines: true,
    }
}

impl Opened {
    fn prove(&mut self, sha256: &str, now: Timestamp) -> Proven {
        let key = signing_key(self.path()).unwrap();
        self.store.log_all(now).unwrap();
        self.store.prove(&asked(sha256), &key, now).unwrap()
    }

    fn check(&self, size: u64) -> LogCheck {
        self.reader().view().unwrap().check_log(size).unwrap()
    }
}

fn checkpoint(proven: &Proven) -> Checkpoint {
    let key: PublicKey = proven.head.key.parse().unwrap();
    Checkpoint::open(&proven.head.checkpoint, &key).unwrap()
}

/// Reads the lines of a proof, and checks that the log has each.
fn lines(proven: &Proven) -> Vec<Line> {
    let head = checkpoint(proven);
    let proofs = proven.proofs.iter();
    proofs
        .map(|proof| {
            assert!(proven.is_in_log(proof, &head), "{}", proof.line);
            Entry::read(&proof.line).unwrap().line
        })
        .collect()
}

/// Packets and number of lines about packets.
fn packets(proven: &Proven) -> (u64, usize) {
    let lines = lines(proven);
    let sums = lines.iter().filter_map(|line| match line {
        Line::Packets { sums, .. } => Some(sums.iter().map(|sum| sum.packets).sum::<u64>()),
        _ => None,
    });
    let sums: Vec<_> = sums.collect();
    (sums.iter().sum(), sums.len())
}

fn told() -> Opened {
    let mut opened = Opened::new();
    for hours in [100, 99, 50, 3, 1] {
        let at = ago(jiff::SignedDuration::from_hours(hours));
        opened.drain(
            &[flow(1, 1, 4, at), flow(1, 2, 9, at), flow(2, 1, 2, at)],
            at,
        );
        let claims = [claim(1, 1, "a.example", at), claim(2, 1, "b.example", at)];
        opened.store.write_claims(&claims, at).unwrap();
        let mark = Mark {
            text: format!("cloud off {hours}"),
            kind: MarkKind::SettingChanged,
            model: None,
            firmware: None,
            accounts: None,
            sim: None,
            set: None,
        };
        let marked = opened.store.write_mark(&mark, Some(mac(1)), at, at, true);
        assert!(marked.unwrap().is_some());
    }
    opened
}

#[test]
fn every_stored_packet_and_claim_is_in_a_proof() {
    let mut opened = told();
    let proven = opened.prove("aa", noon());
    // 5 times 4 + 9 + 2 passed and 3 dropped packets, of two devices each time.
    assert_eq!(packets(&proven), (90, 10));
    let claims = lines(&proven);
    let claims = claims
        .iter()
        .filter(|line| matches!(line, Line::Claim { .. }));
    assert_eq!(claims.count(), 2);
    let check = opened.check(checkpoint(&proven).size);
    assert_eq!(check.wrong, []);
    assert_eq!(check.root, Some(checkpoint(&proven).root));
    assert_eq!(check.unlogged, 0);
    // The same file again gives the same proof.
    assert_eq!(opened.prove("aa", noon()), proven);
    let other = opened.prove("bb", noon());
    assert_eq!(checkpoint(&other).size, checkpoint(&proven).size + 1);
}

#[test]
fn later_packets_and_merging_replace_lines_and_keep_earlier_heads() {
    let mut opened = told();
    let first = opened.prove("aa", noon());
    opened.drain(&[flow(1, 7, 100, ago(days(2)))], noon());
    opened.store.compact(noon()).unwrap();
    let second = opened.prove("bb", noon());
    assert_eq!(packets(&second).0, 90 + 101);
    let check = opened.check(checkpoint(&first).size);
    assert_eq!(check.wrong, []);
    assert_eq!(
        check.root,
        Some(checkpoint(&first).root),
        "the first head holds"
    );
    assert!(check.erased > 0, "lines were replaced");
}

#[test]
fn a_change_of_any_stored_figure_name_or_line_is_found() {
    let changes = [
        "UPDATE count SET passed_packets = passed_packets + 1 
            WHERE bucket = (SELECT max(bucket) FROM count)",
        "UPDATE count SET first = first + 1 WHERE bucket = (SELECT min(bucket) FROM count)",
        "DELETE FROM count WHERE bucket = (SELECT max(bucket) FROM count)",
        "UPDATE flow_end SET destination = x'01020304' WHERE id = 1",
        "UPDATE device SET mac = x'020000000001' WHERE id = 1",
        "UPDATE list SET policies = '[\"other\"]'",
        "UPDATE interface SET name = 'other'",
        "UPDATE claim SET name = 'c.example' WHERE name = 'a.example'",
        "DELETE FROM claim",
        "UPDATE event SET json = replace(json, 'off', 'on') WHERE kind = 'mark'",
        "DELETE FROM event WHERE kind = 'mark'",
        "INSERT INTO event (at, kind, json) SELECT max(at) + 1000, 'mark', '{}' FROM log",
        "UPDATE log SET leaf = zeroblob(32) WHERE number = 2",
        "UPDATE log SET salt = zeroblob(16) WHERE number = 2",
        "DELETE FROM log WHERE number = 2",
        "UPDATE log SET line = replace(line, 'began', 'ended') WHERE number = 0",
        "UPDATE log SET salt = NULL WHERE bucket = (SELECT max(bucket) FROM log)",
    ];
    for change in changes {
        let mut opened = told();
        let proven = opened.prove("aa", noon());
        let rows = opened.raw().execute(change, []).unwrap();
        assert!(rows > 0, "{change}");
        let size = checkpoint(&proven).size;
        let check = opened.check(size);
        assert_ne!(check.wrong, [], "{change}");
    }
    // A line that is added at the end does not change what the head covers.
    let mut opened = told();
    let proven = opened.prove("aa", noon());
    let size = checkpoint(&proven).size;
    let insert = "INSERT INTO log VALUES (?1, 0, NULL, NULL, NULL, 'x', zeroblob(32))";
    opened
        .raw()
        .execute(insert, [i64::try_from(size).unwrap()])
        .unwrap();
    let check = opened.check(size);
    assert_eq!(check.root, Some(checkpoint(&proven).root));
    assert_eq!(check.wrong, [WrongLine::Changed { number: size }]);
}

/// Tables and columns that lines are about, with the rows that have a line.
const LOGGED_COLUMNS: [(&str, &[&str], &str); 8] = [
    ("log", &["bucket", "device", "salt", "line", "leaf"], "true"),
    (
        "count",
        &[
            "bucket",
            "device",
            "flow_end",
            "unreadable",
            "interface",
            "direction",
            "list",
            "instance",
            "passed_packets",
            "passed_bytes",
            "dropped_packets",
            "dropped_bytes",
            "first",
            "last",
        ],
        "true",
    ),
    (
        "flow_end",
        &["destination", "protocol", "port", "device"],
        "true",
    ),
    ("device", &["mac"], "id > 0"),
    ("interface", &["name"], "true"),
    ("list", &["policies"], "true"),
    ("claim", &["source", "name", "line"], "line IS NOT NULL"),
    ("event", &["json"], "kind = 'mark'"),
];

/// Changes one bit of a value that has bits.
fn with_changed_bit(value: &Value, random: &mut StdRng) -> Option<Value> {
    let mut change = |bytes: &[u8], bits: u32| {
        let mut bytes = bytes.to_vec();
        let at = random.random_range(0..bytes.len().max(1));
        *bytes.get_mut(at)? ^= 1 << random.random_range(0..bits);
        Some(bytes)
    };
    Some(match value {
        Value::Integer(number) => Value::Integer(number ^ 1 << random.random_range(0..16)),
        // Without the highest bit, ASCII stays ASCII.
        Value::Text(text) => Value::Text(String::from_utf8(change(text.as_bytes(), 7)?).ok()?),
        Value::Blob(bytes) => Value::Blob(change(bytes, 8)?),
        _ => return None,
    })
}

#[test]
fn each_of_two_thousand_changed_bits_is_found() {
    let mut opened = told();
    let size = checkpoint(&opened.prove("aa", noon())).size;
    let root = opened.check(size).root;
    let raw = opened.raw();
    raw.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let mut reader = opened.reader();
    let mut random = StdRng::seed_from_u64(20);
    let mut count = 0;
    while count < 2_000 {
        let (table, columns, rows) = *LOGGED_COLUMNS.choose(&mut random).unwrap();
        let column = *columns.choose(&mut random).unwrap();
        let select = format!("SELECT DISTINCT {column} FROM {table} WHERE {rows}");
        let mut statement = raw.prepare(&select).unwrap();
        let values = statement.query_map([], |row| row.get::<_, Value>(0));
        let values: Vec<_> = values.unwrap().map(Result::unwrap).collect();
        drop(statement);
        let value = values.choose(&mut random).unwrap();
        let Some(changed) = with_changed_bit(value, &mut random) else {
            continue;
        };
        let update = format!("UPDATE OR IGNORE {table} SET {column} = ?2 WHERE {column} = ?1");
        if values.contains(&changed) || raw.execute(&update, [value, &changed]).unwrap() == 0 {
            continue;
        }
        count += 1;
        let is_found = match reader.view().unwrap().check_log(size) {
            Ok(check) => !check.wrong.is_empty() || check.root != root,
            Err(error) => error.is_damaged_row(),
        };
        assert!(is_found, "{table}.{column}: {value:?} became {changed:?}");
        raw.execute(&update, [&changed, value]).unwrap();
    }
    let check = opened.check(size);
    assert_eq!((check.root, check.wrong), (root, Vec::new()));
}

#[test]
fn packets_that_were_taken_away_and_logged_again_are_found_by_earlier_lines() {
    let mut opened = told();
    let earlier = lines(&opened.prove("aa", noon()));
    let fewer = |opened: &Opened| {
        let mut reader = opened.reader();
        reader.view().unwrap().fewer_packets(&earlier).unwrap()
    };
    assert_eq!((fewer(&opened).kept, fewer(&opened).removed), (10, 0));
    // More packets, merged hours and a report do not count as fewer.
    let at = ago(jiff::SignedDuration::from_hours(1));
    opened.drain(&[flow(1, 1, 4, at)], at);
    opened.store.compact(noon()).unwrap();
    opened.prove("bb", noon());
    assert_eq!(fewer(&opened).fewer, []);

    // Root takes packets away, and the store logs what is left.
    let raw = opened.raw();
    raw.execute_batch(
        "UPDATE count SET passed_packets = passed_packets - 1
            WHERE bucket = (SELECT min(bucket) FROM count) AND passed_packets > 0;
        INSERT OR IGNORE INTO unlogged SELECT DISTINCT bucket, device FROM count;",
    )
    .unwrap();
    drop(raw);
    opened.prove("cc", noon());
    assert_eq!(opened.check(0).wrong, []);
    let found = fewer(&opened).fewer;
    let devices: Vec<_> = found.iter().map(|fewer| fewer.device.clone()).collect();
    assert_eq!(
        devices,
        [Some(mac(1).to_string()), Some(mac(2).to_string())]
    );
    assert!(
        found
            .iter()
            .all(|fewer| fewer.earlier.packets > fewer.stored.packets)
    );

    opened.store.forget(mac(1), noon()).unwrap();
    let after = fewer(&opened);
    assert_eq!((after.removed, after.fewer.len()), (5, 1));
    // A forgotten device that comes again did not lose packets.
    opened.drain(&[flow(1, 1, 4, noon())], noon());
    let after = fewer(&opened);
    assert_eq!((after.removed, after.fewer.len()), (5, 1));
}

#[test]
fn a_forgotten_device_leaves_hashes_and_a_tombstone() {
    let mut opened = told();
    let first = opened.prove("aa", noon());
    opened.store.forget(mac(1), noon()).unwrap();
    let second = opened.prove("bb", noon());
    assert_eq!(packets(&second), (15, 5));
    let text = serde_json::to_string(&second).unwrap();
    assert!(!text.contains(&mac(1).to_string()));
    let raw = opened.raw();
    let tombstones: i64 = raw
        .query_row(
            "SELECT count(*) FROM log WHERE line ->> 'kind' = 'forgotten'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(tombstones, 1);
    let check = opened.check(checkpoint(&first).size);
    assert_eq!(check.wrong, []);
    assert_eq!(check.root, Some(checkpoint(&first).root));
}

#[test]
fn old_leaves_go_and_the_tree_stays() {
    let mut opened = told();
    let first = opened.prove("aa", noon());
    let later = noon().checked_add(days(40)).unwrap();
    opened.drain(&[flow(3, 1, 4, later)], later);
    opened.store.write_clock(true, later).unwrap();
    opened.store.compact(later).unwrap();
    let key = signing_key(opened.path()).unwrap();
    opened.store.log_all(later).unwrap();
    let asked = AskedProof {
        since: noon(),
        until: later,
        ..asked("bb")
    };
    let second = opened.store.prove(&asked, &key, later).unwrap();
    assert_eq!(packets(&second), (5, 1));
    let check = opened.check(checkpoint(&second).size);
    assert!(check.removed > 0);
    assert_eq!(check.wrong, []);
    assert_eq!(check.root, Some(checkpoint(&second).root));
    assert_eq!(checkpoint(&first).origin, checkpoint(&second).origin);
    assert!(check.size > checkpoint(&first).size);
}
