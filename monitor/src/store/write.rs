//! Writes the flows of a drained table.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use monitor_common::Count;
use rusqlite::{OptionalExtension as _, params};

use super::{
    Store, bucket, bucket_sum,
    error::{StoreError, on},
    merkle_log,
    records::add_event,
    rows::{self, AddressBytes},
    schema::WRITTEN,
    types::{Drained, Instance, Written},
    writer::{OTHERS, Position, Writer},
};
use crate::{
    evidence::{event::Happening, flow::Flow},
    policy::Direction,
};

/// Number of flows that are sorted and written at once. It bounds the memory.
const BATCH: usize = 4_096;

impl Store {
    /// Writes the flows of a drained table, and that the table is drained, in one
    /// transaction. A table whose epoch is not higher than the last one is already there;
    /// then the call changes nothing.
    ///
    /// On an error nothing is written. The caller must not empty the table. The first policy of
    /// a flow is the effective one, so a flow has at least one policy.
    pub fn write_drained(
        &mut self,
        drained: &Drained<'_>,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        self.make_room(now)?;
        let written = self.transaction(now, |writer| write_table(writer, drained))?;
        // The table is stored. If the checkpoint fails, the log grows and the next
        // transaction reports why.
        let _ = self.checkpoint_if_due(now);
        Ok(written)
    }

    /// Returns the epoch of the last drained table.
    pub fn drained(&self, instance: u64) -> Result<Option<u64>, StoreError> {
        last_epoch(&self.connection, instance)
    }
}

/// Returns the epoch of the last drained table.
pub(super) fn last_epoch(
    connection: &rusqlite::Connection,
    instance: u64,
) -> Result<Option<u64>, StoreError> {
    let select = "SELECT drained FROM instance WHERE token = ?1";
    let epoch: Option<Option<i64>> = connection
        .query_row(select, [rows::bits(instance)], |row| row.get(0))
        .optional()
        .map_err(on("read"))?;
    Ok(epoch.flatten().map(i64::cast_unsigned))
}

fn write_table(writer: &mut Writer<'_>, drained: &Drained<'_>) -> Result<Written, StoreError> {
    let before = last_epoch(writer.connection, drained.instance.token)?;
    if before.is_some_and(|before| before >= drained.epoch) {
        return Ok(Written {
            repeated: true,
            unnamed: 0,
        });
    }
    let instance = instance(writer, drained.instance)?;
    let mut sums = BTreeMap::new();
    let mut unnamed = 0;
    for flows in drained.flows.chunks(BATCH) {
        unnamed += write_flows(writer, instance, flows, &mut sums)?;
    }
    for (list, sum) in &sums {
        add_to_total(writer, instance, *list, sum)?;
    }
    let update = "UPDATE instance SET drained = ?2 WHERE id = ?1";
    writer.change(update, params![instance, rows::bits(drained.epoch)])?;
    Ok(Written {
        repeated: false,
        unnamed,
    })
}

/// Returns the row number of an instance. Creates the row if there is none.
pub(super) fn instance(writer: &Writer<'_>, instance: Instance) -> Result<i64, StoreError> {
    let upsert = "INSERT INTO instance (token, boot, created, used) VALUES (?1, ?2, ?3, ?3)
        ON CONFLICT (token) DO UPDATE SET used = max(used, excluded.used) RETURNING id";
    let (token, now) = (rows::bits(instance.token), writer.now.as_millisecond());
    writer
        .connection
        .prepare_cached(upsert)
        .and_then(|mut statement| {
            statement.query_row(params![token, instance.boot, now], |row| row.get(0))
        })
        .map_err(on("write"))
}

/// Sums by verdict.
#[derive(Default)]
struct Sum {
    passed: Count,
    dropped: Count,
}

/// A row of `count`. Sorts in the order of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    bucket: i64,
    device: i64,
    end: Option<i64>,
    unreadable: i64,
    interface: i64,
    direction: i64,
    list: i64,
    position: Position,
}

