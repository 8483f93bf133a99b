//! Writes facts about devices, encrypted DNS, generations, attachments, losses, states of
//! the clock and events.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Store, bucket,
    error::{StoreError, on},
    merkle_log,
    reader::time,
    remove, rows,
    types::{Attachment, DeviceFact, EncryptedDns, Event, Instance, Loss},
    write,
    writer::{OTHERS, Writer},
};
use crate::{
    evidence::event::Happening,
    policy::{MacAddress, PolicyName},
};

/// Longest word, such as a kind or a reason, in bytes.
const MOST_WORD: usize = 64;

/// Longest value of a fact in bytes.
const MOST_VALUE: usize = 255;

/// Longest event in bytes of JSON.
const MOST_EVENT: usize = 1_024;

/// Kinds of events that become lines of the log. The lines about packets and claims tell the
/// others.
pub(super) const LOGGED: [&str; 10] = [
    "mark",
    "capture-begin",
    "capture",
    "capture-not-finished",
    "published",
    "doctor",
    "generation",
    "attached",
    "loss",
    "removed",
];

/// Largest number of stored states of the clock. The oldest goes first.
const MOST_CLOCK_STATES: u32 = 10_000;

/// Largest number of stored attachments and of stored generations. The oldest goes first.
const MOST_PERIODS: u32 = 10_000;

/// Largest number of stored rows about encrypted DNS of one device. The row that was seen
/// last the longest ago goes first.
const MOST_ENCRYPTED: u32 = 64;

impl Store {
    /// Writes facts about devices, in one transaction. Skips devices without stored flows and
    /// claims, and values that are too long. Returns the devices that the store knows.
    pub fn write_device_facts(
        &mut self,
        facts: &BTreeMap<MacAddress, Vec<DeviceFact>>,
        now: Timestamp,
    ) -> Result<Vec<MacAddress>, StoreError> {
        let known = self.known(facts.keys().copied())?;
        // Most devices in memory have no row, and a transaction costs a write to the disk.
        if known.is_empty() {
            return Ok(known);
        }
        self.transaction(now, |writer| {
            for device in &known {
                let of_device = facts.get(device).map(Vec::as_slice).unwrap_or_default();
                if let Some(position) = writer.known_device(*device)? {
                    let id = writer.device_id(position);
                    write_facts(writer, id, of_device)?;
                }
            }
            Ok(())
        })?;
        Ok(known)
    }

    /// Returns the devices that have a row.
    fn known(
        &self,
        devices: impl Iterator<Item = MacAddress>,
    ) -> Result<Vec<MacAddress>, StoreError> {
        let select = "SELECT 1 FROM device WHERE mac = ?1";
        let mut statement = self.connection.prepare_cached(select).map_err(on("read"))?;
        let mut known = Vec::new();
        for device in devices {
            if statement.exists([device.0]).map_err(on("read"))? {
                known.push(device);
            }
        }
        Ok(known)
    }

    /// Writes which encrypted DNS devices use. Skips devices without stored flows and
    /// claims, and names that are too long. Returns the number of written rows.
    pub fn write_encrypted(
        &mut self,
        found: &[EncryptedDns],
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.transaction(now, |writer| {
            let mut written = 0;
            for one in found {
                if one.name.len() > MOST_VALUE || one.kind.len() > MOST_WORD {
                    continue;
                }
                if let Some(position) = writer.known_device(one.device)? {
                    write_encrypted(writer, writer.device_id(position), one)?;
                    written += 1;
                }
            }
            Ok(written)
        })
    }

    /// Adds losses to the hour of `now`. The first of a reason in an hour is an event too.
    pub fn write_losses(&mut self, losses: &[Loss], now: Timestamp) -> Result<(), StoreError> {
        if losses.is_empty() {
            return Ok(());
        }
        self.transaction(now, |writer| {
            losses.iter().try_for_each(|loss| {
                if is_first_of_hour(writer, loss)? {
                    let what = Happening::Loss {
                        reason: loss.reason.clone(),
                        packets: loss.packets,
                    };
                    add_event(writer, &what.at(writer.now))?;
                }
                add_loss(writer, loss)
            })
        })
    }

