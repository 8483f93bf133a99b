//! Writes heads of the log that an authority stamped.

use jiff::Timestamp;

use super::{Store, error::StoreError, merkle_log, records};
use crate::evidence::{event::Happening, published::Published};

impl Store {
    /// Writes the event of a stamp that was received at `now`. Returns the number of the event,
    /// or `None` if the stamp is of another log than that of this store, or if the event is too
    /// long.
    ///
    /// # Errors
    ///
    /// Returns the error of the database.
    pub fn write_published(
        &mut self,
        published: &Published,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        if merkle_log::origin(&self.connection)?.as_deref() != Some(published.log.as_str()) {
            return Ok(None);
        }
        self.make_room(now)?;
        let event = Happening::Published(published.clone()).at(now);
        self.transaction(now, |writer| records::insert_event(writer, &event, None))
    }
}
