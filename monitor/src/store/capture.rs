//! Writes captures that ended.

use jiff::Timestamp;

use super::{Store, error::StoreError, records};
use crate::evidence::{captured::Captured, event::Happening};

impl Store {
    /// Writes the event of a capture that ended at `now`. Returns the number of the event, or
    /// `None` if it is too long.
    ///
    /// # Errors
    ///
    /// Returns the error of the database.
    pub fn write_capture(
        &mut self,
        captured: &Captured,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        self.make_room(now)?;
        let event = Happening::Capture(captured.clone()).at(now);
        self.transaction(now, |writer| records::insert_event(writer, &event, None))
    }
}
