//! Keeps the store within its size, and runs its write transactions.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use rusqlite::TransactionBehavior;

use super::{
    Store,
    aside::beside,
    error::{StoreError, on},
    merkle_log,
    remove::{self, Removed},
    schema::PAGE,
    settings::StoreLimits,
    types::{Event, Removal},
    writer::{Known, Writer},
};
use crate::evidence::event::Happening;

/// Size of the log, in bytes, above which a transaction first tries to empty it.
const LOG_TO_EMPTY: u64 = 8 << 20;

/// Longest time without a checkpoint. A power failure loses at most the writes since.
const CHECKPOINT_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// Number of rows that one transaction removes or merges.
pub(super) const CHUNK: u32 = 20_000;

/// Most transactions that one write spends on removing rows.
const MOST_CHUNKS: usize = 8;

/// The disk space that the store uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSize {
    /// Size of the database file in bytes.
    pub database: u64,
    /// Size of the unused pages in the database file, in bytes.
    pub unused: u64,
    /// Size of the log in bytes.
    pub log: u64,
}

impl Store {
    /// Runs one write transaction. If it fails, nothing of it is stored.
    pub(super) fn transaction<T>(
        &mut self,
        now: Timestamp,
        work: impl FnOnce(&mut Writer<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = self.try_transaction(now, work);
        if result.is_err() {
            self.known = Known::default();
        }
        result
    }

    fn try_transaction<T>(
        &mut self,
        now: Timestamp,
        work: impl FnOnce(&mut Writer<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.keep_log_small()?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(on("write"))?;
        let limits = StoreLimits {
            events: self.settings.events(),
            ..self.settings.limits
        };
        let mut writer = Writer::new(&transaction, &mut self.known, limits, now)?;
        let value = work(&mut writer)?;
        writer.finish()?;
        transaction.commit().map_err(on("write"))?;
        Ok(value)
    }

    /// Returns the disk space that the store uses.
    pub fn used(&self) -> Result<StoreSize, StoreError> {
        let pages = |name: &str| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, u32>(0))
                .map(|pages| u64::from(pages) * u64::from(PAGE))
                .map_err(on("measure"))
        };
        Ok(StoreSize {
            database: pages("page_count")?,
            unused: pages("freelist_count")?,
            log: self.log_size(),
        })
    }

    fn log_size(&self) -> u64 {
        fs::metadata(beside(&self.path, "-wal")).map_or(0, |metadata| metadata.len())
    }

    fn keep_log_small(&mut self) -> Result<(), StoreError> {
        let most = self.settings.log();
        if self.log_size() <= LOG_TO_EMPTY.min(most / 2) || self.empty_log()? {
            return Ok(());
        }
        let bytes = self.log_size();
        if bytes > most {
            return Err(StoreError::LogHeld { bytes });
        }
        Ok(())
    }

    /// Copies the log into the database and empties it. Returns false if a reader holds
    /// it.
    pub(super) fn empty_log(&mut self) -> Result<bool, StoreError> {
        let busy: bool = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(on("copy the log of"))?;
        Ok(!busy)
    }

    /// Copies the log into the database if the last checkpoint is too long ago.
    pub(super) fn checkpoint_if_due(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let since = self.checkpointed.map(|at| now.duration_since(at).abs());
        if since.is_some_and(|since| since < CHECKPOINT_EVERY) {
            return Ok(());
        }
        self.checkpointed = Some(now);
        self.connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .map_err(on("copy the log of"))
    }

    /// Removes the oldest rows if the database is nearly as large as it may be. While one
    /// device has more than half of all rows, removes only rows of this device.
    pub(super) fn make_room(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let most = self.settings.database();
        let used = self.used()?;
        if used.database.saturating_sub(used.unused) <= most / 10 * 9 {
            return Ok(());
        }
        let mut removed = Removed::default();
        for _ in 0..MOST_CHUNKS {
            let chunk = self.transaction(now, |writer| {
                let chunk = remove::oldest(writer, Removal::Size)?;
                // A smaller size than before has room for fewer events.
                remove::excess_events(writer)?;
                Ok(chunk)
            })?;
            removed.add(chunk);
            let used = self.used()?;
            if chunk.is_nothing() || used.database.saturating_sub(used.unused) <= most / 20 * 17 {
                break;
            }
        }
        if removed.is_nothing() {
            return Ok(());
        }
        self.transaction(now, |writer| merkle_log::make_room(writer))?;
        self.write_event(&size_event(removed, now), now)?;
        Ok(())
    }
}

fn size_event(removed: Removed, now: Timestamp) -> Event {
    let what = Happening::Removed {
        reason: Removal::Size.word().to_owned(),
        rows: removed.rows,
        until: removed.until().map(|until| until.to_string()),
    };
    what.at(now)
}
