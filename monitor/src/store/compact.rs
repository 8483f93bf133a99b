//! Removes rows that are older than the retention, and merges old buckets into hours.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, params};

use super::{
    Store, aside, bucket, bucket_sum,
    error::{StoreError, on},
    merkle_log, records, remove,
    room::CHUNK,
    schema::PAGE,
    types::Removal,
    writer::{Known, Writer},
};

/// Age at which buckets of five minutes are merged into hours.
const MERGE_AFTER: SignedDuration = SignedDuration::from_hours(48);

/// Number of flow ends that one transaction removes, with their claims.
const ENDS: u32 = 5_000;

/// Number of unused pages that one step returns to the file system.
const PAGES: u32 = 1_000;

/// What [`Store::compact`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Rows that were removed because they were older than the retention.
    pub expired: u64,
    /// Rows of five minutes that were merged into rows of an hour.
    pub merged: u64,
    /// Flow ends and claims that were removed because no rows used them.
    pub unused: u64,
    /// True if another step has work to do.
    pub more: bool,
}

/// How far the search for unused flow ends is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sweep {
    /// Flow ends that were last used before this day are unused.
    day: Option<i64>,
    /// Row number of the last flow end that was looked at. `None` if the search is done.
    after: Option<i64>,
    /// Day in which the small tables were last tidied.
    tidied: Option<i64>,
}

impl Store {
    /// Does everything that is due: removes rows that are older than the retention, merges
    /// buckets that are older than 48 hours into hours, and removes what no row uses.
    /// While the last stored state of the clock is "not synchronised", removes nothing by
    /// age.
    ///
    /// A caller that must not wait calls [`Store::compact_step`].
    pub fn compact(&mut self, now: Timestamp) -> Result<Compacted, StoreError> {
        let mut sum = Compacted::default();
        loop {
            let step = self.compact_step(now)?;
            sum.expired += step.expired;
            sum.merged += step.merged;
            sum.unused += step.unused;
            if !step.more {
                return Ok(sum);
            }
        }
    }

    /// Does one part of [`Store::compact`], in one transaction of about 20,000 rows.
    pub fn compact_step(&mut self, now: Timestamp) -> Result<Compacted, StoreError> {
        let oldest = self.oldest(now);
        let step = self.transaction(now, |writer| {
            let mut step = Compacted::default();
            if records::is_synchronised(writer)? {
                let end = bucket::hour(bucket::of(oldest));
                step.expired = remove::before(writer, end, Removal::Expired)?.rows;
            }
            if step.expired == 0 {
                step.merged = merge(writer)?;
            }
            step.more = step.expired + step.merged > 0;
            Ok(step)
        })?;
        if step.more {
            return Ok(step);
        }
        if let Some(unused) = self.sweep_step(now)? {
            let more = true;
            return Ok(Compacted {
                unused,
                more,
                ..step
            });
        }
        self.tidy(now, oldest)?;
        let more = self.vacuum_step()?;
        Ok(Compacted { more, ..step })
    }

