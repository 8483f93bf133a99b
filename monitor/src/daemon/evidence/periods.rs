//! Periods in which the filter was attached, as the store keeps them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    snapshot::{InterfaceSnapshot, Mode},
    store::{Attachment, Store, StoreError},
};

/// The period of each interface to which the filter is attached.
#[derive(Debug)]
pub(super) struct Periods(BTreeMap<String, Attachment>);

impl Periods {
    /// The periods that go on. While the maps of the filter stay in the kernel, the filter
    /// worked on without a daemon, on the interfaces of the last look. Every other period has
    /// ended.
    pub(super) fn of(store: &Store, is_same_filter: bool) -> Result<Self, StoreError> {
        let last = if is_same_filter {
            store.last_attachments()?
        } else {
            Vec::new()
        };
        let last_look = last.iter().map(|attachment| attachment.until).max();
        let named = last.into_iter();
        let named = named.filter(|attachment| Some(attachment.until) == last_look);
        let named = named.map(|attachment| (attachment.interface.clone(), attachment));
        Ok(Self(named.collect()))
    }

    /// Notes where the filter is attached now. Returns what to store.
    pub(super) fn look(
        &mut self,
        interfaces: &[InterfaceSnapshot],
        now: Timestamp,
    ) -> Vec<Attachment> {
        let before = std::mem::take(&mut self.0);
        // An interface towards the internet is listed for each direction.
        let arriving = |one: &&InterfaceSnapshot| !one.mode.is_some_and(Mode::is_egress);
        for interface in interfaces.iter().filter(arriving) {
            let (Some(mode), Some(generation)) = (interface.mode, interface.generation) else {
                continue;
            };
            let begun = before.get(&interface.name);
            let begun = begun.filter(|begun| begun.mode == mode.name());
            let attachment = Attachment {
                interface: interface.name.clone(),
                mode: mode.name().to_owned(),
                generation: u32::try_from(generation).unwrap_or(u32::MAX),
                since: begun.map_or(now, |begun| begun.since),
                until: now,
            };
            self.0.insert(interface.name.clone(), attachment);
        }
        self.0.values().cloned().collect()
    }
}
