//! Which events a period had, from the store.

use std::{collections::VecDeque, path::Path};

use jiff::Timestamp;

use crate::{
    evidence::event::{EventView, EventsView, Happening},
    flows::FlowFilter,
    store::{StoreError, StoreReader, StoredEvent, View},
};

/// Number of events that are read at once. It bounds the memory.
const BATCH: u32 = 1_000;

/// Reads events of the store in `state_dir`. With `after`, the first ones that come after the
/// event with this number; else the last ones. `filter.limit` is the most events of the answer.
///
/// # Errors
///
/// Returns an error if the store cannot be read.
pub fn read(
    state_dir: &Path,
    after: Option<i64>,
    filter: &FlowFilter,
) -> Result<EventsView, StoreError> {
    let reader = match state_dir.try_exists() {
        Ok(false) => None,
        _ => StoreReader::open(state_dir)?,
    };
    let Some(mut reader) = reader else {
        return Ok(EventsView::default());
    };
    let view = reader.view()?;
    match after {
        Some(after) => first_after(&view, after, filter),
        None => last(&view, filter),
    }
}

/// Counts the first contacts since a time. `None` if there is no store.
///
/// # Errors
///
/// Returns an error if the store cannot be read.
pub fn first_contacts(state_dir: &Path, since: Timestamp) -> Result<Option<u64>, StoreError> {
    let Some(mut reader) = StoreReader::open(state_dir)? else {
        return Ok(None);
    };
    let view = reader.view()?;
    view.count_events(Happening::FIRST_CONTACT, since).map(Some)
}

fn first_after(view: &View<'_>, after: i64, filter: &FlowFilter) -> Result<EventsView, StoreError> {
    let mut found = EventsView {
        last: after,
        ..EventsView::default()
    };
    loop {
        let batch = view.events(found.last, BATCH)?;
        if batch.is_empty() {
            return Ok(found);
        }
        for stored in batch {
            if found.events.len() == filter.limit {
                found.more = true;
                return Ok(found);
            }
            found.last = stored.id;
            found.events.extend(shown(stored, filter));
        }
    }
}

fn last(view: &View<'_>, filter: &FlowFilter) -> Result<EventsView, StoreError> {
    let (mut events, mut last) = (VecDeque::new(), 0);
    loop {
        let batch = view.events(last, BATCH)?;
        if batch.is_empty() {
            break;
        }
        for stored in batch {
            last = stored.id;
            events.extend(shown(stored, filter));
            if events.len() > filter.limit {
                events.pop_front();
            }
        }
    }
    Ok(EventsView {
        events: events.into(),
        last,
        more: false,
    })
}

/// The event, unless the filter leaves it out. A condition on devices, policies or destinations
/// leaves out events that have none.
fn shown(stored: StoredEvent, filter: &FlowFilter) -> Option<EventView> {
    let StoredEvent { id, event } = stored;
    let is_late = filter.since.is_none_or(|since| event.at >= since)
        && filter.until.is_none_or(|until| event.at < until);
    let is_device = filter.devices.is_empty()
        || event
            .device
            .is_some_and(|device| filter.devices.contains(&device));
    if !is_late || !is_device {
        return None;
    }
    let view = EventView::read(id, event.at, event.device, &event.json)?;
    let is_policy = filter
        .policy
        .as_ref()
        .is_none_or(|policy| view.what.policies().contains(policy));
    let is_destination = filter.destination.is_none_or(|(first, last)| {
        let destination = view.what.destination();
        destination.is_some_and(|destination| {
            first.is_ipv4() == destination.is_ipv4() && (first..=last).contains(&destination)
        })
    });
    (is_policy && is_destination).then_some(view)
}
