//! A write transaction: finds or creates the rows that other rows refer to.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    bucket,
    budget::{Budget, Device},
    error::{StoreError, on},
    schema::OTHER_DEVICES,
    settings::StoreLimits,
};
use crate::policy::{MacAddress, PolicyName};

/// Number of lists and interfaces that stay in memory.
const MOST_CACHED: usize = 1_024;

/// What the store knows about its rows since the last commit. After a failed transaction
/// it is read anew.
#[derive(Debug, Default)]
pub(super) struct Known {
    budget: Option<Budget>,
    lists: HashMap<Vec<PolicyName>, i64>,
    interfaces: HashMap<String, i64>,
}

/// A write transaction.
pub(super) struct Writer<'t> {
    pub(super) connection: &'t Connection,
    pub(super) limits: StoreLimits,
    pub(super) now: Timestamp,
    budget: Budget,
    known: &'t mut Known,
    devices: Vec<UsedDevice>,
    positions: HashMap<MacAddress, Position>,
}

/// The row of a flow end.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Row number.
    pub(super) id: i64,
    /// True if the call created the row.
    pub(super) is_new: bool,
}

/// Position of a device among the devices that a transaction uses.
pub(super) type Position = usize;

/// Position of the device that stands for all other devices.
pub(super) const OTHERS: Position = 0;

#[derive(Debug)]
struct UsedDevice {
    device: Device,
    /// First and last time in this transaction, in milliseconds since
    /// 1970-01-01T00:00:00Z.
    seen: Option<(i64, i64)>,
}

impl<'t> Writer<'t> {
    pub(super) fn new(
        connection: &'t Connection,
        known: &'t mut Known,
        limits: StoreLimits,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let day = bucket::day(bucket::of(now));
        let budget = match known.budget.take() {
            Some(budget) if budget.day() == day => budget,
            _ => Budget::load(connection, limits, day)?,
        };
        let others = Device {
            id: OTHER_DEVICES,
            created: 0,
            day,
            new_ends: 0,
            new_claim_bytes: 0,
            new_events: 0,
        };
        Ok(Self {
            connection,
            limits,
            now,
            budget,
            known,
            devices: vec![UsedDevice {
                device: others,
                seen: None,
            }],
            positions: HashMap::new(),
        })
    }

    /// Writes the rows of the devices. The last step of a transaction before its commit.
    pub(super) fn finish(self) -> Result<(), StoreError> {
        let update = "UPDATE device SET
                first = min(first, ?2), last = max(last, ?3), day = ?4,
                new_ends = ?5, new_claim_bytes = ?6, new_events = ?7
            WHERE id = ?1";
        let mut statement = self
            .connection
            .prepare_cached(update)
            .map_err(on("write"))?;
        for UsedDevice { device, seen } in self.devices.iter().skip(1) {
            let (first, last) = seen.unwrap_or((i64::MAX, i64::MIN));
            statement
                .execute(params![
                    device.id,
                    first,
                    last,
                    device.day,
                    device.new_ends,
                    device.new_claim_bytes,
                    device.new_events,
                ])
                .map_err(on("write"))?;
        }
        self.known.budget = Some(self.budget);
        Ok(())
    }

    /// Returns the position of a device that was seen from `first` to `last`. Creates its
    /// row, or returns [`OTHERS`] if no more devices may be created.
    pub(super) fn device(
        &mut self,
        mac: MacAddress,
        first: Timestamp,
        last: Timestamp,
    ) -> Result<Position, StoreError> {
        let (first, last) = (first.as_millisecond(), last.as_millisecond());
        let position = match self.known_device(mac)? {
            Some(position) => position,
            None if self.budget.take_device() => self.create_device(mac, first, last)?,
            None => OTHERS,
        };
        if let Some(used) = self.devices.get_mut(position) {
            let seen = used.seen.unwrap_or((first, last));
            used.seen = Some((seen.0.min(first), seen.1.max(last)));
        }
        Ok(position)
    }

