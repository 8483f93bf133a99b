use super::{retry::MAX_SKIP, *};

#[test]
fn after_failures_a_content_is_read_ever_later_up_to_an_hour() {
    let stamp = || Stamp::Feed("a".to_owned());
    let mut retry = Retry::after(None, stamp());
    let mut skips = vec![retry.skip];
    for _ in 0..40 {
        retry = Retry::after(Some(&retry), stamp());
        skips.push(retry.skip);
    }
    assert_eq!(skips[..8], [0, 1, 3, 7, 15, 31, 63, MAX_SKIP]);
    assert_eq!(skips.last(), Some(&MAX_SKIP));
    let other = Retry::after(Some(&retry), Stamp::Feed("b".to_owned()));
    assert_eq!((other.failures, other.skip), (1, 0));
}

#[test]
fn a_content_without_room_for_its_table_is_not_read_at_every_load() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("asn.tsv");
    std::fs::write(&path, "1.0.0.0/24\t1\n").unwrap();
    let places = DataSources {
        files: vec![path],
        feeds: Vec::new(),
    };
    let (full, room) = (directory.path().join("full"), directory.path());
    let load =
        |tables: &Path, before: &Data| Data::load(&places, &|_| Ok(None), tables, Some(before));
    let first = load(&full, &Data::default());
    assert!(first.failed()[0].error.contains("write the look-up table"));
    // The second attempt is at once, the third after one load.
    let second = load(&full, &first);
    let skipped = load(room, &second);
    assert_eq!(skipped.failed().len(), 1);
    let third = load(room, &skipped);
    assert_eq!(third.failed(), []);
}

#[test]
fn a_feed_over_http_gets_a_warning() {
    let feeds = [
        "http://example.net/a?key=s",
        "https://example.net/b",
        "http://127.0.0.1/c",
    ];
    let places = DataSources {
        files: Vec::new(),
        feeds: feeds.map(|feed| feed.parse().unwrap()).to_vec(),
    };
    let warnings = places.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("http://example.net/a?…: this feed is fetched without"));
}
