//! The lines about claims, made from their rows.

use rusqlite::{Connection, Params};

use super::{damaged, prove::MOST_LINES, text};
use crate::{
    clock::to_the_second,
    merkle::{Line, SALT_BYTES},
    store::{
        bucket,
        error::{StoreError, on},
        rows,
    },
};

/// A line that is not about packets.
pub(super) struct TextLine {
    /// Row number of its device; `None` for all.
    pub(super) device: Option<i64>,
    pub(super) number: i64,
    pub(super) text: String,
}

const SELECT: &str = "SELECT log.device, log.number, salt, log.at, mac, destination, protocol,
        port, source, name
    FROM log JOIN claim ON claim.line = log.number JOIN flow_end ON flow_end.id = flow_end
        JOIN device ON device.id = flow_end.device
    WHERE salt IS NOT NULL AND bucket IS NULL AND log.device = flow_end.device AND ";

/// The latest lines before `end` that were appended between two times, in milliseconds since
/// 1970-01-01T00:00:00Z, and the number of further ones.
pub(super) fn between(
    connection: &Connection,
    [since, until]: [i64; 2],
    end: i64,
) -> Result<(Vec<TextLine>, u64), StoreError> {
    let chosen = "log.at BETWEEN ?1 AND ?2 AND log.number < ?3";
    let latest = format!("{chosen} ORDER BY log.number DESC LIMIT {MOST_LINES}");
    let lines = lines(connection, &latest, [since, until, end])?;
    let count = format!(
        "SELECT count(*) FROM log JOIN claim ON claim.line = log.number
        WHERE salt IS NOT NULL AND bucket IS NULL AND {chosen}"
    );
    let all: i64 = connection
        .query_row(&count, [since, until, end], |row| row.get(0))
        .map_err(on("read"))?;
    let more = all.unsigned_abs().saturating_sub(lines.len() as u64);
    Ok((lines, more))
}

/// The text of a line. `None` if its claim is gone.
pub(super) fn text_of(connection: &Connection, number: i64) -> Result<Option<String>, StoreError> {
    let found = lines(connection, "log.number = ?1", [number])?;
    Ok(found.into_iter().next().map(|line| line.text))
}

fn lines(
    connection: &Connection,
    condition: &str,
    values: impl Params,
) -> Result<Vec<TextLine>, StoreError> {
    let select = format!("{SELECT}{condition}");
    let mut statement = connection.prepare_cached(&select).map_err(on("read"))?;
    let mut found = statement.query(values).map_err(on("read"))?;
    let mut lines = Vec::new();
    while let Some(row) = found.next().map_err(on("read"))? {
        let row = Row::read(row).map_err(on("read"))?;
        lines.push(TextLine {
            device: Some(row.device),
            number: row.number,
            text: text(row.line()?, row.salt)?,
        });
    }
    Ok(lines)
}

struct Row {
    device: i64,
    number: i64,
    salt: [u8; SALT_BYTES],
    at: i64,
    mac: Vec<u8>,
    destination: Vec<u8>,
    protocol: u8,
    port: u16,
    how: String,
    name: String,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            device: row.get(0)?,
            number: row.get(1)?,
            salt: row.get(2)?,
            at: row.get(3)?,
            mac: row.get(4)?,
            destination: row.get(5)?,
            protocol: row.get(6)?,
            port: row.get(7)?,
            how: row.get(8)?,
            name: row.get(9)?,
        })
    }

    fn line(&self) -> Result<Line, StoreError> {
        let at = bucket::from_milliseconds(self.at).ok_or_else(damaged)?;
        let destination = rows::address(&self.destination, "flow_end")?.ok_or_else(damaged)?;
        Ok(Line::Claim {
            at: to_the_second(at),
            device: rows::mac(&self.mac)?.ok_or_else(damaged)?.to_string(),
            destination: destination.to_string(),
            protocol: self.protocol,
            port: self.port,
            how: self.how.clone(),
            name: self.name.clone(),
        })
    }
}
