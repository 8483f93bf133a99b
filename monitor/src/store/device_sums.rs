//! Answers which devices a period has, and how much each of them sent.

use std::collections::{BTreeSet, HashMap, hash_map::Entry};

use jiff::Timestamp;
use monitor_common::Count;
use rusqlite::{OptionalExtension as _, Row, params, params_from_iter};

use super::{
    bucket,
    error::{StoreError, on},
    query::{self, FlowQuery},
    reader::{View, time},
    rows,
    types::StoredDevice,
};
use crate::policy::{MacAddress, PolicyName};

/// What a device sent in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSum {
    /// The device; `None` for all devices beyond the limits of the store.
    pub device: Option<MacAddress>,
    /// Every policy that matched, sorted.
    pub policies: BTreeSet<PolicyName>,
    /// Packets that passed.
    pub passed: Count,
    /// Packets that were dropped.
    pub dropped: Count,
    /// Time of the first packet, to about one second.
    pub first: Timestamp,
    /// Time of the last packet, to about one second.
    pub last: Timestamp,
}

/// The answer to a [`FlowQuery`] by device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceSums {
    /// The devices, sorted by MAC.
    pub devices: Vec<DeviceSum>,
    /// True if further devices exceed the limit.
    pub more: bool,
}

/// One row of `count`.
struct Part {
    device: i64,
    list: i64,
    passed: Count,
    dropped: Count,
    first: i64,
    last: i64,
}

struct Sum {
    lists: BTreeSet<i64>,
    passed: Count,
    dropped: Count,
    first: i64,
    last: i64,
}

impl View<'_> {
    /// Returns what the devices of the rows that a filter selects sent. Takes the devices of
    /// the latest rows, at most `filter.limit`.
    pub fn device_sums(&self, filter: &FlowQuery) -> Result<DeviceSums, StoreError> {
        let lists = self.lists()?;
        let (sums, more) = self.sums_of_devices(filter, &lists)?;
        let devices = sums.into_iter().map(|(id, sum)| {
            let damaged = || StoreError::Content { table: "count" };
            let of_lists = sum.lists.iter().filter_map(|list| lists.get(list));
            Ok(DeviceSum {
                device: self.mac(id)?,
                policies: of_lists.flatten().cloned().collect(),
                passed: sum.passed,
                dropped: sum.dropped,
                first: bucket::from_seconds(sum.first).ok_or_else(damaged)?,
                last: bucket::from_seconds(sum.last).ok_or_else(damaged)?,
            })
        });
        let mut devices = devices.collect::<Result<Vec<_>, StoreError>>()?;
        devices.sort_by_key(|sum| sum.device);
        Ok(DeviceSums { devices, more })
    }

    /// Reads the rows from the latest bucket back to the earliest, so the memory is bounded.
    fn sums_of_devices(
        &self,
        filter: &FlowQuery,
        lists: &HashMap<i64, Vec<PolicyName>>,
    ) -> Result<(HashMap<i64, Sum>, bool), StoreError> {
        let (since, until) = (query::seconds(filter.since), query::seconds(filter.until));
        let columns = "count.device, list, passed_packets, passed_bytes, dropped_packets,
            dropped_bytes, first, last, number, direction";
        let mut statement = self
            .transaction
            .prepare_cached(&query::select(columns, filter))
            .map_err(on("read"))?;
        let mut found = statement
            .query(params_from_iter(query::values(filter)))
            .map_err(on("read"))?;
        let mut sums: HashMap<i64, Sum> = HashMap::new();
        let mut more = false;
        while let Some(row) = found.next().map_err(on("read"))? {
            let part = Part::read(row).map_err(on("read"))?;
            // A sum of a device is what it sent.
            if row.get::<_, i64>(9).map_err(on("read"))? != 0 {
                continue;
            }
            let is_outside = since.is_some_and(|since| part.last < since)
                || until.is_some_and(|until| part.first >= until);
            if is_outside || !query::has_policy(filter, lists, part.list) {
                continue;
            }
            let is_full = sums.len() >= filter.limit;
            match sums.entry(part.device) {
                Entry::Occupied(mut entry) => entry.get_mut().add(&part),
                Entry::Vacant(_) if is_full => more = true,
                Entry::Vacant(entry) => drop(entry.insert(Sum::new(&part))),
            }
        }
        Ok((sums, more))
    }

    pub(super) fn mac(&self, id: i64) -> Result<Option<MacAddress>, StoreError> {
        let select = "SELECT mac FROM device WHERE id = ?1";
        let found: Option<Vec<u8>> = self
            .transaction
            .prepare_cached(select)
            .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
            .map_err(on("read"))?;
        rows::mac(&found.ok_or(StoreError::Content { table: "count" })?)
    }

    /// Returns a device with its facts, or `None` if it has no row.
    pub fn device(&self, mac: MacAddress) -> Result<Option<StoredDevice>, StoreError> {
        let select = "SELECT id, first, last FROM device WHERE mac = ?1";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let found: Vec<(i64, i64, i64)> = self.all(select, params![mac.0], read)?;
        let device = found.first().map(|(id, first, last)| {
            Ok(StoredDevice {
                mac,
                first: time(*first, "device")?,
                last: time(*last, "device")?,
                facts: self.facts(*id)?,
            })
        });
        device.transpose()
    }
}

impl Part {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let start = bucket::start(row.get(8)?);
        Ok(Self {
            device: row.get(0)?,
            list: row.get(1)?,
            passed: rows::count(row, 2)?,
            dropped: rows::count(row, 4)?,
            first: start.saturating_add(row.get(6)?),
            last: start.saturating_add(row.get(7)?),
        })
    }
}

impl Sum {
    fn new(part: &Part) -> Self {
        Self {
            lists: BTreeSet::from([part.list]),
            passed: part.passed,
            dropped: part.dropped,
            first: part.first,
            last: part.last,
        }
    }

    fn add(&mut self, part: &Part) {
        self.lists.insert(part.list);
        self.passed += part.passed;
        self.dropped += part.dropped;
        self.first = self.first.min(part.first);
        self.last = self.last.max(part.last);
    }
}
