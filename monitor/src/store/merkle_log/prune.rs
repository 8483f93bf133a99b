//! Removes the leaves of old lines from the begin of the log.

use jiff::Timestamp;
use rusqlite::params;

use super::{super::rows, base, leaf};
use crate::store::{
    error::{StoreError, on},
    writer::Writer,
};

/// Erases lines that are older than `oldest`, and removes the leaves before the first line
/// that is left.
pub(in crate::store) fn prune(writer: &Writer<'_>, oldest: Timestamp) -> Result<(), StoreError> {
    let erase = "UPDATE log SET salt = NULL, line = NULL
        WHERE at < ?1 AND (salt IS NOT NULL OR line IS NOT NULL)";
    writer.change(erase, [oldest.as_millisecond()])?;
    // Row numbers of removed devices are used again.
    let unlink = "UPDATE log SET bucket = NULL, device = NULL, salt = NULL, line = NULL
        WHERE device NOT IN (SELECT id FROM device)";
    writer.change(unlink, [])?;
    let first_kept = "SELECT number FROM log
        WHERE salt IS NOT NULL OR line IS NOT NULL ORDER BY number LIMIT 1";
    // The last leaf stays, because it tells the number of the next one.
    let end = match writer.first(first_kept, [])? {
        Some(number) => number,
        None => last(writer)?,
    };
    remove_before(writer, end)
}

/// Removes the oldest quarter of the leaves, because the store is full. Packets whose lines
/// are gone get new ones.
pub(in crate::store) fn make_room(writer: &Writer<'_>) -> Result<(), StoreError> {
    let count = "SELECT count(*) FROM log";
    let quarter = writer.first(count, [])?.unwrap_or(0) / 4;
    let first = writer.first("SELECT number FROM log ORDER BY number LIMIT 1", [])?;
    let end = first
        .unwrap_or(0)
        .saturating_add(quarter)
        .min(last(writer)?);
    let again = "INSERT OR IGNORE INTO unlogged
        SELECT bucket, device FROM log WHERE number < ?1 AND bucket IS NOT NULL AND salt IS NOT NULL";
    writer.change(again, [end])?;
    remove_before(writer, end)
}

fn last(writer: &Writer<'_>) -> Result<i64, StoreError> {
    let last = writer.first("SELECT number FROM log ORDER BY number DESC LIMIT 1", [])?;
    Ok(last.unwrap_or(0))
}

/// Removes the leaves before `end`. The tree of the removed leaves stays as its largest
/// complete nodes.
fn remove_before(writer: &Writer<'_>, end: i64) -> Result<(), StoreError> {
    let Some(mut base) = base(writer.connection)? else {
        return Ok(());
    };
    let select = "SELECT leaf FROM log WHERE number < ?1 ORDER BY number";
    let mut statement = writer.connection.prepare(select).map_err(on("read"))?;
    let mut leaves = statement.query([end]).map_err(on("read"))?;
    while let Some(row) = leaves.next().map_err(on("read"))? {
        let bytes: Vec<u8> = row.get(0).map_err(on("read"))?;
        base.frontier.push(leaf(&bytes)?);
    }
    let nodes = base.frontier.nodes().concat();
    let update = "UPDATE log_base SET size = ?1, nodes = ?2";
    writer.change(update, params![rows::number(base.frontier.size()), nodes])?;
    writer.change("DELETE FROM log WHERE number < ?1", [end])?;
    writer.change("DELETE FROM reported WHERE number < ?1", [end])?;
    writer.change("UPDATE claim SET line = NULL WHERE line < ?1", [end])?;
    Ok(())
}