    /// Returns the position of a device that has a row.
    pub(super) fn known_device(&mut self, mac: MacAddress) -> Result<Option<Position>, StoreError> {
        if let Some(position) = self.positions.get(&mac) {
            return Ok(Some(*position));
        }
        let select = "SELECT id, created, day, new_ends, new_claim_bytes, new_events
            FROM device WHERE mac = ?1";
        let device = self
            .connection
            .prepare_cached(select)
            .and_then(|mut statement| {
                statement
                    .query_row([mac.0], |row| {
                        Ok(Device {
                            id: row.get(0)?,
                            created: row.get(1)?,
                            day: row.get(2)?,
                            new_ends: row.get(3)?,
                            new_claim_bytes: row.get(4)?,
                            new_events: row.get(5)?,
                        })
                    })
                    .optional()
            })
            .map_err(on("read"))?;
        Ok(device.map(|device| self.remember(mac, device)))
    }

    fn create_device(
        &mut self,
        mac: MacAddress,
        first: i64,
        last: i64,
    ) -> Result<Position, StoreError> {
        let day = self.budget.day();
        let insert = "INSERT INTO device
            (mac, first, last, created, day, new_ends, new_claim_bytes, new_events)
            VALUES (?1, ?2, ?3, ?4, ?4, 0, 0, 0)";
        let id = self.insert(insert, params![mac.0, first, last, day])?;
        let device = Device {
            id,
            created: day,
            day,
            new_ends: 0,
            new_claim_bytes: 0,
            new_events: 0,
        };
        Ok(self.remember(mac, device))
    }

    fn remember(&mut self, mac: MacAddress, device: Device) -> Position {
        let position = self.devices.len();
        self.devices.push(UsedDevice { device, seen: None });
        self.positions.insert(mac, position);
        position
    }

    /// Returns the row number of the device at a position.
    pub(super) fn device_id(&self, position: Position) -> i64 {
        self.devices
            .get(position)
            .map_or(OTHER_DEVICES, |used| used.device.id)
    }

    /// Takes a new claim of `bytes` bytes. Returns false if a limit is reached.
    pub(super) fn take_claim(&mut self, position: Position, bytes: u32) -> bool {
        let device = self.devices.get_mut(position).map(|used| &mut used.device);
        device.is_some_and(|device| self.budget.take_claim(device, bytes))
    }

    /// Takes a new event. Returns false if a limit is reached.
    pub(super) fn take_event(&mut self, position: Position) -> bool {
        let device = self.devices.get_mut(position).map(|used| &mut used.device);
        device.is_some_and(|device| self.budget.take_event(device))
    }

    /// Takes a new row of `count`. Returns false if a limit is reached.
    pub(super) fn take_row(&mut self, bucket: i64, device: i64) -> Result<bool, StoreError> {
        self.budget.take_row(self.connection, bucket, device)
    }

    /// Returns true if a bucket has as many rows as all devices together may add.
    pub(super) fn is_full(&mut self, bucket: i64) -> Result<bool, StoreError> {
        self.budget.is_full(self.connection, bucket)
    }