/// Writes flows, and adds their counts to the sums by list. Returns the number of flows
/// without a flow end of their own.
fn write_flows(
    writer: &mut Writer<'_>,
    instance: i64,
    flows: &[Flow],
    sums: &mut BTreeMap<i64, Sum>,
) -> Result<usize, StoreError> {
    // The order of the index of `flow_end`, then the order of `count`: each page is
    // written once.
    let mut sorted: Vec<&Flow> = flows.iter().collect();
    sorted.sort_by(|a, b| {
        a.key
            .destination
            .cmp(&b.key.destination)
            .then_with(|| a.key.cmp(&b.key))
    });
    let mut keyed = Vec::with_capacity(sorted.len());
    for flow in sorted {
        let (key, is_new) = key(writer, flow)?;
        // A contact is what a device sent.
        if is_new && flow.key.direction == Direction::Out {
            let what = Happening::first_contact(flow);
            add_event(writer, &what.of(flow.key.device, flow.first))?;
        }
        keyed.push((key, flow));
    }
    keyed.sort_by(|(a, flow), (b, other)| a.cmp(b).then_with(|| flow.key.cmp(&other.key)));
    note_buckets(writer, flows)?;
    let (mut unnamed, mut changed) = (0, BTreeSet::new());
    let mut added = bucket_sum::Added::default();
    for (key, flow) in keyed {
        let written = match key.end {
            Some(_) if write_named(writer, &key, instance, flow)? => key,
            _ => {
                unnamed += 1;
                write_unnamed(writer, key, instance, flow)?
            }
        };
        changed.insert((written.bucket, written.device));
        added.note(written.bucket, written.list, flow);
        let sum = sums.entry(written.list).or_default();
        sum.passed += flow.passed;
        sum.dropped += flow.dropped;
    }
    added.write(writer)?;
    for (bucket, device) in changed {
        merkle_log::changed(writer, bucket, device)?;
    }
    Ok(unnamed)
}

/// Returns the key of a flow's row, and true if its flow end is new. The key has no flow end
/// if no more may be created.
fn key(writer: &mut Writer<'_>, flow: &Flow) -> Result<(Key, bool), StoreError> {
    let position = writer.device(flow.key.device, flow.first, flow.last)?;
    let bucket = bucket::of(flow.last);
    let destination = AddressBytes::new(flow.key.destination);
    let (unreadable, port) = rows::port_numbers(flow.key.port);
    let protocol = flow.key.protocol;
    let end = writer.end(position, destination.as_slice(), protocol, port, bucket)?;
    let key = Key {
        bucket,
        device: writer.device_id(position),
        end: end.map(|end| end.id),
        unreadable,
        interface: writer.interface(&flow.key.interface)?,
        direction: rows::direction_number(flow.key.direction),
        list: writer.list(&flow.policies)?,
        position,
    };
    Ok((key, end.is_some_and(|end| end.is_new)))
}

/// Writes a flow into a row of its own. Returns false if no more rows may be created.
fn write_named(
    writer: &mut Writer<'_>,
    key: &Key,
    instance: i64,
    flow: &Flow,
) -> Result<bool, StoreError> {
    if update(writer, key, instance, flow)? {
        return Ok(true);
    }
    let fits = writer.take_row(key.bucket, key.device)?;
    if fits {
        insert(writer, key, instance, flow)?;
    }
    Ok(fits)
}

/// `unreadable` of rows for other destinations: no port.
const UNNAMED: i64 = 5;

