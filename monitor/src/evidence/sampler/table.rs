//! The open connections.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use jiff::Timestamp;

use super::{Losses, Sample, conversation::Conversation};
use crate::{evidence::names::quic::Connection, policy::MacAddress};

/// Maximum number of open connections.
pub const MAX_CONNECTIONS: usize = 1024;

/// Maximum number of open connections of one device.
pub const MAX_PER_DEVICE: usize = 16;

/// Time after its first sample at which a connection is closed.
pub const LIFE: Duration = Duration::from_secs(10);

/// What makes a connection. Keys of one device are neighbours in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    device: MacAddress,
    protocol: u8,
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
}

/// The state of a connection.
pub(super) enum State {
    /// TCP.
    Tcp(Conversation),
    /// UDP with QUIC.
    Quic(Box<Connection>),
}

struct Entry {
    state: State,
    opened: Timestamp,
    /// Number of connections that were opened before.
    order: u64,
}

/// The open connections. A connection that is done stays as a mark, without payload, so
/// that its later samples do not open it again.
///
/// A new connection closes others in this order:
/// 1. If its device has [`MAX_PER_DEVICE`], one of the same device.
/// 2. If [`MAX_CONNECTIONS`] are open, the oldest ones, as far as they are older than
///    [`LIFE`].
/// 3. If that was none, one of the device with the most connections. Among equal devices,
///    the table takes the one that has the oldest connection.
///
/// Within a device, the oldest connection that is done goes first, then the oldest.
#[derive(Default)]
pub(super) struct Table {
    entries: BTreeMap<Key, Entry>,
    /// The connections in the order in which they were opened.
    by_age: BTreeMap<u64, Key>,
    /// The devices. The last one loses a connection first.
    by_size: BTreeSet<Size>,
    opened: u64,
}

/// Number of connections of a device, order of its oldest connection, and the device.
type Size = (usize, Reverse<u64>, MacAddress);

impl Table {
    /// Returns the state of the connection of `sample`. Opens the connection if it is not
    /// open.
    pub(super) fn state(
        &mut self,
        sample: &Sample<'_>,
        new: impl FnOnce() -> State,
        losses: &mut Losses,
    ) -> Option<&mut State> {
        let key = Key::of(sample);
        let is_expired = |entry: &Entry| entry.is_expired(sample.at);
        match self.entries.get(&key).map(is_expired) {
            Some(false) => {}
            Some(true) => {
                self.close(&key, losses);
                self.open(key, new(), sample.at);
            }
            None => {
                self.make_room(key.device, sample.at, losses);
                self.open(key, new(), sample.at);
            }
        }
        Some(&mut self.entries.get_mut(&key)?.state)
    }

