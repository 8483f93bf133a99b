//! Keeps the sums of each bucket by list of policies. They follow the rows of `count` in the same
//! transaction. A contact is what a device sent, so answers are not in the sums.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{error::StoreError, rows, writer::Writer};
use crate::{evidence::flow::Flow, policy::Direction};

/// What a transaction adds to the sums.
#[derive(Default)]
pub(super) struct Added(BTreeMap<(i64, i64), (u64, u64)>);

impl Added {
    /// Notes a flow that was written into a bucket under a list.
    pub(super) fn note(&mut self, bucket: i64, list: i64, flow: &Flow) {
        if flow.key.direction == Direction::Out {
            let (passed, dropped) = self.0.entry((bucket, list)).or_default();
            *passed = passed.saturating_add(flow.passed.packets);
            *dropped = dropped.saturating_add(flow.dropped.packets);
        }
    }

    /// Writes what was noted.
    pub(super) fn write(self, writer: &Writer<'_>) -> Result<(), StoreError> {
        let upsert = "INSERT INTO bucket_sum VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO UPDATE SET
                passed_packets = passed_packets + excluded.passed_packets,
                dropped_packets = dropped_packets + excluded.dropped_packets";
        for ((bucket, list), (passed, dropped)) in self.0 {
            let (passed, dropped) = (rows::number(passed), rows::number(dropped));
            writer.change(upsert, params![bucket, list, passed, dropped])?;
        }
        Ok(())
    }
}

/// Moves the sums of a bucket into the bucket of its hour.
pub(super) fn merge(writer: &Writer<'_>, number: i64, hour: i64) -> Result<(), StoreError> {
    let add = "INSERT INTO bucket_sum
        SELECT ?2, list, passed_packets, dropped_packets FROM bucket_sum WHERE bucket = ?1
        ON CONFLICT DO UPDATE SET
            passed_packets = passed_packets + excluded.passed_packets,
            dropped_packets = dropped_packets + excluded.dropped_packets";
    writer.change(add, [number, hour])?;
    writer.change("DELETE FROM bucket_sum WHERE bucket = ?1", [number])?;
    Ok(())
}

/// Subtracts the rows of a device in a bucket. Call this before they are removed.
pub(super) fn subtract(writer: &Writer<'_>, number: i64, device: i64) -> Result<(), StoreError> {
    let add = "INSERT INTO bucket_sum
        SELECT bucket, list, -sum(passed_packets), -sum(dropped_packets)
        FROM count WHERE bucket = ?1 AND device = ?2 AND direction = 0 GROUP BY list
        ON CONFLICT DO UPDATE SET
            passed_packets = passed_packets + excluded.passed_packets,
            dropped_packets = dropped_packets + excluded.dropped_packets";
    writer.change(add, [number, device])?;
    let empty = "DELETE FROM bucket_sum
        WHERE bucket = ?1 AND passed_packets = 0 AND dropped_packets = 0";
    writer.change(empty, [number])?;
    Ok(())
}
