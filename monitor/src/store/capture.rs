//! Writes and reads the events of captures.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    Store,
    error::{StoreError, on},
    reader::View,
    records,
    types::{Event, StoredEvent},
};
use crate::evidence::event::Happening;

/// The latest events of captures that are looked at. One capture runs at a time, so at most the
/// last begin lacks its end, unless writes failed.
const LATEST: u32 = 200;

impl Store {
    /// Writes the begin or the end of a capture at `now`. Returns the number of the event, or
    /// `None` if it is too long.
    ///
    /// # Errors
    ///
    /// Returns the error of the database.
    pub fn write_capture(
        &mut self,
        what: &Happening,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        self.make_room(now)?;
        let event = what.at(now);
        self.transaction(now, |writer| records::insert_event(writer, &event, None))
    }

    /// Writes for each capture without an end that it was not finished. No capture may run.
    /// Returns their number.
    ///
    /// # Errors
    ///
    /// Returns the error of the database.
    pub fn end_captures(&mut self, now: Timestamp) -> Result<usize, StoreError> {
        let unfinished = self.unfinished()?;
        if unfinished.is_empty() {
            return Ok(0);
        }
        self.make_room(now)?;
        let events: Vec<Event> = unfinished.iter().map(|what| what.at(now)).collect();
        self.transaction(now, |writer| {
            for event in &events {
                records::insert_event(writer, event, None)?;
            }
            Ok(events.len())
        })
    }

    /// The captures whose begin has no end, the latest first.
    fn unfinished(&self) -> Result<Vec<Happening>, StoreError> {
        let select = "SELECT json FROM event
            WHERE kind IN ('capture-begin', 'capture', 'capture-not-finished')
            ORDER BY id DESC LIMIT ?1";
        let mut statement = self.connection.prepare_cached(select).map_err(on("read"))?;
        let found = statement.query_map([LATEST], |row| row.get::<_, String>(0));
        let (mut ended, mut unfinished) = (BTreeSet::new(), Vec::new());
        // The end of a capture comes before its begin here.
        for json in found.map_err(on("read"))? {
            let json = json.map_err(on("read"))?;
            match serde_json::from_str(&json) {
                Ok(Happening::Capture(captured)) => drop(ended.insert(captured.capture)),
                Ok(Happening::CaptureNotFinished(begun)) => drop(ended.insert(begun.capture)),
                Ok(Happening::CaptureBegin(begun)) if !ended.contains(&begun.capture) => {
                    unfinished.push(Happening::CaptureNotFinished(begun));
                }
                _ => {}
            }
        }
        Ok(unfinished)
    }
}

impl View<'_> {
    /// Returns the begins and ends of captures from `since` on, the oldest first.
    pub fn captures(&self, since: Timestamp) -> Result<Vec<StoredEvent>, StoreError> {
        let select = "SELECT event.id, at, kind, NULL, json FROM event
            WHERE kind IN ('capture-begin', 'capture', 'capture-not-finished') AND at >= ?1
            ORDER BY event.id";
        self.events_of(select, [since.as_millisecond()])
    }
}