    /// Closes the connections that are older than [`LIFE`].
    pub(super) fn expire(&mut self, now: Timestamp, losses: &mut Losses) {
        let is_expired = |(_, entry): &(&Key, &Entry)| entry.is_expired(now);
        let expired = self.entries.iter().filter(is_expired);
        for key in expired.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.close(&key, losses);
        }
    }

    /// Discards the connections of a device.
    pub(super) fn forget(&mut self, device: MacAddress) {
        let keys = self.of_device(device).map(|(key, _)| *key);
        for key in keys.collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    /// Number of connections.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Number of payload bytes that are kept.
    pub(super) fn held(&self) -> usize {
        self.entries.values().map(Entry::held).sum()
    }

    fn make_room(&mut self, device: MacAddress, now: Timestamp, losses: &mut Losses) {
        if self.of_device(device).count() >= MAX_PER_DEVICE {
            let was_open = self.close_one_of(device, now, losses);
            losses.device_full += u64::from(was_open);
        } else if self.entries.len() >= MAX_CONNECTIONS {
            self.close_oldest_expired(now, losses);
            if self.entries.len() >= MAX_CONNECTIONS
                && let Some((_, _, largest)) = self.by_size.last()
            {
                let was_open = self.close_one_of(*largest, now, losses);
                losses.table_full += u64::from(was_open);
            }
        }
    }

    /// Closes the connections that were opened before the first one that is not expired.
    fn close_oldest_expired(&mut self, now: Timestamp, losses: &mut Losses) {
        while let Some((_, key)) = self.by_age.first_key_value()
            && self
                .entries
                .get(key)
                .is_none_or(|entry| entry.is_expired(now))
        {
            let key = *key;
            self.close(&key, losses);
        }
    }

    /// Closes a connection of a device. Returns true if the connection was neither done nor
    /// expired.
    fn close_one_of(&mut self, device: MacAddress, now: Timestamp, losses: &mut Losses) -> bool {
        let first = |(_, entry): &(&Key, &Entry)| (!entry.is_done(), entry.order);
        let Some((key, entry)) = self.of_device(device).min_by_key(first) else {
            return false;
        };
        let (key, was_open) = (*key, !entry.is_done() && !entry.is_expired(now));
        self.close(&key, losses);
        was_open
    }

    fn of_device(&self, device: MacAddress) -> impl Iterator<Item = (&Key, &Entry)> {
        let of_device = move |(key, _): &(&Key, &Entry)| key.device == device;
        let from = Key::lowest(device);
        self.entries.range(from..).take_while(of_device)
    }

    /// Returns the size of a device, or `None` if the device has no connections.
    fn size(&self, device: MacAddress) -> Option<Size> {
        let oldest = self.of_device(device).map(|(_, entry)| entry.order).min()?;
        let count = self.of_device(device).count();
        Some((count, Reverse(oldest), device))
    }

    fn open(&mut self, key: Key, state: State, opened: Timestamp) {
        let order = self.opened;
        self.opened += 1;
        self.change(key.device, |table| {
            table.by_age.insert(order, key);
            let entry = Entry {
                state,
                opened,
                order,
            };
            table.entries.insert(key, entry);
        });
    }

    fn close(&mut self, key: &Key, losses: &mut Losses) {
        if let Some(entry) = self.remove(key) {
            losses.unfinished += u64::from(entry.is_unfinished());
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        self.change(key.device, |table| {
            let entry = table.entries.remove(key)?;
            table.by_age.remove(&entry.order);
            Some(entry)
        })
    }

    /// Changes connections of a device, and its size with them.
    fn change<T>(&mut self, device: MacAddress, change: impl FnOnce(&mut Self) -> T) -> T {
        if let Some(size) = self.size(device) {
            self.by_size.remove(&size);
        }
        let result = change(self);
        self.by_size.extend(self.size(device));
        result
    }

    /// Returns true if the indexes agree with the connections.
    #[cfg(test)]
    pub(super) fn is_consistent(&self) -> bool {
        let devices: BTreeSet<_> = self.entries.keys().map(|key| key.device).collect();
        let sizes: BTreeSet<_> = devices
            .iter()
            .filter_map(|device| self.size(*device))
            .collect();
        let ages: BTreeMap<_, _> = self.entries.iter().map(|(k, e)| (e.order, *k)).collect();
        sizes == self.by_size && ages == self.by_age
    }
}

impl Key {
    fn of(sample: &Sample<'_>) -> Self {
        Self {
            device: sample.device,
            protocol: sample.protocol,
            source: (sample.source, sample.source_port),
            destination: (sample.destination, sample.port),
        }
    }

    /// Returns the lowest key of a device.
    fn lowest(device: MacAddress) -> Self {
        let lowest = (IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
        Self {
            device,
            protocol: 0,
            source: lowest,
            destination: lowest,
        }
    }
}

impl Entry {
    /// Returns true if the connection is older than [`LIFE`]. A time before its first
    /// sample counts alike, so that a clock that was set back does not keep connections.
    fn is_expired(&self, now: Timestamp) -> bool {
        now.duration_since(self.opened).unsigned_abs() >= LIFE
    }

    /// Returns true if the connection keeps no payload and takes none.
    fn is_done(&self) -> bool {
        match &self.state {
            State::Tcp(conversation) => conversation.stream().is_closed(),
            State::Quic(connection) => connection.is_done(),
        }
    }

    /// Returns true if a message has begun whose end is missing.
    fn is_unfinished(&self) -> bool {
        match &self.state {
            State::Tcp(conversation) => conversation.is_unfinished(),
            State::Quic(connection) => connection.is_unfinished(),
        }
    }

    fn held(&self) -> usize {
        match &self.state {
            State::Tcp(conversation) => conversation.stream().held(),
            State::Quic(connection) => connection.held(),
        }
    }
}
