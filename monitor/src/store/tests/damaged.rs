//! Damaged files, and files of other programs and versions.

use std::{
    fs::{self, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
};

use super::{INSTANCE, Opened, days, flow, noon, packets};
use crate::store::{FILE, Remedy, Store, StoreError, StoreReader, StoreSettings};

/// A state directory whose store holds some rows and was not closed.
fn used() -> tempfile::TempDir {
    let mut opened = Opened::new();
    let flows: Vec<_> = (0..2_000).map(|to| flow(to % 3, to, 4, noon())).collect();
    opened.drain(&flows, noon());
    opened.store.empty_log().unwrap();
    opened.directory
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

fn open(directory: &Path) -> (Store, crate::store::Opened) {
    Store::open(directory, StoreSettings::default(), noon()).unwrap()
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    let damages: [&dyn Fn(&Path); 4] = [
        &|path| overwrite(path, 0, &[0xff; 100]),
        &|path| {
            OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(3 * 4_096)
                .unwrap();
        },
        &|path| overwrite(path, 5 * 4_096, &[0xa5; 4_096]),
        &|path| {
            fs::write(
                path,
                "this is not a database, but it has more than 100 bytes: ".repeat(9),
            )
            .unwrap();
        },
    ];
    for damage in damages {
        let directory = used();
        let path = directory.path().join(FILE);
        damage(&path);
        let size = fs::metadata(&path).unwrap().len();
        let (mut store, opened) = open(directory.path());
        let found = opened.damaged.unwrap();
        assert!(opened.new && !found.why.is_empty());
        assert_eq!(found.name, "evidence.db.damaged-20261129T120000Z");
        let aside = fs::metadata(directory.path().join(&found.name)).unwrap();
        assert_eq!(aside.len(), size);
        assert_eq!(store.drained(INSTANCE.token).unwrap(), None);
        let mut reader = StoreReader::open(directory.path()).unwrap().unwrap();
        assert_eq!(packets(&mut reader), (0, 0));
        let losses = reader.view().unwrap().losses(noon()).unwrap();
        assert_eq!(losses[0].loss.reason, "damaged");
        // The file goes when its content is older than the retention.
        store.compact(noon() + days(29)).unwrap();
        assert!(directory.path().join(&found.name).exists());
        store.compact(noon() + days(31)).unwrap();
        assert!(!directory.path().join(&found.name).exists());
    }
}

#[test]
fn only_one_damaged_file_is_kept() {
    let directory = used();
    for hour in 0..3 {
        overwrite(&directory.path().join(FILE), 0, &[0xff; 100]);
        let now = noon() + jiff::SignedDuration::from_hours(hour);
        Store::open(directory.path(), StoreSettings::default(), now).unwrap();
    }
    let mut names: Vec<_> = directory
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names.retain(|name| name.contains("damaged") && !name.ends_with("-wal"));
    assert_eq!(names, ["evidence.db.damaged-20261129T140000Z"]);
}

/// The damage is found when the page is read, and the next opening sets the file aside.
#[test]
fn damage_under_an_open_store_says_that_it_must_be_opened_again() {
    let directory = used();
    let (mut store, _) = open(directory.path());
    let size = fs::metadata(directory.path().join(FILE)).unwrap().len();
    for page in 1..size / 4_096 {
        overwrite(&directory.path().join(FILE), page * 4_096, &[0xa5; 4_096]);
    }
    store
        .connection
        .execute_batch("PRAGMA shrink_memory")
        .unwrap();
    let flows: Vec<_> = (0..2_000)
        .map(|to| flow(to % 3, to + 5_000, 4, noon()))
        .collect();
    let table = crate::store::Drained {
        instance: INSTANCE,
        epoch: 2,
        flows: &flows,
    };
    let error = store.write_drained(&table, noon()).unwrap_err();
    assert_eq!(error.remedy(), Remedy::Reopen, "{error}");
    drop(store);
    assert!(open(directory.path()).1.damaged.is_some());
}

#[test]
fn a_file_of_another_program_or_of_a_newer_version_is_left_alone() {
    for (change, is_newer) in [
        ("PRAGMA user_version = 99", true),
        ("PRAGMA application_id = 1", false),
    ] {
        let directory = used();
        let path = directory.path().join(FILE);
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch(change)
            .unwrap();
        let before = fs::read(&path).unwrap();
        let errors = [
            Store::open(directory.path(), StoreSettings::default(), noon()).unwrap_err(),
            StoreReader::open(directory.path()).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.remedy(), Remedy::Operator);
            assert_eq!(
                matches!(error, StoreError::Newer { found: 99, .. }),
                is_newer
            );
            assert_eq!(matches!(error, StoreError::Foreign { .. }), !is_newer);
        }
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn what_is_not_a_regular_file_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let other = used();
    let make: [&dyn Fn(); 3] = [
        &|| nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        &|| std::os::unix::fs::symlink(other.path().join(FILE), &path).unwrap(),
        &|| fs::create_dir(&path).unwrap(),
    ];
    for make in make {
        let _ = fs::remove_file(&path);
        make();
        let error = Store::open(directory.path(), StoreSettings::default(), noon()).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
        let error = StoreReader::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}

/// The folder may be reached by a symbolic link.
#[test]
fn a_state_directory_may_be_a_symbolic_link() {
    let directory = used();
    let links = tempfile::tempdir().unwrap();
    let link = links.path().join("state");
    std::os::unix::fs::symlink(directory.path(), &link).unwrap();
    let (store, _) = open(&link);
    assert_eq!(store.drained(INSTANCE.token).unwrap(), Some(1));
}
