//! Writes what operators did over the page's login.

use jiff::Timestamp;

use super::{Store, error::StoreError, records};
use crate::{
    evidence::{event::Happening, page_event::PageEvent},
    policy::MacAddress,
};

impl Store {
    /// Writes an operator's act at `now`, about a device if the store knows it. Returns the number
    /// of the event, or `None` if it is too long.
    ///
    /// # Errors
    ///
    /// Returns the error of the database.
    pub fn write_page_event(
        &mut self,
        event: &PageEvent,
        device: Option<MacAddress>,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        self.make_room(now)?;
        let event = Happening::Page(event.clone()).at(now);
        self.transaction(now, |writer| {
            let device = match device {
                Some(mac) => writer.known_device(mac)?,
                None => None,
            };
            let device = device.map(|position| writer.device_id(position));
            records::insert_event(writer, &event, device)
        })
    }
}
