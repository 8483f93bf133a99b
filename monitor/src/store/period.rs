//! Sums the rows of a period in SQL, for a report: by flow, by device and policy, and by time.
//!
//! The sums are in temporary tables in memory, so the memory depends on the number of
//! different flows, and not on the number of rows.

mod listed;

use std::collections::BTreeMap;

use jiff::Timestamp;
use monitor_common::Count;
use rusqlite::Row;

use super::{
    bucket,
    error::{StoreError, on},
    reader::View,
    rows,
};
use crate::{
    evidence::FlowRow,
    policy::{MacAddress, PolicyName},
};

/// Which rows to sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodQuery {
    /// Leaves out rows whose last packet is older.
    pub since: Timestamp,
    /// Leaves out rows whose first packet is not older.
    pub until: Timestamp,
    /// Only flows of these devices are listed; empty for all. The sums by device and policy
    /// have every device.
    pub devices: Vec<MacAddress>,
    /// Only packets that this policy matched.
    pub policy: Option<PolicyName>,
    /// The most flows to list of one device and list of policies: those with the most packets.
    pub flows_of_group: u32,
    /// The most flows to list.
    pub flows: u32,
    /// Begin of the timeline, not before `since`.
    pub timeline: Timestamp,
    /// The most slots of the timeline.
    pub slots: u32,
}

/// What the rows of a period add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeriodSums {
    /// Listed flows.
    pub flows: Vec<FlowRow>,
    /// Flows of the asked devices that are not listed.
    pub left_out: LeftOut,
    /// Sums by policy and device, sorted. A packet that several policies matched is in the
    /// sums of each of them.
    pub groups: Vec<GroupSum>,
    /// Sums by device, each packet once, sorted.
    pub devices: Vec<GroupSum>,
    /// Begin of the first slot of the timeline.
    pub first_slot: Timestamp,
    /// Length of a slot in seconds.
    pub slot_seconds: i64,
    /// The slots that have packets, sorted by policy, device and number.
    pub slots: Vec<Slot>,
    /// Device pairs of each policy that contacted the same networks (/24 or /48), with the
    /// number of these networks, sorted.
    pub shared: BTreeMap<(PolicyName, Option<MacAddress>, Option<MacAddress>), u64>,
}

/// Flows that are not listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Number of flows.
    pub flows: u64,
    /// Packets that passed.
    pub passed: Count,
    /// Packets that were dropped.
    pub dropped: Count,
}

/// Sums of a device, for one policy or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSum {
    /// The policy; `None` for all.
    pub policy: Option<PolicyName>,
    /// The device; `None` for all devices beyond the limits of the store.
    pub device: Option<MacAddress>,
    /// Number of different destination addresses.
    pub destinations: u64,
    /// True if there are packets to further destinations, which the store sums.
    pub has_other_destinations: bool,
    /// Packets that passed.
    pub passed: Count,
    /// Packets that were dropped.
    pub dropped: Count,
    /// Time of the first packet, to about one second.
    pub first: Timestamp,
    /// Time of the last packet, to about one second.
    pub last: Timestamp,
}

/// A part of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The policy.
    pub policy: PolicyName,
    /// The device; `None` for all devices beyond the limits of the store.
    pub device: Option<MacAddress>,
    /// Number of the slot.
    pub number: u32,
    /// Packets that passed.
    pub passed: u64,
    /// Packets that were dropped.
    pub dropped: u64,
}

/// Lengths of a slot in seconds. The first one is that of a bucket, the second one that of a
/// merged bucket or more.
const SLOTS: [i64; 9] = [
    300, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
];

