//! Tests of the store: saving, damage, and the limits of sizes.

use std::{io::Write as _, os::unix::fs::PermissionsExt as _};

use super::*;

fn url() -> FeedUrl {
    "https://lists.example.net/a".parse().unwrap()
}

fn good(content: &[u8]) -> Entry {
    Entry {
        url: url().as_str().to_owned(),
        good: Some(Good {
            sha256: Sha256::of(content).to_string(),
            size: content.len() as u64,
            fetched_at: 1,
            checked_at: 2,
            etag: Some("\"x\"".to_owned()),
            last_modified: None,
        }),
        ..Entry::default()
    }
}

#[test]
fn a_saved_content_is_read_again_and_older_contents_are_removed() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::new(state.path());
    assert_eq!(store.good(&url()).unwrap(), None);
    for content in [b"1.2.3.4\n", b"1.2.3.5\n"] {
        store.save(&url(), &good(content), Some(content)).unwrap();
        let (_, read) = store.good(&url()).unwrap().unwrap();
        assert_eq!(read, content);
    }
    let directory = store.directory_of(&url());
    let files: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(
        fs::metadata(&directory).unwrap().permissions().mode() & 0o777,
        0o700
    );
    store.keep_only(&[url()]).unwrap();
    assert!(store.good(&url()).unwrap().is_some());
    store.keep_only(&[]).unwrap();
    assert_eq!(store.good(&url()).unwrap(), None);
}

#[test]
fn damage_is_reported_and_the_next_save_repairs_it() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::new(state.path());
    let content = b"1.2.3.4\n";
    let file = |name: &str| store.directory_of(&url()).join(name);
    let hash = Sha256::of(content).to_string();
    for (name, damage) in [(META, &b"{\"url\""[..]), (&hash, b"1.2."), (META, b"")] {
        store.save(&url(), &good(content), Some(content)).unwrap();
        fs::write(file(name), damage).unwrap();
        let error = store.good(&url()).unwrap_err();
        assert!(
            error.to_string().contains("counts as never fetched"),
            "{error}"
        );
    }
    store.save(&url(), &good(content), Some(content)).unwrap();
    fs::remove_file(file(&hash)).unwrap();
    assert!(matches!(
        store.good(&url()),
        Err(StoreError::Damaged { .. })
    ));
    // An interrupted save leaves a file that `meta.json` does not name yet.
    store.save(&url(), &good(content), Some(content)).unwrap();
    fs::write(file("0123"), b"half").unwrap();
    assert!(store.good(&url()).unwrap().is_some());
}

#[test]
fn a_huge_meta_file_keeps_the_list_in_force_and_the_next_save_shrinks_it() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::new(state.path());
    let content = b"1.2.3.4\n";
    store.save(&url(), &good(content), Some(content)).unwrap();
    let path = store.directory_of(&url()).join(META);
    let huge = "9".repeat(usize::try_from(MAX_META).unwrap());
    let attempt = format!(r#"{{"at":3,"outcome":"refused","reason":"{huge}"}}"#);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("\"last\": null", &format!("\"last\": {attempt}")),
    )
    .unwrap();
    assert!(fs::metadata(&path).unwrap().len() > MAX_META);
    let (_, read) = store.good(&url()).unwrap().unwrap();
    assert_eq!(read, content);
    let entry = store.entry(&url()).unwrap();
    assert_eq!((entry.last.as_ref(), entry.failures), (None, 0));
    store.save(&url(), &entry, None).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 1024);
    fs::write(&path, huge.as_bytes()).unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"99")
        .unwrap();
    assert!(matches!(
        store.entry(&url()),
        Err(StoreError::Damaged { .. })
    ));
}

#[test]
fn each_text_is_bounded_when_written_and_when_read() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::new(state.path());
    let content = b"1.2.3.4\n";
    let mut entry = good(content);
    let long = "e".repeat(20_000);
    let good = entry.good.as_mut().unwrap();
    good.etag = Some(long.clone());
    good.last_modified = Some("a\nb".to_owned());
    entry.candidate = Some(Candidate {
        content: good.clone(),
        reason: long.clone(),
    });
    entry.last = Some(Attempt {
        at: 3,
        outcome: Outcome::Refused,
        reason: Some(format!("`{long}` and `{long}`")),
    });
    let path = store.directory_of(&url()).join(META);
    let check = || {
        let read = store.entry(&url()).unwrap();
        let good = read.good.unwrap();
        assert_eq!((good.etag, good.last_modified), (None, None));
        assert!(read.candidate.unwrap().reason.len() < 3000);
        assert!(read.last.unwrap().reason.unwrap().len() < 300);
    };
    store.save(&url(), &entry, Some(content)).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 5000);
    check();
    // The file as a version without limits wrote it.
    fs::write(&path, serde_json::to_vec(&entry).unwrap()).unwrap();
    check();
}