/// Writes a flow under the other destinations of its device, with its effective policy
/// only. If the bucket is full and the device has no such row yet, writes the flow under
/// the other devices. Returns the key of the row.
fn write_unnamed(
    writer: &mut Writer<'_>,
    key: Key,
    instance: i64,
    flow: &Flow,
) -> Result<Key, StoreError> {
    let mut key = Key {
        end: Some(writer.other_end(key.position, key.bucket)?),
        unreadable: UNNAMED,
        list: writer.list(flow.policies.get(..1).unwrap_or_default())?,
        ..key
    };
    if update(writer, &key, instance, flow)? {
        return Ok(key);
    }
    if key.position != OTHERS && writer.is_full(key.bucket)? {
        key.device = writer.device_id(OTHERS);
        key.end = Some(writer.other_end(OTHERS, key.bucket)?);
        if update(writer, &key, instance, flow)? {
            return Ok(key);
        }
    }
    insert(writer, &key, instance, flow)?;
    Ok(key)
}

/// Notes the buckets of flows, with the time of their earliest packets.
fn note_buckets(writer: &Writer<'_>, flows: &[Flow]) -> Result<(), StoreError> {
    let mut buckets = BTreeMap::new();
    for flow in flows {
        let first = bucket::seconds(flow.first);
        let earliest = buckets.entry(bucket::of(flow.last)).or_insert(first);
        *earliest = first.min(*earliest);
    }
    let upsert = "INSERT INTO bucket (number, span, earliest) VALUES (?1, 1, ?2)
        ON CONFLICT DO UPDATE SET earliest = excluded.earliest
        WHERE excluded.earliest < earliest";
    for (bucket, earliest) in buckets {
        writer.change(upsert, params![bucket, earliest])?;
    }
    Ok(())
}

fn update(writer: &Writer<'_>, key: &Key, instance: i64, flow: &Flow) -> Result<bool, StoreError> {
    let update = "UPDATE count SET
            passed_packets = passed_packets + ?9, passed_bytes = passed_bytes + ?10,
            dropped_packets = dropped_packets + ?11, dropped_bytes = dropped_bytes + ?12,
            first = min(first, ?13), last = max(last, ?14)
        WHERE bucket = ?1 AND device = ?2 AND flow_end = ?3 AND unreadable = ?4
            AND interface = ?5 AND direction = ?6 AND list = ?7 AND instance = ?8";
    Ok(put(writer, update, key, instance, flow)? > 0)
}

fn insert(writer: &Writer<'_>, key: &Key, instance: i64, flow: &Flow) -> Result<(), StoreError> {
    let insert = "INSERT INTO count VALUES
        (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    put(writer, insert, key, instance, flow)?;
    Ok(())
}

fn put(
    writer: &Writer<'_>,
    statement: &str,
    key: &Key,
    instance: i64,
    flow: &Flow,
) -> Result<usize, StoreError> {
    let start = bucket::start(key.bucket);
    let values = params![
        key.bucket,
        key.device,
        key.end,
        key.unreadable,
        key.interface,
        key.direction,
        key.list,
        instance,
        rows::number(flow.passed.packets),
        rows::number(flow.passed.bytes),
        rows::number(flow.dropped.packets),
        rows::number(flow.dropped.bytes),
        bucket::seconds(flow.first).saturating_sub(start),
        bucket::seconds(flow.last).saturating_sub(start),
    ];
    writer.change(statement, values)
}

fn add_to_total(
    writer: &Writer<'_>,
    instance: i64,
    list: i64,
    sum: &Sum,
) -> Result<(), StoreError> {
    let upsert = "INSERT INTO total VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)
        ON CONFLICT DO UPDATE SET
            passed_packets = passed_packets + excluded.passed_packets,
            passed_bytes = passed_bytes + excluded.passed_bytes,
            dropped_packets = dropped_packets + excluded.dropped_packets,
            dropped_bytes = dropped_bytes + excluded.dropped_bytes";
    let values = params![
        instance,
        list,
        WRITTEN,
        rows::number(sum.passed.packets),
        rows::number(sum.passed.bytes),
        rows::number(sum.dropped.packets),
        rows::number(sum.dropped.bytes),
    ];
    writer.change(upsert, values)?;
    Ok(())
}