    /// Returns the row of a flow end, and notes that it was used in the day of `bucket`.
    /// Creates the row, or returns `None` if no more flow ends may be created.
    pub(super) fn end(
        &mut self,
        position: Position,
        destination: &[u8],
        protocol: u8,
        port: u16,
        bucket: i64,
    ) -> Result<Option<End>, StoreError> {
        let (device, day) = (self.device_id(position), bucket::day(bucket));
        if position == OTHERS && !destination.is_empty() {
            return Ok(None);
        }
        let select = "SELECT id, day FROM flow_end
            WHERE destination = ?1 AND device = ?2 AND protocol = ?3 AND port = ?4";
        let found: Option<(i64, i64)> = self
            .connection
            .prepare_cached(select)
            .and_then(|mut statement| {
                let key = params![destination, device, protocol, port];
                statement
                    .query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(on("read"))?;
        if let Some((id, before)) = found {
            if before < day {
                let update = "UPDATE flow_end SET day = ?2 WHERE id = ?1";
                self.insert(update, params![id, day])?;
            }
            return Ok(Some(End { id, is_new: false }));
        }
        let used = self.devices.get_mut(position);
        let may = destination.is_empty()
            || used.is_some_and(|used| self.budget.take_end(&mut used.device));
        if !may {
            return Ok(None);
        }
        let insert = "INSERT INTO flow_end (device, destination, protocol, port, day)
            VALUES (?1, ?2, ?3, ?4, ?5)";
        let id = self.insert(insert, params![device, destination, protocol, port, day])?;
        Ok(Some(End { id, is_new: true }))
    }

    /// Returns the row number of the flow end for all other destinations of a device.
    pub(super) fn other_end(&mut self, position: Position, bucket: i64) -> Result<i64, StoreError> {
        let end = self.end(position, &[], 0, 0, bucket)?;
        end.map(|end| end.id)
            .ok_or(StoreError::Content { table: "flow_end" })
    }

    /// Returns the row number of an interface.
    pub(super) fn interface(&mut self, name: &str) -> Result<i64, StoreError> {
        if let Some(id) = self.known.interfaces.get(name) {
            return Ok(*id);
        }
        let select = "SELECT id FROM interface WHERE name = ?1";
        let insert = "INSERT INTO interface (name) VALUES (?1)";
        let id = match self.first(select, [name])? {
            Some(id) => id,
            None => self.insert(insert, [name])?,
        };
        if self.known.interfaces.len() >= MOST_CACHED {
            self.known.interfaces.clear();
        }
        self.known.interfaces.insert(name.to_owned(), id);
        Ok(id)
    }

    /// Returns the row number of a list of policies. If no more lists may be created,
    /// takes the list that holds only the effective policy, which is the first.
    pub(super) fn list(&mut self, policies: &[PolicyName]) -> Result<i64, StoreError> {
        if let Some(id) = self.known.lists.get(policies) {
            return Ok(*id);
        }
        let text = list_text(policies);
        let select = "SELECT id FROM list WHERE policies = ?1";
        let insert = "INSERT INTO list (policies) VALUES (?1)";
        let id = match self.first(select, [&text])? {
            Some(id) => id,
            None if policies.len() <= 1 || self.may_create_list()? => {
                self.insert(insert, [&text])?
            }
            None => return self.list(policies.get(..1).unwrap_or_default()),
        };
        if self.known.lists.len() >= MOST_CACHED {
            self.known.lists.clear();
        }
        self.known.lists.insert(policies.to_vec(), id);
        Ok(id)
    }

    fn may_create_list(&self) -> Result<bool, StoreError> {
        let count: u32 = self
            .connection
            .query_row("SELECT count(*) FROM list", [], |row| row.get(0))
            .map_err(on("read"))?;
        Ok(count < self.limits.lists)
    }

    /// Returns the number in the first row of a query, if there is a row.
    pub(super) fn first(
        &self,
        select: &str,
        values: impl rusqlite::Params,
    ) -> Result<Option<i64>, StoreError> {
        self.connection
            .prepare_cached(select)
            .and_then(|mut statement| statement.query_row(values, |row| row.get(0)).optional())
            .map_err(on("read"))
    }

    /// Runs a statement and returns the row number of the last inserted row.
    pub(super) fn insert(
        &self,
        statement: &str,
        values: impl rusqlite::Params,
    ) -> Result<i64, StoreError> {
        self.change(statement, values)?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Runs a statement and returns the number of changed rows.
    pub(super) fn change(
        &self,
        statement: &str,
        values: impl rusqlite::Params,
    ) -> Result<usize, StoreError> {
        self.connection
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute(values))
            .map_err(on("write"))
    }
}

/// Writes a list of policies as a JSON array of strings.
fn list_text(policies: &[PolicyName]) -> String {
    let names: Vec<_> = policies.iter().map(|name| format!("\"{name}\"")).collect();
    // A policy name has no character that JSON escapes.
    format!("[{}]", names.join(","))
}
