//! Keeps devices from filling the store: how many rows were added in this day and in this
//! bucket.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{
    error::{StoreError, on},
    settings::StoreLimits,
};

/// The row of a device in memory, with what the device used up in a day.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// Row number. [`super::schema::OTHER_DEVICES`] stands for all other devices.
    pub(super) id: i64,
    /// Day on which the row was created.
    pub(super) created: i64,
    /// The day that the three numbers below count.
    pub(super) day: i64,
    /// New flow ends.
    pub(super) new_ends: u32,
    /// New claims, in bytes of text.
    pub(super) new_claim_bytes: u32,
    /// New events.
    pub(super) new_events: u32,
}

impl Device {
    fn begin_day(&mut self, day: i64) {
        if self.day != day {
            self.day = day;
            self.new_ends = 0;
            self.new_claim_bytes = 0;
            self.new_events = 0;
        }
    }
}

/// What all devices together used up.
#[derive(Debug)]
pub(super) struct Budget {
    limits: StoreLimits,
    day: i64,
    devices: u32,
    ends: Spent,
    claim_bytes: Spent,
    /// The bucket of the two fields below.
    bucket: Option<i64>,
    rows: u32,
    rows_of_device: HashMap<i64, u32>,
}

/// A sum over all devices, and over the devices that were created in the same day.
#[derive(Clone, Copy, Debug)]
struct Spent {
    all: u32,
    new: u32,
}

impl Spent {
    /// Adds `amount` and returns true, if neither sum exceeds its limit.
    fn take(&mut self, amount: u32, is_new: bool, limit: u32, limit_of_new: u32) -> bool {
        let all = self.all.saturating_add(amount);
        let new = self.new.saturating_add(if is_new { amount } else { 0 });
        let fits = all <= limit && (!is_new || new <= limit_of_new);
        if fits {
            *self = Self { all, new };
        }
        fits
    }
}

impl Budget {
    /// Reads from the store what was used up in a day.
    pub(super) fn load(
        connection: &Connection,
        limits: StoreLimits,
        day: i64,
    ) -> Result<Self, StoreError> {
        let sums = "SELECT
                coalesce(sum(created = ?1), 0),
                coalesce(sum(new_ends), 0),
                coalesce(sum(new_ends) FILTER (WHERE created = ?1), 0),
                coalesce(sum(new_claim_bytes), 0),
                coalesce(sum(new_claim_bytes) FILTER (WHERE created = ?1), 0)
            FROM device WHERE day = ?1 AND id <> 0";
        connection
            .query_row(sums, [day], |row| {
                Ok(Self {
                    limits,
                    day,
                    devices: row.get(0)?,
                    ends: Spent {
                        all: row.get(1)?,
                        new: row.get(2)?,
                    },
                    claim_bytes: Spent {
                        all: row.get(3)?,
                        new: row.get(4)?,
                    },
                    bucket: None,
                    rows: 0,
                    rows_of_device: HashMap::new(),
                })
            })
            .map_err(on("read"))
    }

    /// Returns the day whose use this is.
    pub(super) fn day(&self) -> i64 {
        self.day
    }

    /// Takes a new device. Returns false if the limit is reached.
    pub(super) fn take_device(&mut self) -> bool {
        let fits = self.devices < self.limits.devices;
        if fits {
            self.devices += 1;
        }
        fits
    }

    /// Takes a new flow end of a device. Returns false if a limit is reached.
    pub(super) fn take_end(&mut self, device: &mut Device) -> bool {
        device.begin_day(self.day);
        let limits = &self.limits;
        let fits = device.new_ends < limits.ends_of_device
            && self.ends.take(
                1,
                device.created == self.day,
                limits.ends,
                limits.ends_of_new_devices,
            );
        if fits {
            device.new_ends += 1;
        }
        fits
    }

    /// Takes a new claim of `bytes` bytes of text for a device. Returns false if a limit
    /// is reached.
    pub(super) fn take_claim(&mut self, device: &mut Device, bytes: u32) -> bool {
        device.begin_day(self.day);
        let limits = &self.limits;
        let own = device.new_claim_bytes.saturating_add(bytes);
        let fits = own <= limits.claim_bytes_of_device
            && self.claim_bytes.take(
                bytes,
                device.created == self.day,
                limits.claim_bytes,
                limits.claim_bytes_of_new_devices,
            );
        if fits {
            device.new_claim_bytes = own;
        }
        fits
    }

    /// Takes a new event of a device. Returns false if the limit is reached.
    pub(super) fn take_event(&mut self, device: &mut Device) -> bool {
        device.begin_day(self.day);
        let fits = device.new_events < self.limits.events_of_device;
        if fits {
            device.new_events += 1;
        }
        fits
    }

    /// Takes a new row of a device in a bucket. Returns false if a limit is reached.
    pub(super) fn take_row(
        &mut self,
        connection: &Connection,
        bucket: i64,
        device: i64,
    ) -> Result<bool, StoreError> {
        self.load_rows(connection, bucket)?;
        let own = self.rows_of_device.entry(device).or_default();
        let fits = self.rows < self.limits.rows && *own < self.limits.rows_of_device;
        if fits {
            self.rows += 1;
            *own += 1;
        }
        Ok(fits)
    }

    /// Returns true if a bucket has as many rows as all devices together may add.
    pub(super) fn is_full(
        &mut self,
        connection: &Connection,
        bucket: i64,
    ) -> Result<bool, StoreError> {
        self.load_rows(connection, bucket)?;
        Ok(self.rows >= self.limits.rows)
    }

    fn load_rows(&mut self, connection: &Connection, bucket: i64) -> Result<(), StoreError> {
        if self.bucket != Some(bucket) {
            self.rows_of_device = rows_of_devices(connection, bucket)?;
            let rows = self.rows_of_device.values();
            self.rows = rows.fold(0, |sum, rows| sum.saturating_add(*rows));
            self.bucket = Some(bucket);
        }
        Ok(())
    }
}

fn rows_of_devices(connection: &Connection, bucket: i64) -> Result<HashMap<i64, u32>, StoreError> {
    let count = "SELECT device, count(*) FROM count WHERE bucket = ?1 GROUP BY device";
    let mut statement = connection.prepare_cached(count).map_err(on("read"))?;
    let rows = statement
        .query_map(params![bucket], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(on("read"))?;
    rows.collect::<Result<_, _>>().map_err(on("read"))
}
