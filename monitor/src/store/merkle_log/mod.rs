//! The Merkle log in the store: this module appends and erases lines, and proves to a reader
//! that a line is in the log.
//!
//! A drain changes rows of [`count`](super::schema); `unlogged` then names their bucket and
//! device. When a bucket is over, or before a report, each of them becomes a line. An erased
//! line keeps its hash, so that the tree stays as it is.

mod check;
mod claims;
mod fewer;
mod key;
mod packets;
mod prove;
mod prune;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

pub use check::{LogCheck, WrongLine};
pub use fewer::{EarlierLines, Fewer};
pub use key::{KEY_FILE, known_key, signing_key};
pub use prove::{AskedProof, MOST_LINES};
pub(super) use prune::{make_room, prune};

use super::{
    Store, bucket,
    error::{StoreError, on},
    room::CHUNK,
    rows,
    types::Event,
    writer::Writer,
};
use crate::{
    clock::to_the_second,
    evidence::claim::{Claim, FlowEnd},
    merkle::{Entry, Frontier, Hash, Line, SALT_BYTES, leaf_hash},
};

/// The state of the log before its stored leaves.
struct Base {
    origin: String,
    frontier: Frontier,
}

impl Store {
    /// Appends a line for the packets of each bucket and device that changed, about 20,000
    /// rows at once. `all` includes the bucket of `now`, which goes on. Returns true if more
    /// are left.
    pub fn log_step(&mut self, now: Timestamp, all: bool) -> Result<bool, StoreError> {
        let end = if all { i64::MAX } else { bucket::of(now) };
        if !has_unlogged(&self.connection, end)? {
            return Ok(false);
        }
        self.transaction(now, |writer| {
            let mut rows = 0;
            while rows < u64::from(CHUNK) {
                let Some((bucket, device)) = next_unlogged(writer.connection, end)? else {
                    return Ok(false);
                };
                rows += 1 + append_packets(writer, bucket, device)?;
            }
            Ok(true)
        })
    }

    /// Appends a line for all packets that the store holds.
    pub fn log_all(&mut self, now: Timestamp) -> Result<(), StoreError> {
        while self.log_step(now, true)? {}
        Ok(())
    }
}

fn has_unlogged(connection: &Connection, end: i64) -> Result<bool, StoreError> {
    Ok(next_unlogged(connection, end)?.is_some())
}

