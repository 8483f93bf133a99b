//! Removes rows of `count`, and moves their sums to `total`.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::{
    bucket, bucket_sum,
    error::{StoreError, on},
    merkle_log,
    room::CHUNK,
    types::Removal,
    writer::Writer,
};

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// Rows of `count`.
    pub(super) rows: u64,
    /// Flow ends, claims and other rows.
    pub(super) others: u64,
    /// End of the latest bucket, in seconds since 1970-01-01T00:00:00Z.
    until: Option<i64>,
}

impl Removed {
    pub(super) fn is_nothing(self) -> bool {
        self.rows == 0 && self.others == 0
    }

    pub(super) fn until(self) -> Option<Timestamp> {
        self.until.and_then(bucket::from_seconds)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.others += other.others;
        self.until = self.until.max(other.until);
    }
}

/// Removes the oldest rows, about [`CHUNK`]. If one device has more than half of all rows,
/// these are rows of this device. Otherwise also removes events and flow ends that are as
/// old as these rows. Without any rows, removes the oldest flow ends and events.
pub(super) fn oldest(writer: &Writer<'_>, reason: Removal) -> Result<Removed, StoreError> {
    if let Some(device) = greatest_device(writer)? {
        let mut removed = oldest_of(writer, device, reason)?;
        let kept = removed
            .until
            .map_or(i64::MIN, |until| until / bucket::SECONDS);
        removed.others = ends(writer, kept, Some(device))?;
        return Ok(removed);
    }
    let mut removed = before(writer, i64::MAX, reason)?;
    let kept = oldest_bucket(writer, i64::MAX)?.map_or(i64::MAX, |(number, _)| number);
    removed.others = ends(writer, kept, None)? + events(writer, kept)?;
    Ok(removed)
}

/// Returns the device that has more than half of all rows.
fn greatest_device(writer: &Writer<'_>) -> Result<Option<i64>, StoreError> {
    let select = "SELECT device FROM (
            SELECT device, count(*) AS own, sum(count(*)) OVER () AS all_rows
            FROM count GROUP BY device)
        WHERE own * 2 > all_rows";
    writer
        .connection
        .query_row(select, [], |row| row.get(0))
        .optional()
        .map_err(on("read"))
}

/// Removes the oldest rows in buckets before `end`, about [`CHUNK`].
pub(super) fn before(
    writer: &Writer<'_>,
    end: i64,
    reason: Removal,
) -> Result<Removed, StoreError> {
    let mut removed = Removed::default();
    while removed.rows < u64::from(CHUNK) {
        let Some((oldest, span)) = oldest_bucket(writer, end)? else {
            break;
        };
        let device = "SELECT device FROM count WHERE bucket = ?1 ORDER BY device LIMIT 1";
        let device = writer
            .connection
            .prepare_cached(device)
            .and_then(|mut statement| statement.query_row([oldest], |row| row.get(0)).optional())
            .map_err(on("read"))?;
        match device {
            Some(device) => removed.add(rows(writer, oldest, span, device, reason)?),
            None => {
                writer.change("DELETE FROM bucket WHERE number = ?1", [oldest])?;
            }
        }
    }
    Ok(removed)
}

