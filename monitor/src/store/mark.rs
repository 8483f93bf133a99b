//! Writes marks of the operator.

use jiff::{SignedDuration, Timestamp};
use rusqlite::params;

use super::{
    Store, bucket,
    error::StoreError,
    reader::View,
    records,
    types::{Event, StoredEvent},
    writer::{OTHERS, Writer},
};
use crate::{
    evidence::{event::Happening, mark::Mark},
    policy::MacAddress,
};

/// The most rows that are copied for one mark. Beyond it, the packets just before and just
/// after the mark cannot be told apart.
const MOST_COPIED: u32 = 20_000;

/// How old a mark may be whose rows are copied.
const IS_NOW: SignedDuration = SignedDuration::from_secs(2);

impl Store {
    /// Writes a mark about each of these devices, or one about all if there are none. Returns
    /// `None` if a mark exceeds a limit. For `is_drained`, see [`Self::write_mark`].
    pub fn write_marks(
        &mut self,
        mark: &Mark,
        devices: &[MacAddress],
        at: Timestamp,
        now: Timestamp,
        is_drained: bool,
    ) -> Result<Option<()>, StoreError> {
        if devices.is_empty() {
            return Ok(self.write_mark(mark, None, at, now, is_drained)?.map(drop));
        }
        for device in devices {
            let written = self.write_mark(mark, Some(*device), at, now, is_drained)?;
            if written.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// Writes a mark. If it is about this moment, also copies the rows of its hour, so that a
    /// report can tell the packets before and after it apart. That needs `is_drained`: the
    /// caller has stored the packets that the kernel counted until now. Otherwise packets
    /// before the mark would look like packets after it. Returns the number of the event, or
    /// `None` if it exceeds a limit.
    pub fn write_mark(
        &mut self,
        mark: &Mark,
        device: Option<MacAddress>,
        at: Timestamp,
        now: Timestamp,
        is_drained: bool,
    ) -> Result<Option<i64>, StoreError> {
        self.make_room(now)?;
        let mark = Mark {
            // The caller cannot choose this time. The store shows it to the second.
            set: Timestamp::from_second(now.as_second()).ok(),
            ..mark.clone()
        };
        let what = Happening::Mark(mark);
        let event = Event {
            device,
            ..what.at(at)
        };
        self.transaction(now, |writer| {
            let id = write(writer, &event)?;
            let is_now = now.duration_since(at).abs() <= IS_NOW;
            if let Some(id) = id.filter(|_| is_now && is_drained) {
                copy_rows(writer, id, at)?;
            }
            Ok(id)
        })
    }
}

impl View<'_> {
    /// Returns the marks of a period, the oldest first.
    pub fn marks(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let select = "SELECT event.id, at, kind, mac, json
            FROM event LEFT JOIN device ON device.id = event.device
            WHERE kind = 'mark' AND at >= ?1 AND at <= ?2 ORDER BY at, event.id";
        let bounds = [since.as_millisecond(), until.as_millisecond()];
        self.events_of(select, bounds)
    }
}

/// Writes the event. A mark is no packet, so it does not change when a known device was seen.
fn write(writer: &mut Writer<'_>, event: &Event) -> Result<Option<i64>, StoreError> {
    let device = match event.device {
        None => None,
        Some(mac) => {
            let position = match writer.known_device(mac)? {
                Some(position) => position,
                None => writer.device(mac, event.at, event.at)?,
            };
            if position == OTHERS {
                return Ok(None);
            }
            Some(writer.device_id(position))
        }
    };
    records::insert_event(writer, event, device)
}

fn copy_rows(writer: &Writer<'_>, mark: i64, at: Timestamp) -> Result<(), StoreError> {
    let hour = bucket::hour(bucket::of(at));
    let count = "SELECT count(*) FROM count WHERE bucket >= ?1";
    let rows = writer.first(count, [hour])?.unwrap_or(0);
    if rows > i64::from(MOST_COPIED) {
        return Ok(());
    }
    // The mark has copies, even if no packet was counted in its hour.
    let sentinel = "INSERT INTO mark_count VALUES (?1, -1, -1, -1, -1, 0)";
    writer.change(sentinel, [mark])?;
    let copy = "INSERT INTO mark_count
        SELECT ?1, bucket, device, flow_end, list, sum(passed_packets + dropped_packets)
        FROM count WHERE bucket >= ?2 AND direction = 0 GROUP BY bucket, device, flow_end, list";
    writer.change(copy, params![mark, hour])?;
    Ok(())
}
