//! Files and feeds with data about ranges: the listing, the age, and what changes.

use std::fs;

use monitor::{
    data::{Data, DataSources},
    feeds::Good,
    lists::FeedUrl,
};

use serde_json::Value as Json;

use super::{DELEGATED, Files, about, load, today};

#[test]
fn the_listing_names_kind_rows_age_and_errors() {
    let files = Files::new()
        .with("delegated", DELEGATED)
        .with(
            "t.csv",
            "# of 2024-10-01\n1.0.0.0/24,1\n1.0.0.0/24,2\nx,y,z\n",
        )
        .with("empty", "")
        .with("page.html", "<html>\n")
        .with("hosts", "127.0.0.1 localhost\n")
        .with("noise", [0, 1, 2])
        .with("cut.gz", [0x1f, 0x8b, 8, 0]);
    let mut paths = files.paths.clone();
    paths.push(files.directory.path().join("missing\n\u{1b}[2J"));
    paths.push(files.directory.path().to_owned());
    let data = load(&paths, None);
    let listing = data.listing(today());
    let text = listing.to_string();
    let lines: Vec<&str> = text.lines().collect();
    for (line, expected) in lines.iter().zip([
        "delegated: delegated file, 2 IPv4 and 1 IPv6 rows, of 2021-07-14 (1188 days old)",
        "t.csv: table, 2 IPv4 and 0 IPv6 rows, of 2024-10-01 (13 days old); lines that cannot be read: 1; rows that contradict an earlier row: 1",
        "empty: cannot be used: it contains no row with addresses; use the delegated file",
        "page.html: cannot be used: this is a web page or XML",
        "hosts: cannot be used: this is a hosts file",
        "noise: cannot be used: it is neither text nor an MMDB database",
        "cut.gz: cannot be used: unpack gzip: ",
        "missing\\u{a}\\u{1b}[2J: cannot be used: No such file",
        "cannot be used: not a regular file: it is a folder",
    ]) {
        assert!(line.contains(expected), "{line}\n{expected}");
    }
    assert_eq!(lines.len(), 9);
    let shown = serde_json::to_value(&listing).unwrap();
    assert_eq!(shown["sources"][0]["age_days"], 1188);
    assert_eq!(shown["sources"][0]["kind"], "delegated-file");
    assert_eq!(shown["sources"][2]["kind"], Json::Null);
    // An address is not unknown if a source that may know it cannot be read.
    let notes = about(&data, "8.8.8.8").to_string();
    assert_eq!(
        notes
            .lines()
            .filter(|line| line.starts_with("note: "))
            .count(),
        7
    );
}

#[test]
fn a_feed_is_read_from_the_store_and_dated_by_its_fetch() {
    let feeds = [
        "https://example.net/asn.tsv?key=secret",
        "https://example.net/later",
    ];
    let sources = DataSources {
        files: Vec::new(),
        feeds: feeds.map(|url| url.parse().unwrap()).to_vec(),
    };
    let stored = |url: &FeedUrl| {
        let good = Good {
            sha256: "1".to_owned(),
            size: 1,
            fetched_at: 1_728_000_000,
            checked_at: 1_728_000_000,
            etag: None,
            last_modified: None,
        };
        let content = b"42.62.0.0/17\t23724\n".to_vec();
        let is_there = url.as_str().contains("asn.tsv");
        Ok(is_there.then_some((good, content)))
    };
    let tables = tempfile::tempdir().unwrap();
    let data = Data::load(&sources, &stored, tables.path(), None);
    let text = about(&data, "42.62.48.1").to_string();
    assert!(
        text.contains("AS23724 (asn.tsv?… fetched 2024-10-04)"),
        "{text}"
    );
    assert!(
        text.contains("later could not be asked: the daemon has not fetched it yet"),
        "{text}"
    );
    let listing = data.listing(today()).to_string();
    assert!(
        listing.starts_with("feed https://example.net/asn.tsv?…: table"),
        "{listing}"
    );
    assert!(!listing.contains("secret"), "{listing}");
}

#[test]
fn an_unchanged_file_is_not_read_again_and_a_changed_one_is() {
    let files = Files::new()
        .with("a", "10.0.0.0/8,1\n")
        .with("b", "10.0.0.0/8,2\n");
    let before = files.data();
    // The same size and time, but another inode.
    let replaced = files.directory.path().join("new");
    let files = files.with("new", "10.0.0.0/8,3\n");
    fs::rename(replaced, &files.paths[1]).unwrap();
    let after = load(&files.paths[..2], Some(&before));
    let origins = |data: &Data| {
        let origins = about(data, "10.0.0.1").origin_as;
        origins
            .iter()
            .map(|origin| origin.value.number)
            .collect::<Vec<_>>()
    };
    assert_eq!(origins(&before), [1, 2]);
    assert_eq!(origins(&after), [1, 3]);
    // What was read before is still used after its file is gone from the disk, or broken.
    fs::remove_file(&files.paths[0]).unwrap();
    fs::write(&files.paths[1], "<html>").unwrap();
    let after = load(&files.paths[..2], Some(&after));
    assert_eq!(origins(&after), [1, 3]);
    let failed = about(&after, "10.0.0.1").failed;
    assert!(failed[0].error.contains("No such file"), "{failed:?}");
    assert!(failed[1].error.contains("web page"), "{failed:?}");
    let used = "the content that was read before is used";
    assert!(
        failed.iter().all(|failed| failed.error.contains(used)),
        "{failed:?}"
    );
    let listing = after.listing(today()).to_string();
    assert!(
        listing.contains("table, 1 IPv4 and 0 IPv6 rows"),
        "{listing}"
    );
    assert!(listing.contains(used), "{listing}");
    fs::write(&files.paths[1], "10.0.0.0/8,4\n").unwrap();
    let after = load(&files.paths[..2], Some(&after));
    assert_eq!(origins(&after), [1, 4]);
}
