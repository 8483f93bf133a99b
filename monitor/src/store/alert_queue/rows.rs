//! The statements that write rows of the queue, within a transaction of the caller.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, Transaction};

use crate::alerts::{Alert, AlertKind, AlertSettings, Condition, Message};

/// The most messages that wait for one target. The oldest go first.
pub(super) const MOST_QUEUED: u32 = 1_000;

/// The most keys that are remembered.
pub(super) const MOST_SEEN: u32 = 50_000;

/// Time after which a key is forgotten that did not come again.
const SEEN_FOR: SignedDuration = SignedDuration::from_hours(180 * 24);

pub(super) fn set_cursor(transaction: &Transaction<'_>, event: i64) -> rusqlite::Result<()> {
    let insert = "INSERT INTO cursor VALUES (0, ?1) ON CONFLICT (id) DO UPDATE SET event = ?1";
    transaction.execute(insert, [event]).map(drop)
}

fn mac_of(alert: &Alert) -> Option<&[u8]> {
    alert.device.as_ref().map(|device| device.mac.0.as_slice())
}

pub(super) fn see(transaction: &Transaction<'_>, alert: &Alert) -> rusqlite::Result<()> {
    let insert = "INSERT INTO seen VALUES (?1, ?2, ?3)
        ON CONFLICT (key) DO UPDATE SET at = max(at, ?2)";
    let values = (&alert.key, alert.at.as_second(), mac_of(alert));
    transaction.execute(insert, values).map(drop)
}

/// True if the alert was not made before. First contacts and devices are new once; all others
/// again after `repeat_after`.
pub(super) fn is_new(
    transaction: &Transaction<'_>,
    alert: &Alert,
    settings: &AlertSettings,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let select = "SELECT at FROM seen WHERE key = ?1";
    let seen = transaction.query_row(select, [&alert.key], |row| row.get::<_, i64>(0));
    let Some(at) = seen.optional()? else {
        return Ok(true);
    };
    let repeat_after = i64::try_from(settings.repeat_after.as_secs()).unwrap_or(i64::MAX);
    Ok(!is_told_once(alert.kind) && now.as_second().saturating_sub(at) >= repeat_after)
}

/// True for an alert that is not repeated.
pub(super) const fn is_told_once(kind: AlertKind) -> bool {
    matches!(kind, AlertKind::FirstContact | AlertKind::NewDevice)
}

/// Queues the messages of an alert, one for each target. Beyond a target's limit, alerts are
/// only counted.
pub(super) fn queue(
    transaction: &Transaction<'_>,
    alert: &Alert,
    settings: &AlertSettings,
    now: Timestamp,
) -> rusqlite::Result<()> {
    for (target, include) in settings.targets_of(alert) {
        let select = "SELECT count(*) FROM made WHERE target = ?1 AND at > ?2";
        let hour_ago = now.as_second() - 3_600;
        let made: u32 = transaction.query_row(select, (target, hour_ago), |row| row.get(0))?;
        if made >= settings.most_per_hour {
            let hold = "INSERT INTO held VALUES (?1, ?2, 1, ?3)
                ON CONFLICT (target, kind) DO UPDATE SET number = number + 1";
            transaction.execute(hold, (target, alert.kind.word(), now.as_second()))?;
            continue;
        }
        transaction.execute(
            "INSERT INTO made VALUES (?1, ?2)",
            (target, now.as_second()),
        )?;
        insert(
            transaction,
            target,
            alert,
            &alert.message(include),
            settings,
            now,
        )?;
    }
    Ok(())
}

fn insert(
    transaction: &Transaction<'_>,
    target: &str,
    alert: &Alert,
    message: &Message,
    settings: &AlertSettings,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let quiet = settings.quiet.as_ref();
    let due = quiet
        .and_then(|quiet| quiet.until(now, alert.kind))
        .unwrap_or(now);
    // Maps with text keys only, so it cannot fail.
    let json = serde_json::to_string(message).unwrap_or_default();
    let insert = "INSERT INTO queue (target, made, due, tries, mac, message)
        VALUES (?1, ?2, ?3, 0, ?4, ?5)";
    transaction.execute(
        insert,
        (
            target,
            now.as_second(),
            due.as_second(),
            mac_of(alert),
            json,
        ),
    )?;
    let delete = "DELETE FROM queue WHERE target = ?1 AND id <= (
        SELECT id FROM queue WHERE target = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    transaction.execute(delete, (target, MOST_QUEUED)).map(drop)
}

/// Keeps the tables small, and tells after an hour how many alerts were held back.
pub(super) fn trim(
    transaction: &Transaction<'_>,
    settings: &AlertSettings,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let hour_ago = now.as_second() - 3_600;
    transaction.execute("DELETE FROM made WHERE at <= ?1", [hour_ago])?;
    let expired = now.as_second() - SEEN_FOR.as_secs();
    transaction.execute("DELETE FROM seen WHERE at <= ?1", [expired])?;
    transaction.execute(
        "DELETE FROM seen WHERE at <= (SELECT at FROM seen ORDER BY at DESC LIMIT 1 OFFSET ?1)",
        [MOST_SEEN],
    )?;
    let select = "SELECT target, kind, number FROM held WHERE since <= ?1";
    let held: Vec<(String, String, i64)> = transaction
        .prepare_cached(select)?
        .query_map([hour_ago], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (target, word, number) in held {
        transaction.execute(
            "DELETE FROM held WHERE target = ?1 AND kind = ?2",
            (&target, &word),
        )?;
        let kind = AlertKind::ALL.into_iter().find(|kind| kind.word() == word);
        if let Some(kind) = kind.filter(|_| settings.targets.contains_key(&target)) {
            let alert = Alert::suppressed(kind, number.unsigned_abs(), now);
            let message = alert.message(&BTreeSet::new());
            insert(transaction, &target, &alert, &message, settings, now)?;
        }
    }
    Ok(())
}

/// The conditions that lasted at the last comparison, and whether they were alerted.
pub(super) fn active(
    transaction: &Transaction<'_>,
) -> rusqlite::Result<BTreeMap<String, (Condition, bool)>> {
    let select = "SELECT key, kind, subject, alerted FROM active";
    let mut statement = transaction.prepare_cached(select)?;
    let rows = statement.query_map([], |row| {
        let word: String = row.get(1)?;
        let kind = AlertKind::ALL.into_iter().find(|kind| kind.word() == word);
        let condition = Condition {
            kind: kind.unwrap_or(AlertKind::Blind),
            subject: row.get(2)?,
            detail: None,
        };
        Ok((row.get(0)?, (condition, row.get(3)?)))
    })?;
    rows.collect()
}
