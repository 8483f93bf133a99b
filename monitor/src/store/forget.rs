//! Erases a device.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
    params,
};

use super::{
    Store,
    aside::{self, io_error},
    error::{Remedy, StoreError, on},
    merkle_log,
    open::bound_memory,
    remove,
    types::Removal,
    writer::Writer,
};
use crate::{new_file, policy::MacAddress};

/// Number of flow ends that one transaction removes.
const ENDS: u32 = 5_000;

/// What [`Store::forget`] erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Rows of packets. Their sums stay, without the device.
    pub rows: u64,
    /// Flow ends, claims, facts and events.
    pub others: u64,
    /// Damaged databases and copies of databases that were removed, because they may hold
    /// the device.
    pub files: usize,
    /// False if a reader held the log, or the disk has no room for a second copy of the
    /// database. Then unused bytes of the files may still hold the device: repeat the call.
    pub complete: bool,
}

impl Store {
    /// Erases a device and everything about it: its row, flows, claims, facts and events.
    /// Then writes the database anew, and empties the log. The sums of its packets move to
    /// the removed sums, so that no policy loses a packet. For a moment the call needs twice
    /// the size of the database on the disk. Blocks that the file system frees are not
    /// overwritten.
    ///
    /// After an error, or if the process is killed, the device may be erased in part. Then
    /// repeat the call. A device without rows is not an error.
    pub fn forget(&mut self, mac: MacAddress, now: Timestamp) -> Result<Forgotten, StoreError> {
        self.forget_all(&[mac], now)
    }

    /// Erases several devices as [`Self::forget`], and writes the database anew once.
    pub fn forget_all(
        &mut self,
        macs: &[MacAddress],
        now: Timestamp,
    ) -> Result<Forgotten, StoreError> {
        let mut forgotten = Forgotten::default();
        for mac in macs {
            while self.forget_step(*mac, now, &mut forgotten)? {}
        }
        forgotten.files = aside::remove_all(&self.path)?;
        forgotten.complete = match self.write_anew() {
            Err(error) if error.remedy() == Remedy::Retry => false,
            done => done? && self.empty_log()?,
        };
        Ok(forgotten)
    }

    /// Writes the database anew. Overwriting deleted rows with zeros is not enough: when
    /// SQLite moves rows between pages, copies of them stay in unused bytes of a page.
    /// Returns false if a reader holds the log, or the disk has no room.
    ///
    /// The statement `VACUUM` would put its temporary file into another directory, or into
    /// memory.
    fn write_anew(&mut self) -> Result<bool, StoreError> {
        if !self.empty_log()? {
            return Ok(false);
        }
        let used = self.used()?;
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        if aside::free_bytes(directory)?
            < used.database.saturating_sub(used.unused).saturating_mul(2)
        {
            return Ok(false);
        }
        let file = new_file::begin(directory).map_err(io_error("create a file in", directory))?;
        let mut copy = || {
            let path = file.path().to_string_lossy();
            self.connection.execute("VACUUM INTO ?1", [path])?;
            let copy = Connection::open_with_flags(file.path(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            bound_memory(&copy)?;
            let backup = Backup::new(&copy, &mut self.connection)?;
            backup.step(-1)
        };
        Ok(copy().map_err(on("write anew"))? == StepResult::Done)
    }

    /// Erases a part of a device. Returns false if nothing is left.
    fn forget_step(
        &mut self,
        mac: MacAddress,
        now: Timestamp,
        forgotten: &mut Forgotten,
    ) -> Result<bool, StoreError> {
        let (rows, others) = self.transaction(now, |writer| {
            let select = "SELECT id FROM device WHERE mac = ?1";
            let Some(device) = writer.first(select, params![mac.0])? else {
                // Policies may name a device that sent nothing.
                forget_in_policies(writer, mac)?;
                return Ok((0, 0));
            };
            merkle_log::forget(writer, device)?;
            let rows = remove::oldest_of(writer, device, Removal::Forgotten)?.rows;
            if rows > 0 {
                return Ok((rows, 0));
            }
            let ends = ends_of(writer, device)?;
            if !ends.is_empty() {
                return Ok((0, remove::remove_ends(writer, &ends)?));
            }
            forget_in_policies(writer, mac)?;
            Ok((0, remove_device(writer, device)?))
        })?;
        forgotten.rows += rows;
        forgotten.others += others;
        Ok(rows + others > 0)
    }
}

fn ends_of(writer: &Writer<'_>, device: i64) -> Result<Vec<i64>, StoreError> {
    let select = "SELECT id FROM flow_end WHERE device = ?1 LIMIT ?2";
    writer
        .connection
        .prepare_cached(select)
        .and_then(|mut statement| {
            let found = statement.query_map(params![device, ENDS], |row| row.get(0))?;
            found.collect()
        })
        .map_err(on("read"))
}

/// Takes the MAC out of the stored texts of policies. The policy files still have it.
fn forget_in_policies(writer: &Writer<'_>, mac: MacAddress) -> Result<(), StoreError> {
    let update = "UPDATE ruleset SET policies = replace(policies, ?1, '(forgotten)')
        WHERE instr(policies, ?1)";
    writer.change(update, [mac.to_string()])?;
    Ok(())
}

fn remove_device(writer: &Writer<'_>, device: i64) -> Result<u64, StoreError> {
    let mut removed = 0;
    for delete in [
        "DELETE FROM device_fact WHERE device = ?1",
        "DELETE FROM encrypted WHERE device = ?1",
        "DELETE FROM mark_count WHERE mark IN (SELECT id FROM event WHERE device = ?1)",
        "DELETE FROM event WHERE device = ?1",
        "DELETE FROM mark_count WHERE device = ?1",
        "DELETE FROM device WHERE id = ?1",
    ] {
        removed += writer.change(delete, [device])? as u64;
    }
    Ok(removed)
}
