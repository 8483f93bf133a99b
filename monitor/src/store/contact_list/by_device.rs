//! Devices of a period, and their packets by time.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{ContactQuery, TimeSlots};
use crate::{
    policy::MacAddress,
    store::{
        bucket,
        error::StoreError,
        reader::{View, time},
        rows,
    },
};

/// The most devices that a question answers. The store keeps fewer.
const MOST: u32 = 100_000;

/// A device, and when it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceTimes {
    /// Its MAC.
    pub mac: MacAddress,
    /// Time of its first stored packet, to about one second.
    pub first: Timestamp,
    /// Time of its last stored packet, to about one second.
    pub last: Timestamp,
}

impl View<'_> {
    /// Returns the devices that were seen since a time, the latest first.
    pub fn devices_since(&self, since: Timestamp) -> Result<Vec<DeviceTimes>, StoreError> {
        let select = "SELECT mac, first, last FROM device
            WHERE id <> 0 AND last >= ?1 ORDER BY last DESC, mac LIMIT ?2";
        let values = [since.as_millisecond(), i64::from(MOST)];
        let found = self.all(select, values, |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?))
        })?;
        found
            .into_iter()
            .map(|(mac, first, last)| {
                Ok(DeviceTimes {
                    mac: rows::mac(&mac)?.ok_or(StoreError::Content { table: "device" })?,
                    first: time(first, "device")?,
                    last: time(last, "device")?,
                })
            })
            .collect()
    }

    /// Returns the host names that devices had, as (MAC, name).
    pub fn host_names(&self) -> Result<Vec<(MacAddress, String)>, StoreError> {
        let select = "SELECT mac, value FROM device_fact JOIN device ON device.id = device
            WHERE kind = 'host-name' ORDER BY mac, value";
        let found = self.all(select, [], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?))
        })?;
        let names = found.into_iter().map(|(mac, name): (Vec<u8>, String)| {
            let mac = rows::mac(&mac)?.ok_or(StoreError::Content { table: "device" })?;
            Ok((mac, name))
        });
        names.collect()
    }

    /// Returns the packets of each device of a query by time, in at most `most` slots.
    pub fn device_slots(
        &self,
        query: &ContactQuery,
        most: u32,
    ) -> Result<HashMap<MacAddress, TimeSlots>, StoreError> {
        let rows_of = self.rows_of(query)?;
        let empty = self.empty_slots(query, most)?;
        let select = format!(
            "SELECT count.device, number, sum(passed_packets), sum(dropped_packets) {rows_of}
            GROUP BY number, count.device"
        );
        let found = self.uncached(&select, |row| {
            let counts: (i64, i64) = (row.get(2)?, row.get(3)?);
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, counts))
        })?;
        let mut by_row: HashMap<i64, TimeSlots> = HashMap::new();
        for (device, number, counts) in found {
            let own = by_row.entry(device).or_insert_with(|| empty.clone());
            own.add(bucket::start(number), counts);
        }
        let mut by_mac = HashMap::new();
        for (device, slots) in by_row {
            if let Some(mac) = self.mac(device)? {
                by_mac.insert(mac, slots);
            }
        }
        Ok(by_mac)
    }

    /// Returns the number of contacts and of devices in the store, and the time of the oldest
    /// packets.
    pub fn totals(&self) -> Result<(u64, u64, Option<Timestamp>), StoreError> {
        let select = "SELECT (SELECT count(*) FROM flow_end), (SELECT count(*) - 1 FROM device)";
        let found = self.all(select, [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?;
        let (contacts, devices) = found.into_iter().next().unwrap_or_default();
        Ok((
            contacts.unsigned_abs(),
            devices.unsigned_abs(),
            self.oldest()?,
        ))
    }

    /// Slots without packets for the period of a query.
    pub(super) fn empty_slots(
        &self,
        query: &ContactQuery,
        most: u32,
    ) -> Result<TimeSlots, StoreError> {
        let seconds = self.slot_length(query.since, query.until, most)?;
        let origin = bucket::seconds(query.since).div_euclid(seconds);
        let end = (bucket::seconds(query.until) - 1).div_euclid(seconds);
        let length = usize::try_from(end - origin + 1).unwrap_or(0);
        let damaged = StoreError::Content { table: "bucket" };
        Ok(TimeSlots {
            first: bucket::from_seconds(origin * seconds).ok_or(damaged)?,
            seconds,
            slots: vec![(0, 0); length],
        })
    }

    /// Returns the devices and the packets of a query, as far as its rows have them: each
    /// device with its packets, the most first.
    pub fn devices_of(&self, query: &ContactQuery) -> Result<Vec<(MacAddress, u64)>, StoreError> {
        let rows_of = self.rows_of(query)?;
        let select = format!(
            "SELECT mac, sum(packets) FROM (
                SELECT count.device AS id, sum(passed_packets + dropped_packets) AS packets
                {rows_of} GROUP BY number, count.device)
            JOIN device USING (id) WHERE id <> 0 GROUP BY id ORDER BY 2 DESC, mac"
        );
        let found = self.uncached(&select, |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
        })?;
        let devices = found.into_iter().map(|(mac, packets)| {
            let mac = rows::mac(&mac)?.ok_or(StoreError::Content { table: "device" })?;
            Ok((mac, packets.unsigned_abs()))
        });
        devices.collect()
    }
}

impl TimeSlots {
    /// Adds passed and dropped packets to the slot of a time, in seconds.
    pub(super) fn add(&mut self, at: i64, (passed, dropped): (i64, i64)) {
        let after = at - bucket::seconds(self.first);
        // A row of the hour before the period belongs to its first slot.
        let slot = after.div_euclid(self.seconds).max(0);
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        if let Some((own_passed, own_dropped)) = self.slots.get_mut(slot) {
            *own_passed += passed.unsigned_abs();
            *own_dropped += dropped.unsigned_abs();
        }
    }

    /// Passed and dropped packets of all slots.
    #[must_use]
    pub fn sum(&self) -> (u64, u64) {
        let add = |(a, b), (c, d): &(u64, u64)| (a + c, b + d);
        self.slots.iter().fold((0, 0), add)
    }
}
