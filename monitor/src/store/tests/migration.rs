//! Migration from older versions of the schema.

use std::path::Path;

use rusqlite::Connection;

use super::{NOON, Opened, days, mac, noon, packets, policy, verify};
use crate::{
    evidence::claim::NameSource,
    store::{
        FILE, FlowQuery, Migration, Store, StoreError, StoreReader, StoreSettings, schema::STEPS,
    },
};

/// A store of version 1: two instances, flows of five minutes and of an hour, removed
/// sums, claims, and one row of each other table.
const VERSION_1: &str = include_str!("version-1.sql");

fn old(directory: &Path) {
    Connection::open(directory.join(FILE))
        .unwrap()
        .execute_batch(VERSION_1)
        .unwrap();
}

fn schema(raw: &Connection) -> Vec<String> {
    let select = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    let mut statement = raw.prepare(select).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn an_older_store_is_migrated_and_a_copy_kept() {
    let directory = tempfile::tempdir().unwrap();
    old(directory.path());
    let error = StoreReader::open(directory.path()).unwrap_err();
    assert!(
        matches!(error, StoreError::Older { found: 1, .. }),
        "{error}"
    );
    let (mut store, opened) =
        Store::open(directory.path(), StoreSettings::default(), noon()).unwrap();
    let copy = "evidence.db.version-1-20261129T120000Z".to_owned();
    let migrated = Migration {
        from: 1,
        to: 5,
        copy: Some(copy.clone()),
    };
    assert_eq!(opened.migrated, Some(migrated));
    assert!(!opened.new && !opened.killed && opened.damaged.is_none());
    let raw = Connection::open(directory.path().join(FILE)).unwrap();
    assert_eq!(schema(&raw), schema(&Opened::new().raw()));
    verify(&raw);
    let mut reader = StoreReader::open(directory.path()).unwrap().unwrap();
    assert_eq!(packets(&mut reader), (15, 5));
    let view = reader.view().unwrap();
    let flows = view.flows(&FlowQuery::default()).unwrap().flows;
    assert_eq!(flows.len(), 2);
    assert_eq!(flows[0].device, Some(mac(1)));
    assert_eq!(flows[0].policies, [policy("strict"), policy("all")]);
    assert_eq!(
        (flows[0].first.as_second(), flows[0].last.as_second()),
        (NOON - 3 * 86_400 - 7, NOON + 250)
    );
    assert_eq!(
        (flows[0].claims[0].name.as_str(), flows[0].claims[0].source),
        ("a.example", NameSource::Dns)
    );
    assert_eq!(flows[0].claims[0].chain, ["b.example"]);
    // The migration filled this column from the rows.
    assert_eq!(
        view.oldest().unwrap().unwrap().as_second(),
        NOON - 3 * 86_400 - 7
    );
    assert_eq!(view.devices(None, 9).unwrap()[0].facts.len(), 1);
    assert_eq!(view.events(0, 9).unwrap().len(), 1);
    drop(view);
    // The copy is the old store.
    let before = Connection::open(directory.path().join(&copy)).unwrap();
    let version: i64 = before
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1);
    drop(before);
    store.compact(noon() + days(31)).unwrap();
    assert!(!directory.path().join(&copy).exists());
}

/// A step fails, because the old store has a table that the step creates.
#[test]
fn a_migration_that_fails_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    old(directory.path());
    let path = directory.path().join(FILE);
    Connection::open(&path)
        .unwrap()
        .execute_batch("ALTER TABLE bucket ADD COLUMN earliest INTEGER")
        .unwrap();
    let before = schema(&Connection::open(&path).unwrap());
    Store::open(directory.path(), StoreSettings::default(), noon()).unwrap_err();
    let raw = Connection::open(&path).unwrap();
    assert_eq!(schema(&raw), before);
    let version: i64 = raw
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1);
}

/// The dump has the tables that step 1 creates, so it is a store that once was.
#[test]
fn the_dump_has_the_schema_of_its_version() {
    let dump = Connection::open_in_memory().unwrap();
    dump.execute_batch(VERSION_1).unwrap();
    let created = Connection::open_in_memory().unwrap();
    created.execute_batch(STEPS[0]).unwrap();
    assert_eq!(schema(&dump), schema(&created));
}
