//! The line about the packets of a device in a bucket, made from the rows.

use std::{collections::BTreeMap, fmt::Write as _};

use rusqlite::{Connection, OptionalExtension as _};
use sha2::{Digest as _, Sha256};

use super::super::{
    bucket,
    error::{StoreError, on},
    rows,
};
use crate::{
    clock::to_the_second,
    merkle::{Line, SumOfList},
};

/// The line, and the number of its rows.
pub(super) struct Packets {
    pub(super) line: Line,
    pub(super) rows: u64,
}

/// Columns that tell two rows of a device and bucket apart, whatever their row numbers are.
const SELECT: &str = "SELECT hex(destination), protocol, port, unreadable, interface.name,
        direction, policies, token, passed_packets, passed_bytes, dropped_packets,
        dropped_bytes, first, last
    FROM count JOIN flow_end ON flow_end.id = flow_end
        JOIN interface ON interface.id = interface JOIN list ON list.id = list
        JOIN instance ON instance.id = instance
    WHERE bucket = ?1 AND count.device = ?2
    ORDER BY 1, 2, 3, 4, 5, 6, 7, 8";

/// Reads the rows. `None` if there are none.
pub(super) fn read(
    connection: &Connection,
    number: i64,
    device: i64,
) -> Result<Option<Packets>, StoreError> {
    let mut statement = connection.prepare_cached(SELECT).map_err(on("read"))?;
    let mut found = statement.query([number, device]).map_err(on("read"))?;
    let (mut hash, mut sums, mut rows) = (Sha256::new(), BTreeMap::new(), 0);
    let mut text = String::new();
    while let Some(row) = found.next().map_err(on("read"))? {
        let list = read_row(row, &mut text).map_err(on("read"))?;
        hash.update(&text);
        let (passed, dropped) = (
            rows::count(row, 8).map_err(on("read"))?,
            rows::count(row, 10).map_err(on("read"))?,
        );
        let sum: &mut (u64, u64, u64) = sums.entry(list).or_default();
        for (sum, counts) in [
            (&mut sum.0, [passed.packets, dropped.packets]),
            (&mut sum.1, [passed.bytes, dropped.bytes]),
            (&mut sum.2, [dropped.packets, 0]),
        ] {
            *sum = counts.into_iter().fold(*sum, u64::saturating_add);
        }
        rows += 1;
    }
    if rows == 0 {
        return Ok(None);
    }
    let sums = sums.into_iter().map(|(list, (packets, bytes, dropped))| {
        let policies = rows::policies(&list)?;
        Ok(SumOfList {
            policies: policies.iter().map(ToString::to_string).collect(),
            packets,
            bytes,
            dropped,
        })
    });
    let damaged = || StoreError::Content { table: "bucket" };
    let since = bucket::from_seconds(bucket::start(number)).ok_or_else(damaged)?;
    let line = Line::Packets {
        since: to_the_second(since),
        seconds: span(connection, number)?.saturating_mul(bucket::SECONDS),
        device: mac(connection, device)?,
        sums: sums.collect::<Result<_, StoreError>>()?,
        rows,
        sha256: hex::encode(hash.finalize()),
    };
    Ok(Some(Packets { line, rows }))
}

/// Writes a row as text, its columns separated by tabs. Returns the list of policies.
fn read_row(row: &rusqlite::Row<'_>, text: &mut String) -> rusqlite::Result<String> {
    text.clear();
    for column in 0..14 {
        // The destination, the interface and the list are texts.
        let _ = match column {
            0 | 4 | 6 => write!(text, "{}\t", row.get::<_, String>(column)?),
            _ => write!(text, "{}\t", row.get::<_, i64>(column)?),
        };
    }
    text.push('\n');
    row.get(6)
}

fn span(connection: &Connection, number: i64) -> Result<i64, StoreError> {
    let select = "SELECT span FROM bucket WHERE number = ?1";
    let span: Option<i64> = connection
        .prepare_cached(select)
        .and_then(|mut statement| statement.query_row([number], |row| row.get(0)).optional())
        .map_err(on("read"))?;
    Ok(span.unwrap_or(1))
}

/// MAC of a device; `None` for all devices beyond the limits of the store.
pub(super) fn mac(connection: &Connection, device: i64) -> Result<Option<String>, StoreError> {
    let select = "SELECT mac FROM device WHERE id = ?1";
    let mac: Option<Vec<u8>> = connection
        .prepare_cached(select)
        .and_then(|mut statement| statement.query_row([device], |row| row.get(0)).optional())
        .map_err(on("read"))?;
    let mac = rows::mac(&mac.unwrap_or_default())?;
    Ok(mac.map(|mac| mac.to_string()))
}