    /// Writes that a generation came into force. The one before ends at the same time. If the
    /// store did not know that, it is an event too.
    pub fn write_generation(
        &mut self,
        instance: Instance,
        number: u32,
        ruleset: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.transaction(now, |writer| {
            let (instance, at) = (write::instance(writer, instance)?, now.as_millisecond());
            let current = "SELECT 1 FROM generation
                WHERE instance = ?1 AND until IS NULL AND number = ?2 AND ruleset = ?3";
            let known = writer.first(current, params![instance, number, ruleset])?;
            if known.is_none() {
                let what = Happening::Generation {
                    generation: number.into(),
                    ruleset: String::from_utf8_lossy(ruleset).into_owned(),
                };
                add_event(writer, &what.at(now))?;
            }
            let end = "UPDATE generation SET until = ?2
                WHERE instance = ?1 AND until IS NULL AND number <> ?3";
            writer.change(end, params![instance, at, number])?;
            let insert = "INSERT INTO generation VALUES (?1, ?2, ?3, ?4, NULL)
                ON CONFLICT DO UPDATE SET ruleset = excluded.ruleset, until = NULL";
            writer.change(insert, params![instance, number, ruleset, at])?;
            let oldest = "DELETE FROM generation WHERE since <= (
                SELECT since FROM generation ORDER BY since DESC LIMIT 1 OFFSET ?1)";
            writer.change(oldest, [MOST_PERIODS])?;
            Ok(())
        })
    }

    /// Writes attachments. One with the interface and begin of a stored one only changes its
    /// end. A new one is an event too.
    pub fn write_attachments(
        &mut self,
        attachments: &[Attachment],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if attachments.is_empty() {
            return Ok(());
        }
        self.transaction(now, |writer| {
            attachments
                .iter()
                .try_for_each(|attachment| write_attachment(writer, attachment))
        })
    }

    /// Returns the last attachment of each interface.
    pub fn last_attachments(&self) -> Result<Vec<Attachment>, StoreError> {
        let select = "SELECT name, mode, generation, since, until
            FROM attachment JOIN interface ON interface.id = interface
            WHERE attachment.id IN (SELECT max(id) FROM attachment GROUP BY interface)
            ORDER BY name";
        attachments(&self.connection, select, [])
    }

    /// Writes the state of the clock, if it differs from the last stored one.
    pub fn write_clock(&mut self, is_synchronised: bool, now: Timestamp) -> Result<(), StoreError> {
        self.transaction(now, |writer| {
            let insert = "INSERT OR REPLACE INTO clock SELECT ?1, ?2 WHERE ?2 IS NOT
                (SELECT synchronised FROM clock ORDER BY at DESC LIMIT 1)";
            writer.change(insert, params![now.as_millisecond(), is_synchronised])?;
            let oldest = "DELETE FROM clock WHERE at <= (
                SELECT at FROM clock ORDER BY at DESC LIMIT 1 OFFSET ?1)";
            writer.change(oldest, [MOST_CLOCK_STATES])?;
            Ok(())
        })
    }

    /// Writes an event. Returns its number, or `None` if it exceeds a limit. Then the
    /// store holds a loss with the reason "event".
    pub fn write_event(
        &mut self,
        event: &Event,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        self.transaction(now, |writer| add_event(writer, event))
    }
}

/// Writes an event, or the loss of it.
pub(super) fn add_event(writer: &mut Writer<'_>, event: &Event) -> Result<Option<i64>, StoreError> {
    let id = write_event(writer, event)?;
    if id.is_none() {
        add_loss(writer, &lost_event())?;
    }
    Ok(id)
}

fn write_facts(writer: &Writer<'_>, device: i64, facts: &[DeviceFact]) -> Result<(), StoreError> {
    let upsert = "INSERT INTO device_fact VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT DO UPDATE SET first = min(first, excluded.first),
            last = max(last, excluded.last)";
    let facts = facts.iter().filter(|fact| {
        fact.value.len() <= MOST_VALUE
            && fact.kind.len() <= MOST_WORD
            && fact.source.len() <= MOST_WORD
    });
    for fact in facts {
        let values = params![
            device,
            fact.kind,
            fact.value,
            fact.source,
            fact.first.as_millisecond(),
            fact.last.as_millisecond(),
        ];
        writer.change(upsert, values)?;
    }
    let oldest = "DELETE FROM device_fact WHERE device = ?1 AND (kind, value, source) IN (
        SELECT kind, value, source FROM device_fact WHERE device = ?1
        ORDER BY last DESC, kind, value, source LIMIT -1 OFFSET ?2)";
    writer.change(oldest, params![device, writer.limits.facts_of_device])?;
    Ok(())
}

fn write_encrypted(
    writer: &Writer<'_>,
    device: i64,
    found: &EncryptedDns,
) -> Result<(), StoreError> {
    let upsert = "INSERT INTO encrypted VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT DO UPDATE SET first = min(first, excluded.first),
            last = max(last, excluded.last)";
    let values = params![
        device,
        found.kind,
        rows::optional_address(found.address),
        found.port,
        found.name,
        found.first.as_millisecond(),
        found.last.as_millisecond(),
    ];
    writer.change(upsert, values)?;
    let oldest = "DELETE FROM encrypted WHERE device = ?1 AND (kind, address, port, name) IN (
        SELECT kind, address, port, name FROM encrypted WHERE device = ?1
        ORDER BY last DESC, kind, address, port, name LIMIT -1 OFFSET ?2)";
    writer.change(oldest, params![device, MOST_ENCRYPTED])?;
    Ok(())
}

