//! Reads the store, also while another process writes.

use std::{fs, io, path::Path, time::Duration};

use jiff::Timestamp;
use rusqlite::{Connection, InterruptHandle, OpenFlags, Transaction, params};

use super::{
    aside::io_error,
    bucket, contact_list,
    error::{StoreError, on},
    migrate,
    open::{bound_memory, path_in},
    records, rows, schema,
    types::{
        Attachment, DeviceFact, EncryptedDns, Event, Loss, PolicySum, Removal, RemovedSum,
        StoredDevice, StoredEvent, StoredGeneration, StoredLoss,
    },
    write,
};

/// How long a statement waits for a lock of the writer.
const WAIT: Duration = Duration::from_secs(2);

/// A connection that only reads.
#[derive(Debug)]
pub struct StoreReader {
    connection: Connection,
}

impl StoreReader {
    /// Opens the store in the state directory. Returns `None` if there is none.
    pub fn open(state_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = path_in(state_dir)?;
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() && metadata.len() > 0 => {}
            Ok(metadata) if metadata.is_file() => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(_) => {
                let other = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
                return Err(io_error("open", &path)(other));
            }
            Err(error) => return Err(io_error("open", &path)(error)),
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(&path, flags).map_err(on("open"))?;
        connection.busy_timeout(WAIT).map_err(on("open"))?;
        bound_memory(&connection).map_err(on("open"))?;
        match migrate::version(&connection, &path)? {
            0 => Ok(None),
            found if found < migrate::newest() => Err(StoreError::Older {
                path,
                found,
                known: migrate::newest(),
            }),
            _ => Ok(Some(Self { connection })),
        }
    }

    /// Returns a handle by which another thread can stop a query.
    #[must_use]
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    /// Begins to read. All queries of the view see the same state of the store. Drop the
    /// view soon: it keeps the writer from emptying its log.
    pub fn view(&mut self) -> Result<View<'_>, StoreError> {
        let transaction = self.connection.transaction().map_err(on("read"))?;
        // The first read fixes the state that the transaction sees.
        transaction
            .query_row("SELECT clean FROM state", [], |_| Ok(()))
            .map_err(on("read"))?;
        Ok(View {
            transaction,
            asked: contact_list::Asked::default(),
        })
    }
}

/// One state of the store.
#[derive(Debug)]
pub struct View<'c> {
    pub(super) transaction: Transaction<'c>,
    pub(super) asked: contact_list::Asked,
}

