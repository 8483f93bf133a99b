//! Brings the schema of an older file to the current version.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

use super::{
    aside,
    error::{StoreError, on},
    schema::{APPLICATION, STEPS},
};

/// The version that this program reads and writes.
pub(super) fn newest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Returns the version of a file's schema. It is 0 for an empty file.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let number = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(on("open"))
    };
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(on("open"))?;
    let is_empty = application == 0 && version == 0 && tables == 0;
    if application != APPLICATION && !is_empty {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
        });
    }
    if version > newest() {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found: version,
            known: newest(),
        });
    }
    Ok(version)
}

/// Migrates a file from an older version, in one transaction. Copies a file that is not
/// empty beforehand, if the disk has room for twice the copy. Returns the name of the
/// copy.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    version: i64,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let copy = if version == 0 {
        None
    } else {
        aside::copy(connection, path, version, now)?
    };
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(on("migrate"))?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step).map_err(on("migrate"))?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION)
        .map_err(on("migrate"))?;
    transaction
        .pragma_update(None, "user_version", newest())
        .map_err(on("migrate"))?;
    transaction.commit().map_err(on("migrate"))?;
    Ok(copy)
}