    /// Returns the time before which the store keeps nothing.
    #[must_use]
    pub fn oldest(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.settings.keep)
            .unwrap_or(Timestamp::MIN)
    }

    /// Removes flow ends that no row uses. Returns `None` if the search is done.
    fn sweep_step(&mut self, now: Timestamp) -> Result<Option<u64>, StoreError> {
        let day = self.first_day(now)?;
        if self.sweep.day != Some(day) {
            self.sweep.day = Some(day);
            self.sweep.after = Some(i64::MIN);
        }
        let Some(after) = self.sweep.after else {
            return Ok(None);
        };
        let (removed, last) = self.transaction(now, |writer| {
            let found = unused_ends(writer, after, day)?;
            let last = found
                .last()
                .copied()
                .filter(|_| found.len() >= ENDS as usize);
            Ok((remove::remove_ends(writer, &found)?, last))
        })?;
        self.sweep.after = last;
        Ok(Some(removed))
    }

    /// Returns the day of the oldest bucket. Without buckets, it is today.
    fn first_day(&self, now: Timestamp) -> Result<i64, StoreError> {
        let oldest: Option<i64> = self
            .connection
            .query_row("SELECT min(number) FROM bucket", [], |row| row.get(0))
            .map_err(on("read"))?;
        let now = bucket::of(now);
        Ok(bucket::day(oldest.map_or(now, |oldest| oldest.min(now))))
    }

    /// Removes old rows of the small tables, once a day.
    fn tidy(&mut self, now: Timestamp, oldest: Timestamp) -> Result<(), StoreError> {
        let today = bucket::day(bucket::of(now));
        if self.sweep.tidied == Some(today) {
            return Ok(());
        }
        let first_day = self.first_day(now)?;
        self.transaction(now, |writer| {
            if records::is_synchronised(writer)? {
                tidy_tables(writer, oldest, first_day)?;
            }
            Ok(())
        })?;
        // Lists may be gone.
        self.known = Known::default();
        aside::remove_older(&self.path, now, self.settings.keep)?;
        self.sweep.tidied = Some(today);
        Ok(())
    }

    /// Returns unused pages to the file system, if more than a quarter of the file is
    /// unused, or if the file is larger than it may be. Returns true if more pages are
    /// left.
    fn vacuum_step(&mut self) -> Result<bool, StoreError> {
        let used = self.used()?;
        let many = (used.database / 4).max(u64::from(PAGES * PAGE));
        let is_too_large = used.database > self.settings.database() && used.unused > 0;
        if used.unused <= many && !is_too_large {
            return Ok(false);
        }
        self.return_pages(PAGES)?;
        Ok(true)
    }

    /// Returns at most `most` unused pages to the file system.
    pub(super) fn return_pages(&mut self, most: u32) -> Result<(), StoreError> {
        let pragma = format!("PRAGMA incremental_vacuum({most})");
        let mut statement = self.connection.prepare(&pragma).map_err(on("shrink"))?;
        let mut rows = statement.query([]).map_err(on("shrink"))?;
        // Each step returns one page.
        while rows.next().map_err(on("shrink"))?.is_some() {}
        Ok(())
    }
}