/// Adds a loss to its hour. If the hour has too many reasons and policies, adds the loss to
/// the reason "other".
pub(super) fn add_loss(writer: &Writer<'_>, loss: &Loss) -> Result<(), StoreError> {
    let hour = bucket::hour(bucket::of(writer.now));
    let select = "SELECT count(*) FROM loss WHERE bucket = ?1";
    let count: u32 = writer
        .connection
        .prepare_cached(select)
        .and_then(|mut statement| statement.query_row([hour], |row| row.get(0)))
        .map_err(on("read"))?;
    let fits = count < writer.limits.losses && loss.reason.len() <= MOST_WORD;
    let (reason, policy) = match &loss.policy {
        _ if !fits => ("other", ""),
        Some(policy) => (loss.reason.as_str(), policy.as_str()),
        None => (loss.reason.as_str(), ""),
    };
    let upsert = "INSERT INTO loss VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET packets = packets + excluded.packets,
            bytes = bytes + excluded.bytes";
    let (packets, bytes) = (rows::number(loss.packets), rows::number(loss.bytes));
    writer.change(upsert, params![hour, reason, policy, packets, bytes])?;
    Ok(())
}

fn write_attachment(writer: &mut Writer<'_>, attachment: &Attachment) -> Result<(), StoreError> {
    let interface = writer.interface(&attachment.interface)?;
    let since = attachment.since.as_millisecond();
    let until = attachment.until.as_millisecond();
    let end = "UPDATE attachment SET until = ?3 WHERE interface = ?1 AND since = ?2";
    if writer.change(end, params![interface, since, until])? > 0 {
        return Ok(());
    }
    let insert = "INSERT INTO attachment (interface, mode, generation, since, until)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    let (mode, generation) = (&attachment.mode, attachment.generation);
    writer.change(insert, params![interface, mode, generation, since, until])?;
    let what = Happening::Attached {
        interface: attachment.interface.clone(),
        mode: mode.clone(),
    };
    add_event(writer, &what.at(attachment.since))?;
    let oldest = "DELETE FROM attachment WHERE id <= (
        SELECT id FROM attachment ORDER BY id DESC LIMIT 1 OFFSET ?1)";
    writer.change(oldest, [MOST_PERIODS])?;
    Ok(())
}

fn write_event(writer: &mut Writer<'_>, event: &Event) -> Result<Option<i64>, StoreError> {
    if is_too_long(event) {
        return Ok(None);
    }
    let device = match event.device {
        Some(mac) => {
            let position = writer.device(mac, event.at, event.at)?;
            if position == OTHERS || !writer.take_event(position) {
                return Ok(None);
            }
            Some(writer.device_id(position))
        }
        None => None,
    };
    insert_event(writer, event, device)
}

fn is_too_long(event: &Event) -> bool {
    event.json.len() > MOST_EVENT || event.kind.len() > MOST_WORD
}

/// Writes an event of the device with this row number. Returns `None` if it is too long.
pub(super) fn insert_event(
    writer: &Writer<'_>,
    event: &Event,
    device: Option<i64>,
) -> Result<Option<i64>, StoreError> {
    if is_too_long(event) {
        return Ok(None);
    }
    let insert = "INSERT INTO event (at, kind, device, json) VALUES (?1, ?2, ?3, ?4)";
    let at = event.at.as_millisecond();
    let id = writer.insert(insert, params![at, event.kind, device, event.json])?;
    if LOGGED.contains(&event.kind.as_str()) {
        merkle_log::event(writer, event, device)?;
    }
    remove::events_before(writer, id - i64::from(writer.limits.events))?;
    Ok(Some(id))
}

/// True if the hour has no loss of the same reason and policy.
fn is_first_of_hour(writer: &Writer<'_>, loss: &Loss) -> Result<bool, StoreError> {
    let hour = bucket::hour(bucket::of(writer.now));
    let select = "SELECT 1 FROM loss WHERE bucket = ?1 AND reason = ?2 AND policy = ?3";
    let policy = loss.policy.as_ref().map_or("", PolicyName::as_str);
    let known = writer.first(select, params![hour, loss.reason, policy])?;
    Ok(known.is_none())
}

fn lost_event() -> Loss {
    Loss {
        reason: "event".to_owned(),
        policy: None,
        packets: 1,
        bytes: 0,
    }
}

/// Returns true if the last stored state of the clock is "synchronised".
pub(super) fn is_synchronised(writer: &Writer<'_>) -> Result<bool, StoreError> {
    let select = "SELECT synchronised FROM clock ORDER BY at DESC LIMIT 1";
    let last: Option<bool> = writer
        .connection
        .query_row(select, [], |row| row.get(0))
        .optional()
        .map_err(on("read"))?;
    Ok(last.unwrap_or(true))
}

/// The attachments that a query finds: name, mode, generation, begin and end.
pub(super) fn attachments(
    connection: &Connection,
    select: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<Attachment>, StoreError> {
    let mut statement = connection.prepare_cached(select).map_err(on("read"))?;
    let rows = statement.query_map(values, |row| {
        let texts = (row.get(0)?, row.get(1)?);
        Ok((texts, row.get(2)?, row.get(3)?, row.get(4)?))
    });
    rows.map_err(on("read"))?
        .map(|row| {
            let ((interface, mode), generation, since, until) = row.map_err(on("read"))?;
            Ok(Attachment {
                interface,
                mode,
                generation,
                since: time(since, "attachment")?,
                until: time(until, "attachment")?,
            })
        })
        .collect()
}
