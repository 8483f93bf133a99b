//! Chooses the neighbours of the gateway for which places are kept.
//!
//! A device can create false neighbours: it asks for the gateway's address under many
//! MACs. Therefore the number is limited. Within the limit, earlier neighbours stay, and
//! new neighbours that answered the gateway come before the others.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::policy::MacAddress;

/// Maximum number of known neighbours.
pub(super) const MOST_NEIGHBOURS: usize = 1024;

/// The known neighbours, each with the last time at which it was in the kernel's table.
#[derive(Debug, Default)]
pub(super) struct Neighbours(BTreeMap<MacAddress, Instant>);

impl Neighbours {
    /// Updates the known neighbours from the kernel's neighbour table. `found` holds its
    /// MACs; the value is true if the neighbour answered the gateway. A neighbour that left
    /// the table stays known for the time `keep`, or until another needs its room.
    pub(super) fn look(
        &mut self,
        found: &BTreeMap<MacAddress, bool>,
        now: Instant,
        keep: Duration,
    ) {
        self.0.retain(|mac, seen| {
            if found.contains_key(mac) {
                *seen = now;
            }
            now.duration_since(*seen) < keep
        });
        let with = |wanted| {
            let of_kind = found
                .iter()
                .filter(move |(_, confirmed)| **confirmed == wanted);
            of_kind.map(|(mac, _)| *mac)
        };
        let new: Vec<_> = with(true).chain(with(false)).collect();
        for mac in new {
            if self.0.contains_key(&mac) || self.make_room(now) {
                self.0.insert(mac, now);
            }
        }
    }

    /// Returns the MACs of all known neighbours.
    pub(super) fn macs(&self) -> impl Iterator<Item = MacAddress> {
        self.0.keys().copied()
    }

    /// Returns true if there is room for one more neighbour. If the limit is reached, first
    /// removes the neighbour that left the kernel's table the longest time ago.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.0.len() < MOST_NEIGHBOURS {
            return true;
        }
        let left = self.0.iter().filter(|(_, seen)| **seen < now);
        let Some((mac, _)) = left.min_by_key(|(_, seen)| **seen) else {
            return false;
        };
        let mac = *mac;
        self.0.remove(&mac);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(100);

    fn made_up(first: usize, many: usize) -> BTreeMap<MacAddress, bool> {
        let each = (first..first + many).map(|number| {
            let [.., a, b, c] = number.to_be_bytes();
            (MacAddress([2, 0, 0, a, b, c]), false)
        });
        each.collect()
    }

    #[test]
    fn made_up_neighbours_displace_none_that_are_there() {
        let phone = MacAddress([0x64, 0xcc, 0x2e, 0, 0, 1]);
        let tv = MacAddress([0x64, 0xcc, 0x2e, 0, 0, 2]);
        let start = Instant::now();
        let mut neighbours = Neighbours::default();
        let mut look = |found: &BTreeMap<_, _>, after| {
            neighbours.look(found, start + Duration::from_secs(after), KEEP);
            let known: Vec<_> = neighbours.macs().collect();
            assert!(known.len() <= MOST_NEIGHBOURS);
            [phone, tv].map(|mac| known.contains(&mac))
        };
        assert_eq!(look(&BTreeMap::from([(phone, false)]), 0), [true, false]);
        let mut flood = made_up(0, 2 * MOST_NEIGHBOURS);
        flood.insert(phone, false);
        assert_eq!(look(&flood, 1), [true, false]);
        // A later neighbour finds no room while all are in the table …
        flood.insert(tv, true);
        assert_eq!(look(&flood, 2), [true, false]);
        // … and gets the room of a neighbour that left.
        let after = BTreeMap::from([(phone, false), (tv, true)]);
        assert_eq!(look(&after, 3), [true, true]);
        assert_eq!(look(&BTreeMap::new(), 3 + KEEP.as_secs()), [false, false]);
    }

    #[test]
    fn neighbours_that_answered_come_first() {
        let phone = MacAddress([0x64, 0xcc, 0x2e, 0, 0, 1]);
        let mut found = made_up(0, 2 * MOST_NEIGHBOURS);
        found.insert(phone, true);
        let mut neighbours = Neighbours::default();
        neighbours.look(&found, Instant::now(), KEEP);
        assert!(neighbours.macs().any(|mac| mac == phone));
    }
}