fn oldest_bucket(writer: &Writer<'_>, end: i64) -> Result<Option<(i64, i64)>, StoreError> {
    let select = "SELECT number, span FROM bucket WHERE number < ?1 ORDER BY number LIMIT 1";
    writer
        .connection
        .prepare_cached(select)
        .and_then(|mut statement| {
            statement
                .query_row([end], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .map_err(on("read"))
}

/// Removes the oldest rows of a device, about [`CHUNK`].
pub(super) fn oldest_of(
    writer: &Writer<'_>,
    device: i64,
    reason: Removal,
) -> Result<Removed, StoreError> {
    let select = "SELECT number, span FROM bucket
        WHERE EXISTS (SELECT 1 FROM count WHERE bucket = number AND device = ?1)
        ORDER BY number";
    let mut statement = writer
        .connection
        .prepare_cached(select)
        .map_err(on("read"))?;
    let mut buckets = statement.query([device]).map_err(on("read"))?;
    let mut removed = Removed::default();
    while removed.rows < u64::from(CHUNK) {
        let Some(row) = buckets.next().map_err(on("read"))? else {
            break;
        };
        let number = row.get(0).map_err(on("read"))?;
        let span = row.get(1).map_err(on("read"))?;
        removed.add(rows(writer, number, span, device, reason)?);
    }
    Ok(removed)
}

/// Removes the rows of a device in a bucket.
fn rows(
    writer: &Writer<'_>,
    number: i64,
    span: i64,
    device: i64,
    reason: Removal,
) -> Result<Removed, StoreError> {
    let until = bucket::start(number.saturating_add(span));
    let move_sums = "INSERT INTO total
        SELECT instance, list, ?3, sum(passed_packets), sum(passed_bytes),
            sum(dropped_packets), sum(dropped_bytes), ?4
        FROM count WHERE bucket = ?1 AND device = ?2 GROUP BY instance, list
        ON CONFLICT DO UPDATE SET
            passed_packets = passed_packets + excluded.passed_packets,
            passed_bytes = passed_bytes + excluded.passed_bytes,
            dropped_packets = dropped_packets + excluded.dropped_packets,
            dropped_bytes = dropped_bytes + excluded.dropped_bytes,
            until = max(coalesce(until, excluded.until), excluded.until)";
    writer.change(move_sums, params![number, device, reason.word(), until])?;
    bucket_sum::subtract(writer, number, device)?;
    let delete = "DELETE FROM count WHERE bucket = ?1 AND device = ?2";
    let rows = writer.change(delete, [number, device])?;
    merkle_log::rows_gone(writer, number, Some(device))?;
    Ok(Removed {
        rows: rows as u64,
        others: 0,
        until: Some(until),
    })
}

/// Removes about [`CHUNK`] flow ends, with their claims, that were last used before the
/// day of a bucket, of one device or of all. The caller knows that no row of `count` in an
/// earlier bucket is left for these devices. Returns the number of removed rows.
fn ends(writer: &Writer<'_>, bucket: i64, device: Option<i64>) -> Result<u64, StoreError> {
    let select = "SELECT id FROM flow_end
        WHERE day < ?1 AND (?2 IS NULL OR device = ?2) LIMIT ?3";
    let found: Vec<i64> = writer
        .connection
        .prepare_cached(select)
        .and_then(|mut statement| {
            let rows = statement.query_map(params![bucket::day(bucket), device, CHUNK], |row| {
                row.get(0)
            })?;
            rows.collect()
        })
        .map_err(on("read"))?;
    remove_ends(writer, &found)
}

/// Removes about [`CHUNK`] events from before a bucket. Returns their number.
fn events(writer: &Writer<'_>, bucket: i64) -> Result<u64, StoreError> {
    let before = bucket::start(bucket).saturating_mul(1_000);
    let delete = "DELETE FROM event
        WHERE id IN (SELECT id FROM event ORDER BY id LIMIT ?2) AND at < ?1";
    let removed = writer.change(delete, params![before, CHUNK])?;
    if removed > 0 {
        marks(writer)?;
    }
    Ok(removed as u64)
}

/// Removes the copies of rows whose mark is gone.
pub(super) fn marks(writer: &Writer<'_>) -> Result<(), StoreError> {
    let delete = "DELETE FROM mark_count WHERE mark NOT IN (SELECT id FROM event)";
    writer.change(delete, [])?;
    Ok(())
}

/// Removes the oldest events beyond the limit.
pub(super) fn excess_events(writer: &Writer<'_>) -> Result<(), StoreError> {
    let last = writer.first("SELECT max(id) FROM event HAVING max(id) IS NOT NULL", [])?;
    match last {
        Some(last) => events_before(writer, last - i64::from(writer.limits.events)),
        None => Ok(()),
    }
}

/// Removes the events up to a number. Marks stay until they are old, so that no flood of
/// first contacts pushes them out.
pub(super) fn events_before(writer: &Writer<'_>, id: i64) -> Result<(), StoreError> {
    writer.change("DELETE FROM event WHERE id <= ?1 AND kind <> 'mark'", [id])?;
    Ok(())
}

/// Removes flow ends with their claims. Returns the number of removed rows.
pub(super) fn remove_ends(writer: &Writer<'_>, ends: &[i64]) -> Result<u64, StoreError> {
    let mut removed = 0;
    for end in ends {
        merkle_log::claims_gone(writer, *end)?;
        removed += writer.change("DELETE FROM claim WHERE flow_end = ?1", [end])?;
        removed += writer.change("DELETE FROM flow_end WHERE id = ?1", [end])?;
    }
    Ok(removed as u64)
}
