//! Writes and reads what the daemon's checks (`monitor doctor`) found.

use jiff::Timestamp;

use super::{
    Store,
    error::{StoreError, on},
    reader::View,
    records,
    types::StoredEvent,
};
use crate::evidence::{
    event::Happening,
    noted::{Noted, Standing},
};

impl Store {
    /// Writes what changed since the last findings of this store. `standing` is `None` before
    /// the first call of a process.
    ///
    /// # Errors
    ///
    /// Returns the error of the database.
    pub fn write_findings(
        &mut self,
        standing: &mut Option<Standing>,
        found: &[Noted],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let known = match standing.take() {
            Some(known) => known,
            None => self.standing_findings()?,
        };
        let known = standing.insert(known);
        let changes = known.changes(found, now);
        if changes.is_empty() {
            return Ok(());
        }
        self.make_room(now)?;
        self.transaction(now, |writer| {
            for noted in &changes {
                let event = Happening::Doctor(noted.clone()).at(now);
                records::insert_event(writer, &event, None)?;
            }
            Ok(())
        })?;
        for noted in changes {
            known.take(noted, now);
        }
        Ok(())
    }

    fn standing_findings(&self) -> Result<Standing, StoreError> {
        let select = "SELECT at, json FROM event WHERE kind = 'doctor' ORDER BY id";
        let mut statement = self.connection.prepare_cached(select).map_err(on("read"))?;
        let found = statement.query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        });
        let mut events = Vec::new();
        for event in found.map_err(on("read"))? {
            let (at, json) = event.map_err(on("read"))?;
            if let Ok(at) = Timestamp::from_millisecond(at)
                && let Ok(Happening::Doctor(noted)) = serde_json::from_str(&json)
            {
                events.push((at, noted));
            }
        }
        Ok(Standing::after(events))
    }
}

impl View<'_> {
    /// Returns the findings up to a time, the oldest first.
    ///
    /// # Errors
    ///
    /// Returns the error of the database.
    pub fn findings(&self, until: Timestamp) -> Result<Vec<(Timestamp, Noted)>, StoreError> {
        let select = "SELECT event.id, at, kind, NULL, json FROM event
            WHERE kind = 'doctor' AND at <= ?1 ORDER BY event.id";
        let events = self.events_of(select, [until.as_millisecond()])?;
        let each = events.into_iter().filter_map(|StoredEvent { event, .. }| {
            match serde_json::from_str(&event.json) {
                Ok(Happening::Doctor(noted)) => Some((event.at, noted)),
                _ => None,
            }
        });
        Ok(each.collect())
    }
}