impl View<'_> {
    /// Returns the epoch of the last drained table.
    pub fn drained(&self, instance: u64) -> Result<Option<u64>, StoreError> {
        write::last_epoch(&self.transaction, instance)
    }

    /// Returns the sums of the stored rows of an instance by effective policy, sorted by
    /// policy. With the sums of [`View::removed`], they are the sums of all drained
    /// tables.
    pub fn recorded(&self, instance: u64) -> Result<Vec<PolicySum>, StoreError> {
        let sums = self.sums(instance, "iif(reason = 'written', 1, -1)", "''")?;
        Ok(sums.into_iter().map(|(_, sum, _)| sum).collect())
    }

    /// Returns the removed sums of an instance by reason and effective policy, sorted by
    /// reason and policy.
    pub fn removed(&self, instance: u64) -> Result<Vec<RemovedSum>, StoreError> {
        let sums = self.sums(instance, "iif(reason = 'written', 0, 1)", "reason")?;
        let mut removed: Vec<_> = sums
            .into_iter()
            .filter_map(|(reason, sum, until)| {
                let reason = Removal::ALL
                    .into_iter()
                    .find(|known| known.word() == reason)?;
                Some(RemovedSum { reason, sum, until })
            })
            .collect();
        removed.sort_by(|a, b| (a.reason, &a.sum.policy).cmp(&(b.reason, &b.sum.policy)));
        Ok(removed)
    }

    fn sums(
        &self,
        instance: u64,
        factor: &str,
        group: &str,
    ) -> Result<Vec<(String, PolicySum, Option<Timestamp>)>, StoreError> {
        let select = format!(
            "SELECT {group}, policies ->> 0 AS policy,
                sum({factor} * passed_packets), sum({factor} * passed_bytes),
                sum({factor} * dropped_packets), sum({factor} * dropped_bytes), max(until)
            FROM total JOIN list ON list.id = list
            WHERE instance = (SELECT id FROM instance WHERE token = ?1) AND policy IS NOT NULL
            GROUP BY 1, 2 ORDER BY 1, 2"
        );
        let read = |row: &rusqlite::Row<'_>| {
            let policy: String = row.get(1)?;
            let until: Option<i64> = row.get(6)?;
            let counts = (rows::count(row, 2)?, rows::count(row, 4)?);
            Ok((row.get::<_, String>(0)?, policy, counts, until))
        };
        let found = self.all(&select, [rows::bits(instance)], read)?;
        found
            .into_iter()
            .map(|(reason, policy, (passed, dropped), until)| {
                let damaged = |_| StoreError::Content { table: "list" };
                let policy = policy.parse().map_err(damaged)?;
                let sum = PolicySum {
                    policy,
                    passed,
                    dropped,
                };
                Ok((reason, sum, until.and_then(bucket::from_seconds)))
            })
            .collect()
    }

    /// Returns the known devices, sorted by MAC: at most `limit` that come after the MAC
    /// `after`.
    pub fn devices(
        &self,
        after: Option<crate::policy::MacAddress>,
        limit: u32,
    ) -> Result<Vec<StoredDevice>, StoreError> {
        let select = "SELECT id, mac, first, last FROM device
            WHERE id <> 0 AND mac > ?1 ORDER BY mac LIMIT ?2";
        let after = after.map_or_else(Vec::new, |mac| mac.0.to_vec());
        let found = self.all(select, params![after, limit], |row| {
            let times = (row.get(2)?, row.get(3)?);
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, times))
        })?;
        found
            .into_iter()
            .map(|(id, mac, (first, last))| {
                Ok(StoredDevice {
                    mac: rows::mac(&mac)?.ok_or(StoreError::Content { table: "device" })?,
                    first: time(first, "device")?,
                    last: time(last, "device")?,
                    facts: self.facts(id)?,
                })
            })
            .collect()
    }

    pub(super) fn facts(&self, device: i64) -> Result<Vec<DeviceFact>, StoreError> {
        let select = "SELECT kind, value, source, first, last FROM device_fact
            WHERE device = ?1 ORDER BY kind, value, source";
        let found = self.all(select, [device], |row| {
            let texts = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((texts, row.get(3)?, row.get(4)?))
        })?;
        found
            .into_iter()
            .map(|((kind, value, source), first, last)| {
                Ok(DeviceFact {
                    kind,
                    value,
                    source,
                    first: time(first, "device_fact")?,
                    last: time(last, "device_fact")?,
                })
            })
            .collect()
    }

    /// Returns the encrypted DNS of one device or of all, sorted by device, kind, address,
    /// port and name.
    pub fn encrypted(
        &self,
        device: Option<crate::policy::MacAddress>,
        limit: u32,
    ) -> Result<Vec<EncryptedDns>, StoreError> {
        let select = "SELECT mac, kind, address, port, name, encrypted.first, encrypted.last
            FROM device JOIN encrypted ON encrypted.device = device.id
            WHERE ?1 IS NULL OR mac = ?1
            ORDER BY mac, kind, address, port, name LIMIT ?2";
        let device = device.map(|mac| mac.0);
        let found = self.all(select, params![device, limit], |row| {
            let end = (row.get::<_, Vec<u8>>(2)?, row.get(3)?, row.get(4)?);
            let texts = (row.get::<_, Vec<u8>>(0)?, row.get(1)?);
            Ok((texts, end, row.get(5)?, row.get(6)?))
        })?;
        found
            .into_iter()
            .map(|((mac, kind), (address, port, name), first, last)| {
                Ok(EncryptedDns {
                    device: rows::mac(&mac)?.ok_or(StoreError::Content { table: "device" })?,
                    kind,
                    address: rows::address(&address, "encrypted")?,
                    port,
                    name,
                    first: time(first, "encrypted")?,
                    last: time(last, "encrypted")?,
                })
            })
            .collect()
    }

    /// Returns at most `limit` events whose number is higher than `after`, the oldest
    /// first.
    pub fn events(&self, after: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let select = "SELECT event.id, at, kind, mac, json
            FROM event LEFT JOIN device ON device.id = event.device
            WHERE event.id > ?1 ORDER BY event.id LIMIT ?2";
        self.events_of(select, params![after, limit])
    }

    /// Returns the events that a query finds: number, time, kind, MAC and JSON.
    pub(super) fn events_of(
        &self,
        select: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let found = self.all(select, values, |row| {
            let mac: Option<Vec<u8>> = row.get(3)?;
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, mac, row.get(4)?))
        })?;
        found
            .into_iter()
            .map(|(id, at, kind, mac, json)| {
                let device = rows::mac(&mac.unwrap_or_default())?;
                let at = time(at, "event")?;
                let event = Event {
                    at,
                    kind,
                    device,
                    json,
                };
                Ok(StoredEvent { id, event })
            })
            .collect()
    }

    /// Returns the number of events of a kind since a time.
    pub fn count_events(&self, kind: &str, since: Timestamp) -> Result<u64, StoreError> {
        let select = "SELECT count(*) FROM event WHERE kind = ?1 AND at >= ?2";
        self.transaction
            .query_row(select, params![kind, since.as_millisecond()], |row| {
                row.get::<_, i64>(0).map(i64::unsigned_abs)
            })
            .map_err(on("read"))
    }

    /// Returns the number of the latest event, or 0. A follower begins after it.
    pub fn last_event(&self) -> Result<i64, StoreError> {
        let select = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)";
        self.transaction
            .query_row(select, [], |row| row.get(0))
            .map_err(on("read"))
    }

    /// Returns the losses of the hours that end after `since`, sorted by hour, reason and
    /// policy.
    pub fn losses(&self, since: Timestamp) -> Result<Vec<StoredLoss>, StoreError> {
        let select = "SELECT bucket, reason, policy, packets, bytes FROM loss
            WHERE bucket >= ?1 ORDER BY bucket, reason, policy";
        let found = self.all(select, [bucket::hour(bucket::of(since))], |row| {
            let texts: (String, String) = (row.get(1)?, row.get(2)?);
            Ok((row.get::<_, i64>(0)?, texts, rows::count(row, 3)?))
        })?;
        found
            .into_iter()
            .map(|(hour, (reason, policy), count)| {
                let damaged = StoreError::Content { table: "loss" };
                let policy = (!policy.is_empty()).then(|| policy.parse()).transpose();
                let loss = Loss {
                    reason,
                    policy: policy.map_err(|_| StoreError::Content { table: "loss" })?,
                    packets: count.packets,
                    bytes: count.bytes,
                };
                let hour = bucket::from_seconds(bucket::start(hour)).ok_or(damaged)?;
                Ok(StoredLoss { hour, loss })
            })
            .collect()
    }

    /// Returns the attachments that were seen after `since`, sorted by begin.
    pub fn attachments(&self, since: Timestamp) -> Result<Vec<Attachment>, StoreError> {
        let select = "SELECT name, mode, generation, since, until
            FROM attachment JOIN interface ON interface.id = interface
            WHERE until > ?1 ORDER BY since, attachment.id";
        records::attachments(&self.transaction, select, [since.as_millisecond()])
    }

    /// Returns the generations of an instance, sorted by begin.
    pub fn generations(&self, instance: u64) -> Result<Vec<StoredGeneration>, StoreError> {
        let select = "SELECT number, ruleset, since, until FROM generation
            WHERE instance = (SELECT id FROM instance WHERE token = ?1) ORDER BY since, number";
        let found = self.all(select, [rows::bits(instance)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        found
            .into_iter()
            .map(|(number, ruleset, since, until)| {
                Ok(StoredGeneration {
                    number,
                    ruleset,
                    since: time(since, "generation")?,
                    until: optional_time(until, "generation")?,
                })
            })
            .collect()
    }

    /// Returns the changes of the clock's state since a time, and the last one before it,
    /// sorted by time: true if the clock became synchronised.
    pub fn clock(&self, since: Timestamp) -> Result<Vec<(Timestamp, bool)>, StoreError> {
        let select = "SELECT at, synchronised FROM clock
            WHERE at >= coalesce((SELECT max(at) FROM clock WHERE at <= ?1), ?1) ORDER BY at";
        let found = self.all(select, [since.as_millisecond()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        found
            .into_iter()
            .map(|(at, is_synchronised)| Ok((time(at, "clock")?, is_synchronised)))
            .collect()
    }

    /// Returns the time of the earliest stored packets, to about one second.
    pub fn oldest(&self) -> Result<Option<Timestamp>, StoreError> {
        let select = "SELECT min(earliest) FROM bucket";
        let oldest: Option<i64> = self
            .transaction
            .query_row(select, [], |row| row.get(0))
            .map_err(on("read"))?;
        Ok(oldest.and_then(bucket::from_seconds))
    }

    /// Returns the size of the database in bytes, without its log.
    pub fn size(&self) -> Result<u64, StoreError> {
        let pages: u32 = self
            .transaction
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .map_err(on("read"))?;
        Ok(u64::from(pages) * u64::from(schema::PAGE))
    }

    pub(super) fn all<T>(
        &self,
        select: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.transaction
            .prepare_cached(select)
            .and_then(|mut statement| statement.query_map(values, read)?.collect())
            .map_err(on("read"))
    }
}

pub(super) fn time(milliseconds: i64, table: &'static str) -> Result<Timestamp, StoreError> {
    bucket::from_milliseconds(milliseconds).ok_or(StoreError::Content { table })
}

fn optional_time(
    milliseconds: Option<i64>,
    table: &'static str,
) -> Result<Option<Timestamp>, StoreError> {
    milliseconds.map(|number| time(number, table)).transpose()
}