/// Merges about [`CHUNK`] rows into hours. Returns their number.
fn merge(writer: &Writer<'_>) -> Result<u64, StoreError> {
    let before = writer
        .now
        .checked_sub(MERGE_AFTER)
        .unwrap_or(Timestamp::MIN);
    let end = bucket::hour(bucket::of(before));
    let mut merged = 0;
    while merged < u64::from(CHUNK) {
        let select = "SELECT number, earliest FROM bucket
            WHERE span = 1 AND number < ?1 ORDER BY number LIMIT 1";
        let found: Option<(i64, i64)> = writer
            .connection
            .prepare_cached(select)
            .and_then(|mut statement| {
                statement
                    .query_row([end], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(on("read"))?;
        let Some((number, earliest)) = found else {
            break;
        };
        let hour = bucket::hour(number);
        let upsert = "INSERT INTO bucket (number, span, earliest) VALUES (?1, ?2, ?3)
            ON CONFLICT DO UPDATE SET span = excluded.span,
                earliest = min(earliest, excluded.earliest)";
        writer.change(upsert, params![hour, bucket::PER_HOUR, earliest])?;
        if number != hour {
            merged += merge_bucket(writer, number, hour)?;
        }
        merkle_log::bucket_changed(writer, hour)?;
    }
    Ok(merged)
}

/// Moves all rows of a bucket into the bucket of its hour, and removes the bucket.
fn merge_bucket(writer: &Writer<'_>, number: i64, hour: i64) -> Result<u64, StoreError> {
    let add = "INSERT INTO count
        SELECT ?2, device, flow_end, unreadable, interface, direction, list, instance,
            passed_packets, passed_bytes, dropped_packets, dropped_bytes,
            first + ?3, last + ?3
        FROM count WHERE bucket = ?1
        ON CONFLICT DO UPDATE SET
            passed_packets = passed_packets + excluded.passed_packets,
            passed_bytes = passed_bytes + excluded.passed_bytes,
            dropped_packets = dropped_packets + excluded.dropped_packets,
            dropped_bytes = dropped_bytes + excluded.dropped_bytes,
            first = min(first, excluded.first), last = max(last, excluded.last)";
    let later = bucket::start(number).saturating_sub(bucket::start(hour));
    writer.change(add, [number, hour, later])?;
    bucket_sum::merge(writer, number, hour)?;
    let rows = writer.change("DELETE FROM count WHERE bucket = ?1", [number])?;
    writer.change("DELETE FROM bucket WHERE number = ?1", [number])?;
    merkle_log::rows_gone(writer, number, None)?;
    Ok(rows as u64)
}

fn unused_ends(writer: &Writer<'_>, after: i64, day: i64) -> Result<Vec<i64>, StoreError> {
    let select = "SELECT id FROM flow_end WHERE id > ?1 AND day < ?2 ORDER BY id LIMIT ?3";
    writer
        .connection
        .prepare_cached(select)
        .and_then(|mut statement| {
            let found = statement.query_map(params![after, day, ENDS], |row| row.get(0))?;
            found.collect()
        })
        .map_err(on("read"))
}

/// Removes rows of the small tables that are older than `oldest`, and devices that were
/// last seen before the first day of the rows. Keeps the instance that was used last, with
/// its sums, because the kernel may still count in it.
fn tidy_tables(writer: &Writer<'_>, oldest: Timestamp, first_day: i64) -> Result<(), StoreError> {
    let keep = oldest;
    let oldest_bucket = bucket::of(oldest);
    let oldest = oldest.as_millisecond();
    let first_day = bucket::start(first_day.saturating_mul(bucket::PER_DAY)) * 1_000;
    writer.change("DELETE FROM event WHERE at < ?1", [oldest])?;
    // A mark does not change when its device was seen, but it keeps the device.
    writer.change(
        "DELETE FROM device WHERE id <> 0 AND last < ?1 AND id NOT IN
            (SELECT device FROM event WHERE kind = 'mark' AND device IS NOT NULL)",
        [first_day.min(oldest)],
    )?;
    writer.change("DELETE FROM loss WHERE bucket < ?1", [oldest_bucket])?;
    for delete in [
        "DELETE FROM clock WHERE at < ?1 AND at < (SELECT max(at) FROM clock)",
        "DELETE FROM attachment WHERE until < ?1",
        "DELETE FROM generation WHERE until < ?1",
        "DELETE FROM device_fact WHERE last < ?1",
        "DELETE FROM encrypted WHERE last < ?1",
        "DELETE FROM setup WHERE at < ?1 AND at < (SELECT max(at) FROM setup WHERE at < ?1)",
        "DELETE FROM ruleset WHERE at < ?1
            AND hash NOT IN (SELECT CAST(ruleset AS TEXT) FROM generation)",
        "DELETE FROM instance WHERE used < ?1
            AND id <> (SELECT id FROM instance ORDER BY used DESC, id DESC LIMIT 1) AND (
            SELECT coalesce(sum(iif(reason = 'written', 1, -1)
                * (passed_packets + dropped_packets)), 0)
            FROM total WHERE instance = instance.id) = 0",
    ] {
        writer.change(delete, [oldest])?;
    }
    for delete in [
        "DELETE FROM event WHERE device NOT IN (SELECT id FROM device)",
        "DELETE FROM device_fact WHERE device NOT IN (SELECT id FROM device)",
        "DELETE FROM encrypted WHERE device NOT IN (SELECT id FROM device)",
        "DELETE FROM generation WHERE instance NOT IN (SELECT id FROM instance)",
        "DELETE FROM total WHERE instance NOT IN (SELECT id FROM instance)",
        "DELETE FROM list WHERE id NOT IN (SELECT list FROM total)",
    ] {
        writer.change(delete, [])?;
    }
    remove::marks(writer)?;
    merkle_log::prune(writer, keep)
}