fn next_unlogged(connection: &Connection, end: i64) -> Result<Option<(i64, i64)>, StoreError> {
    let select = "SELECT bucket, device FROM unlogged WHERE bucket < ?1
        ORDER BY bucket, device LIMIT 1";
    connection
        .prepare_cached(select)
        .and_then(|mut statement| {
            statement
                .query_row([end], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .map_err(on("read"))
}

/// Notes that the rows of a device in a bucket changed.
pub(super) fn changed(writer: &Writer<'_>, bucket: i64, device: i64) -> Result<(), StoreError> {
    let insert = "INSERT OR IGNORE INTO unlogged VALUES (?1, ?2)";
    writer.change(insert, [bucket, device])?;
    Ok(())
}

/// Notes that all rows of a bucket changed.
pub(super) fn bucket_changed(writer: &Writer<'_>, bucket: i64) -> Result<(), StoreError> {
    let insert = "INSERT OR IGNORE INTO unlogged
        SELECT DISTINCT bucket, device FROM count WHERE bucket = ?1";
    writer.change(insert, [bucket])?;
    Ok(())
}

/// Erases the lines about the packets of a bucket, of one device or of all, because their rows
/// are gone.
pub(super) fn rows_gone(
    writer: &Writer<'_>,
    bucket: i64,
    device: Option<i64>,
) -> Result<(), StoreError> {
    let statements = match device {
        None => [
            "UPDATE log SET salt = NULL WHERE bucket = ?1 AND ?2 IS NULL AND salt IS NOT NULL",
            "DELETE FROM unlogged WHERE bucket = ?1 AND ?2 IS NULL",
        ],
        Some(_) => [
            "UPDATE log SET salt = NULL WHERE bucket = ?1 AND device = ?2 AND salt IS NOT NULL",
            "DELETE FROM unlogged WHERE bucket = ?1 AND device = ?2",
        ],
    };
    for statement in statements {
        writer.change(statement, params![bucket, device])?;
    }
    Ok(())
}

/// Erases all lines about a device. A line about the erasure stays.
pub(super) fn forget(writer: &Writer<'_>, device: i64) -> Result<(), StoreError> {
    writer.change("DELETE FROM unlogged WHERE device = ?1", [device])?;
    let erase = "UPDATE log SET salt = NULL, line = NULL
        WHERE device = ?1 AND (salt IS NOT NULL OR line IS NOT NULL)";
    let erased = writer.change(erase, [device])?;
    let unlink = "UPDATE log SET bucket = NULL, device = NULL WHERE device = ?1";
    writer.change(unlink, [device])?;
    if erased > 0 {
        let at = to_the_second(writer.now);
        let lines = erased as u64;
        append(writer, Line::Forgotten { at, lines }, None)?;
    }
    Ok(())
}

/// Erases the lines about the claims of a flow end, because these are gone.
pub(super) fn claims_gone(writer: &Writer<'_>, flow_end: i64) -> Result<(), StoreError> {
    let erase = "UPDATE log SET salt = NULL
        WHERE number IN (SELECT line FROM claim WHERE flow_end = ?1 AND line IS NOT NULL)";
    writer.change(erase, [flow_end])?;
    Ok(())
}

/// Appends a line about a new claim. Returns its number, which the claim must get.
pub(super) fn claim(
    writer: &Writer<'_>,
    device: i64,
    end: &FlowEnd,
    claim: &Claim,
) -> Result<i64, StoreError> {
    let salt = salt()?;
    let line = Line::Claim {
        at: to_the_second(writer.now),
        device: end.device.to_string(),
        destination: end.destination.to_string(),
        protocol: end.protocol,
        port: end.port,
        how: claim.source.word().to_owned(),
        name: claim.name.clone(),
    };
    let number = next_number(writer)?;
    let leaf = leaf_hash(text(line, salt)?.as_bytes());
    let insert = "INSERT INTO log VALUES (?1, ?2, NULL, ?3, ?4, NULL, ?5)";
    let at = writer.now.as_millisecond();
    writer.change(insert, params![number, at, device, salt, leaf])?;
    Ok(number)
}

/// Appends a line about a stored event, with the row number of its device.
pub(super) fn event(
    writer: &Writer<'_>,
    event: &Event,
    device: Option<i64>,
) -> Result<(), StoreError> {
    let line = Line::Event {
        at: to_the_second(event.at),
        device: event.device.map(|mac| mac.to_string()),
        event: event.json.clone(),
    };
    append(writer, line, device)?;
    Ok(())
}

/// Appends a line for the packets of a device in a bucket, in place of its earlier ones.
/// Returns the number of rows.
fn append_packets(writer: &Writer<'_>, bucket: i64, device: i64) -> Result<u64, StoreError> {
    rows_gone(writer, bucket, Some(device))?;
    let Some(packets) = packets::read(writer.connection, bucket, device)? else {
        return Ok(0);
    };
    let salt = salt()?;
    let text = text(packets.line, salt)?;
    let number = next_number(writer)?;
    let insert = "INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6)";
    let (at, leaf) = (writer.now.as_millisecond(), leaf_hash(text.as_bytes()));
    writer.change(insert, params![number, at, bucket, device, salt, leaf])?;
    Ok(packets.rows)
}

/// Appends a line that has its text. Returns its number.
fn append(writer: &Writer<'_>, line: Line, device: Option<i64>) -> Result<i64, StoreError> {
    let number = next_number(writer)?;
    append_at(writer, number, line, device)
}

fn append_at(
    writer: &Writer<'_>,
    number: i64,
    line: Line,
    device: Option<i64>,
) -> Result<i64, StoreError> {
    let text = text(line, salt()?)?;
    let insert = "INSERT INTO log VALUES (?1, ?2, NULL, ?3, NULL, ?4, ?5)";
    let (at, leaf) = (writer.now.as_millisecond(), leaf_hash(text.as_bytes()));
    writer.change(insert, params![number, at, device, text, leaf])?;
    Ok(number)
}

/// The number of the next line. Begins the log if there is none.
fn next_number(writer: &Writer<'_>) -> Result<i64, StoreError> {
    // With `max` and HAVING, SQLite would read all lines.
    let last = writer.first("SELECT number FROM log ORDER BY number DESC LIMIT 1", [])?;
    if let Some(last) = last {
        return last.checked_add(1).ok_or_else(damaged);
    }
    if let Some(base) = base(writer.connection)? {
        return Ok(rows::number(base.frontier.size()));
    }
    let origin = format!("monitor-evidence/{}", hex::encode(salt()?));
    let begin = "INSERT INTO log_base VALUES (0, ?1, 0, x'')";
    writer.change(begin, [origin])?;
    let at = to_the_second(writer.now);
    Ok(append_at(writer, 0, Line::Began { at }, None)? + 1)
}

/// Name of the log, if it has begun.
pub(super) fn origin(connection: &Connection) -> Result<Option<String>, StoreError> {
    Ok(base(connection)?.map(|base| base.origin))
}

fn base(connection: &Connection) -> Result<Option<Base>, StoreError> {
    let select = "SELECT origin, size, nodes FROM log_base";
    let found: Option<(String, i64, Vec<u8>)> = connection
        .prepare_cached(select)
        .and_then(|mut statement| {
            statement
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()
        })
        .map_err(on("read"))?;
    let Some((origin, size, nodes)) = found else {
        return Ok(None);
    };
    let nodes = nodes.chunks(32).map(leaf).collect::<Result<_, _>>()?;
    let frontier = Frontier::new(size.unsigned_abs(), nodes).ok_or_else(damaged)?;
    Ok(Some(Base { origin, frontier }))
}

fn damaged() -> StoreError {
    StoreError::Content { table: "log" }
}

fn leaf(bytes: &[u8]) -> Result<Hash, StoreError> {
    bytes.try_into().map_err(|_| damaged())
}

fn salt() -> Result<[u8; SALT_BYTES], StoreError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|_| StoreError::Random)?;
    Ok(salt)
}

fn text(line: Line, salt: [u8; SALT_BYTES]) -> Result<String, StoreError> {
    Entry::new(line, salt).to_text().map_err(|_| damaged())
}
