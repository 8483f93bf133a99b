//! The queue of alerts, in a file of its own: alerts wait there until a target took them, also
//! over restarts.
//!
//! ```text
//! cursor   the last event that was looked at
//! seen     keys that were alerted before; the oldest go
//! active   conditions that last
//! queue    messages for targets, with the private parts that the target may get, and no more
//! made     times of the messages of the last hour, for the limit of each target
//! held     number of alerts beyond that limit
//! ```

mod rows;

use std::{path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction};

use self::rows::{active, is_new, is_told_once, queue, see, set_cursor, trim};
use super::{
    error::{StoreError, on},
    open::make_file,
};
use crate::{
    alerts::{Alert, AlertSettings, AlertState, Lasting, Message},
    policy::MacAddress,
};

/// Name of the file in the state directory.
pub const ALERTS_FILE: &str = "alerts.db";

/// Time after which a message that no target took is given up.
const GIVE_UP: SignedDuration = SignedDuration::from_hours(48);

/// Time before the first repetition. Each next one waits twice as long.
const FIRST_RETRY: i64 = 10;

/// The longest time between two tries, in seconds.
const LONGEST_RETRY: i64 = 3_600;

/// How long a statement waits for another thread.
const WAIT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS cursor (
    id INTEGER PRIMARY KEY CHECK (id = 0), event INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS seen (
    key TEXT PRIMARY KEY, at INTEGER NOT NULL, mac BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_at ON seen (at);
CREATE TABLE IF NOT EXISTS active (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, alerted INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, made INTEGER NOT NULL,
    due INTEGER NOT NULL, tries INTEGER NOT NULL, mac BLOB, message TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS queue_due ON queue (target, due);
CREATE TABLE IF NOT EXISTS made (target TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS held (
    target TEXT NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY (target, kind)
) STRICT, WITHOUT ROWID;
";

/// The queue. Each thread opens its own.
#[derive(Debug)]
pub struct AlertQueue {
    connection: Connection,
}

/// A message that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    /// Number of the row.
    pub row: i64,
    /// Identity of the message, the same at each try.
    pub id: String,
    /// The message.
    pub message: Message,
    /// Number of conditions that last.
    pub problems: u64,
}

/// What became of a message that a target did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// It is tried again.
    Again,
    /// It is removed.
    GivenUp,
}

impl AlertQueue {
    /// Opens the queue in the state directory. Creates it if there is none.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join(ALERTS_FILE);
        make_file(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path, flags).map_err(on("open"))?;
        let set = || {
            connection.busy_timeout(WAIT)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.pragma_update(None, "secure_delete", "ON")?;
            connection.execute_batch(SCHEMA)
        };
        set().map_err(on("open"))?;
        Ok(Self { connection })
    }

    /// The last event that was looked at; `None` if the queue is new.
    pub fn cursor(&self) -> Result<Option<i64>, StoreError> {
        let select = "SELECT event FROM cursor";
        let read = self.connection.query_row(select, [], |row| row.get(0));
        read.optional().map_err(on("read"))
    }

    /// Remembers what was there before alerts were switched on: no alert is about it.
    pub fn remember(&mut self, alerts: &[Alert], event: i64) -> Result<(), StoreError> {
        self.write(|transaction| {
            for alert in alerts {
                see(transaction, alert)?;
            }
            set_cursor(transaction, event)
        })
    }

    /// Takes alerts: leaves out what was alerted before, and queues the rest. `event` is the last
    /// event that was looked at.
    pub fn take(
        &mut self,
        alerts: &[Alert],
        event: i64,
        settings: &AlertSettings,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            for alert in alerts {
                let is_new = is_new(transaction, alert, settings, now)?;
                if is_new || is_told_once(alert.kind) {
                    see(transaction, alert)?;
                }
                if is_new {
                    queue(transaction, alert, settings, now)?;
                }
            }
            trim(transaction, settings, now)?;
            set_cursor(transaction, event)
        })
    }

    /// Compares the conditions that last with those before. Queues their begins and ends. A
    /// condition that came again too soon is told once `repeat_after` is over, if it still lasts.
    pub fn compare(
        &mut self,
        lasting: &Lasting,
        settings: &AlertSettings,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            let before = active(transaction)?;
            for (key, condition) in &lasting.begun {
                let was_alerted = before.get(key).map(|(_, alerted)| *alerted);
                if was_alerted == Some(true) {
                    continue;
                }
                let alert = condition.alert(key, AlertState::Began, now);
                let alerted = is_new(transaction, &alert, settings, now)?;
                if was_alerted != Some(alerted) {
                    transaction.execute(
                        "INSERT OR REPLACE INTO active VALUES (?1, ?2, ?3, ?4)",
                        (key, condition.kind.word(), &condition.subject, alerted),
                    )?;
                }
                if alerted {
                    see(transaction, &alert)?;
                    queue(transaction, &alert, settings, now)?;
                }
            }
            for (key, (condition, alerted)) in before {
                if !lasting.has_ended(&key, condition.kind) {
                    continue;
                }
                transaction.execute("DELETE FROM active WHERE key = ?1", [&key])?;
                if alerted {
                    let alert = condition.alert(&key, AlertState::Ended, now);
                    queue(transaction, &alert, settings, now)?;
                }
            }
            Ok(())
        })
    }

    /// The next message that is due for a target.
    pub fn next(&self, target: &str, now: Timestamp) -> Result<Option<Queued>, StoreError> {
        let select = "SELECT id, made, message, (SELECT count(*) FROM active) FROM queue
            WHERE target = ?1 AND due <= ?2 ORDER BY id LIMIT 1";
        let found: Option<(i64, i64, String, i64)> = self
            .connection
            .query_row(select, (target, now.as_second()), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()
            .map_err(on("read"))?;
        let Some((row, made, message, problems)) = found else {
            return Ok(None);
        };
        let message = serde_json::from_str(&message);
        Ok(Some(Queued {
            row,
            id: format!("msg_{made:x}_{row:x}"),
            message: message.map_err(|_| StoreError::Content { table: "queue" })?,
            problems: problems.unsigned_abs(),
        }))
    }

    /// Removes a message that its target took, or that cannot be read.
    pub fn done(&self, row: i64) -> Result<(), StoreError> {
        let delete = "DELETE FROM queue WHERE id = ?1";
        let done = self.connection.execute(delete, [row]);
        done.map(drop).map_err(on("write"))
    }

    /// Puts a message off that its target did not take, or gives it up.
    pub fn failed(&mut self, row: i64, now: Timestamp) -> Result<AfterFailure, StoreError> {
        self.write(|transaction| {
            let select = "SELECT made, tries FROM queue WHERE id = ?1";
            let found = transaction.query_row(select, [row], |row| Ok((row.get(0)?, row.get(1)?)));
            let Some((made, tries)): Option<(i64, u32)> = found.optional()? else {
                return Ok(AfterFailure::GivenUp);
            };
            if now.as_second() - made > GIVE_UP.as_secs() {
                transaction.execute("DELETE FROM queue WHERE id = ?1", [row])?;
                return Ok(AfterFailure::GivenUp);
            }
            let wait = (FIRST_RETRY << tries.min(16)).min(LONGEST_RETRY);
            transaction.execute(
                "UPDATE queue SET tries = tries + 1, due = ?2 WHERE id = ?1",
                (row, now.as_second() + wait),
            )?;
            Ok(AfterFailure::Again)
        })
    }

    /// Makes what failed due at once, because a new start may have fixed the reason.
    pub fn hurry(&self, target: &str, now: Timestamp) -> Result<(), StoreError> {
        let update = "UPDATE queue SET due = ?2 WHERE target = ?1 AND tries > 0";
        let hurried = self.connection.execute(update, (target, now.as_second()));
        hurried.map(drop).map_err(on("write"))
    }

    /// Erases devices. A device that comes again is new.
    pub fn forget(&mut self, devices: &[MacAddress]) -> Result<(), StoreError> {
        self.write(|transaction| {
            for MacAddress(mac) in devices {
                transaction.execute("DELETE FROM queue WHERE mac = ?1", [mac.as_slice()])?;
                transaction.execute("DELETE FROM seen WHERE mac = ?1", [mac.as_slice()])?;
            }
            Ok(())
        })?;
        let checkpoint = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        checkpoint.map_err(on("write"))
    }

    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let connection = &mut self.connection;
        let write = move || -> rusqlite::Result<T> {
            let behaviour = rusqlite::TransactionBehavior::Immediate;
            let transaction = connection.transaction_with_behavior(behaviour)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        write().map_err(on("write"))
    }
}

/// Erases devices from the queue in the state directory, if there is one.
pub fn forget_alerts(state_dir: &Path, devices: &[MacAddress]) -> Result<(), StoreError> {
    if !state_dir.join(ALERTS_FILE).exists() {
        return Ok(());
    }
    AlertQueue::open(state_dir)?.forget(devices)
}

#[cfg(test)]
mod tests;