const TABLES: &str = "
    DROP TABLE IF EXISTS temp.period_flow;
    DROP TABLE IF EXISTS temp.period_slot;
    CREATE TEMP TABLE period_flow (
        id INTEGER PRIMARY KEY, device INTEGER, list INTEGER, flow_end INTEGER, unreadable INTEGER,
        interface INTEGER, direction INTEGER,
        passed_packets INTEGER, passed_bytes INTEGER,
        dropped_packets INTEGER, dropped_bytes INTEGER, first INTEGER, last INTEGER
    );
    CREATE TEMP TABLE period_slot (
        list INTEGER, device INTEGER, slot INTEGER, passed INTEGER, dropped INTEGER,
        PRIMARY KEY (list, device, slot)
    ) WITHOUT ROWID;";

/// The period of the rows, in seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy)]
struct Bounds {
    since: i64,
    until: i64,
}

impl View<'_> {
    /// Sums the rows of a period. Sums of devices and times are those of packets `out`, which
    /// the devices sent. The flows are those of both directions.
    pub fn period(&self, query: &PeriodQuery) -> Result<PeriodSums, StoreError> {
        let bounds = Bounds {
            since: bucket::seconds(query.since),
            until: bucket::seconds(query.until),
        };
        let lists = self.lists()?;
        let matching: Vec<i64> = lists
            .iter()
            .filter(|(_, policies)| query.policy.as_ref().is_none_or(|p| policies.contains(p)))
            .map(|(id, _)| *id)
            .collect();
        let slots = Bounds {
            since: bucket::seconds(query.timeline).max(bounds.since),
            ..bounds
        };
        let slot_seconds = self.slot_seconds(slots, query.slots)?;
        self.transaction.execute_batch(TABLES).map_err(on("read"))?;
        self.fill(bounds, &ids(&matching), slots.since, slot_seconds)?;
        let mut by_policy: BTreeMap<&PolicyName, Vec<i64>> = BTreeMap::new();
        for (id, policies) in &lists {
            for policy in policies {
                by_policy.entry(policy).or_default().push(*id);
            }
        }
        let mut sums = PeriodSums {
            first_slot: bucket::from_seconds(slots.since.div_euclid(slot_seconds) * slot_seconds)
                .unwrap_or(query.since),
            slot_seconds,
            devices: self.groups(None, "1")?,
            ..PeriodSums::default()
        };
        for (policy, own) in by_policy {
            if query.policy.as_ref().is_some_and(|asked| asked != policy) {
                continue;
            }
            let of_policy = format!("list IN ({})", ids(&own));
            sums.groups.extend(self.groups(Some(policy), &of_policy)?);
            sums.slots.extend(self.slots(policy, &of_policy)?);
            sums.shared.extend(self.shared(policy, &of_policy)?);
        }
        (sums.flows, sums.left_out) = self.listed(query)?;
        Ok(sums)
    }

    /// The shortest length of a slot, in seconds, that gives at most `most` slots.
    pub(super) fn slot_length(
        &self,
        since: Timestamp,
        until: Timestamp,
        most: u32,
    ) -> Result<i64, StoreError> {
        let (since, until) = (bucket::seconds(since), bucket::seconds(until));
        self.slot_seconds(Bounds { since, until }, most)
    }

    fn slot_seconds(&self, bounds: Bounds, most: u32) -> Result<i64, StoreError> {
        let select = "SELECT coalesce(max(span), 1) FROM bucket
            WHERE (number + span) * 300 > ?1 AND earliest < ?2";
        let span: i64 = self
            .transaction
            .query_row(select, [bounds.since, bounds.until], |row| row.get(0))
            .map_err(on("read"))?;
        let length = bounds.until.saturating_sub(bounds.since).max(1);
        let fits = |slot: &i64| {
            *slot >= span * bucket::SECONDS && length.div_euclid(*slot) < i64::from(most)
        };
        let known = SLOTS.into_iter().find(fits);
        let days = length.div_euclid(i64::from(most) * 86_400) + 1;
        Ok(known.unwrap_or(days * 86_400))
    }

    fn fill(&self, bounds: Bounds, lists: &str, origin: i64, slot: i64) -> Result<(), StoreError> {
        // A bucket ends at the last packet of its rows, and may begin before its own begin.
        let rows = format!(
            "FROM bucket CROSS JOIN count ON count.bucket = number
            WHERE (number + span) * {seconds} > ?1 AND earliest < ?2
                AND number * {seconds} + last >= ?1 AND number * {seconds} + first < ?2
                AND list IN ({lists})",
            seconds = bucket::SECONDS,
        );
        // One number for what makes a flow. The flow end tells the device. A key of several
        // columns takes three times as long.
        let (lists, interfaces) = (self.highest("list")? + 1, self.highest("interface")? + 1);
        let id = format!(
            "(((flow_end * {lists} + list) * {interfaces} + interface) * 2 + direction) * 8
                + unreadable"
        );
        let flows = format!(
            "INSERT INTO temp.period_flow SELECT {id}, device, list, flow_end, unreadable,
                interface, direction, passed_packets, passed_bytes, dropped_packets,
                dropped_bytes, number * 300 + first, number * 300 + last {rows}
            ON CONFLICT DO UPDATE SET
                passed_packets = passed_packets + excluded.passed_packets,
                passed_bytes = passed_bytes + excluded.passed_bytes,
                dropped_packets = dropped_packets + excluded.dropped_packets,
                dropped_bytes = dropped_bytes + excluded.dropped_bytes,
                first = min(first, excluded.first), last = max(last, excluded.last)"
        );
        // The rows are in the order of bucket and device.
        let slots = format!(
            "INSERT INTO temp.period_slot
            SELECT list, device, max(number * 300, {origin}) / {slot} - {origin} / {slot},
                passed, dropped
            FROM (SELECT number, device, list, sum(passed_packets) AS passed,
                sum(dropped_packets) AS dropped {rows} AND direction = 0 GROUP BY number, device, list)
            WHERE true ON CONFLICT DO UPDATE SET
                passed = passed + excluded.passed, dropped = dropped + excluded.dropped"
        );
        for statement in [flows, slots] {
            self.transaction
                .execute(&statement, [bounds.since, bounds.until])
                .map_err(on("read"))?;
        }
        Ok(())
    }

    /// The highest row number of a table.
    fn highest(&self, table: &str) -> Result<i64, StoreError> {
        let select = format!("SELECT coalesce(max(id), 0) FROM {table}");
        self.transaction
            .query_row(&select, [], |row| row.get(0))
            .map_err(on("read"))
    }

    fn groups(
        &self,
        policy: Option<&PolicyName>,
        condition: &str,
    ) -> Result<Vec<GroupSum>, StoreError> {
        let select = format!(
            "SELECT mac, count(DISTINCT nullif(destination, x'')), sum(passed_packets), sum(passed_bytes),
                sum(dropped_packets), sum(dropped_bytes), min(sums.first), max(sums.last),
                max(destination = x'')
            FROM temp.period_flow AS sums JOIN flow_end ON flow_end.id = flow_end
                JOIN device ON device.id = sums.device
            WHERE {condition} AND direction = 0 GROUP BY sums.device ORDER BY mac"
        );
        let found = self.uncached(&select, |row| {
            let times: (i64, i64) = (row.get(6)?, row.get(7)?);
            let counts = (rows::count(row, 2)?, rows::count(row, 4)?);
            Ok((
                row.get::<_, Vec<u8>>(0)?,
                (row.get::<_, i64>(1)?, row.get::<_, bool>(8)?),
                counts,
                times,
            ))
        })?;
        let damaged = || StoreError::Content { table: "count" };
        let groups = found
            .into_iter()
            .map(|(mac, destinations, (passed, dropped), times)| {
                Ok(GroupSum {
                    policy: policy.cloned(),
                    device: rows::mac(&mac)?,
                    destinations: destinations.0.unsigned_abs(),
                    has_other_destinations: destinations.1,
                    passed,
                    dropped,
                    first: bucket::from_seconds(times.0).ok_or_else(damaged)?,
                    last: bucket::from_seconds(times.1).ok_or_else(damaged)?,
                })
            });
        groups.collect()
    }

    fn slots(&self, policy: &PolicyName, condition: &str) -> Result<Vec<Slot>, StoreError> {
        let select = format!(
            "SELECT mac, slot, sum(passed), sum(dropped)
            FROM temp.period_slot AS sums JOIN device ON device.id = sums.device
            WHERE {condition} GROUP BY sums.device, slot ORDER BY mac, slot"
        );
        let found = self.uncached(&select, |row| {
            let counts: (i64, i64) = (row.get(2)?, row.get(3)?);
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?, counts))
        })?;
        let slots = found.into_iter().map(|(mac, number, (passed, dropped))| {
            Ok(Slot {
                policy: policy.clone(),
                device: rows::mac(&mac)?,
                number: u32::try_from(number.max(0)).unwrap_or(u32::MAX),
                passed: passed.unsigned_abs(),
                dropped: dropped.unsigned_abs(),
            })
        });
        slots.collect()
    }

    pub(super) fn uncached<T>(
        &self,
        select: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.transaction
            .prepare(select)
            .and_then(|mut statement| statement.query_map([], read)?.collect())
            .map_err(on("read"))
    }

    /// Returns the time of the last stored packet, to about one second.
    pub fn latest(&self) -> Result<Option<Timestamp>, StoreError> {
        let select = "SELECT bucket * 300 + max(last) FROM count
            WHERE bucket = (SELECT max(bucket) FROM count)";
        let latest: Option<i64> = self
            .transaction
            .query_row(select, [], |row| row.get(0))
            .map_err(on("read"))?;
        Ok(latest.and_then(bucket::from_seconds))
    }

    /// Returns the removed sums of all instances whose last rows are later than `since`, of a
    /// policy or of all.
    pub fn removed_since(
        &self,
        since: Timestamp,
        policy: Option<&PolicyName>,
    ) -> Result<RemovedSums, StoreError> {
        let lists = self.lists()?;
        let matching = lists
            .iter()
            .filter(|(_, policies)| policy.is_none_or(|policy| policies.contains(policy)));
        let lists = ids(&matching.map(|(id, _)| *id).collect::<Vec<_>>());
        let select = format!(
            "SELECT reason, sum(passed_packets + dropped_packets), min(created)
            FROM total LEFT JOIN instance ON instance.id = instance
            WHERE reason <> 'written' AND until > {} AND list IN ({lists})
            GROUP BY reason ORDER BY reason",
            bucket::seconds(since)
        );
        let found = self.uncached(&select, |row| {
            let packets = row.get::<_, i64>(1)?.unsigned_abs();
            Ok((row.get(0)?, packets, row.get::<_, Option<i64>>(2)?))
        })?;
        let mut removed = RemovedSums::default();
        for (reason, packets, created) in found {
            let created = created.and_then(bucket::from_milliseconds);
            removed.since = removed.since.into_iter().chain(created).min();
            removed.packets.push((reason, packets));
        }
        Ok(removed)
    }

    /// Returns when the store first saw an instance of the filter.
    pub fn instance_since(&self, instance: u64) -> Result<Option<Timestamp>, StoreError> {
        let select = "SELECT created FROM instance WHERE token = ?1";
        let found = self.all(select, [rows::bits(instance)], |row| row.get::<_, i64>(0))?;
        Ok(found.first().copied().and_then(bucket::from_milliseconds))
    }
}

/// Sums of removed rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedSums {
    /// Reason and packets, sorted by reason.
    pub packets: Vec<(String, u64)>,
    /// Time since which they were counted.
    pub since: Option<Timestamp>,
}

/// Row numbers as a list of SQL.
pub(super) fn ids(numbers: &[i64]) -> String {
    let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    texts.join(",")
}
