//! Which neighbours of the gateway have places kept for them.
//!
//! A device can make up neighbours too: it asks for the gateway's address under
//! many MACs. So there is a limit, devices that were neighbours before keep their
//! place under it, and neighbours that answered the gateway come first.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::policy::MacAddress;

/// Neighbours that are known at the same time.
pub(super) const MOST_NEIGHBOURS: usize = 1024;

/// The neighbours that are known, with the last look that found each.
#[derive(Debug, Default)]
pub(super) struct Neighbours(BTreeMap<MacAddress, Instant>);

impl Neighbours {
    /// Takes over what the kernel's table says now: MACs, and whether each is
    /// confirmed. A neighbour that is not in the table any more stays known for
    /// `keep`, or until its room is needed.
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

    /// Every known neighbour.
    pub(super) fn macs(&self) -> impl Iterator<Item = MacAddress> {
        self.0.keys().copied()
    }

    /// Whether there is room for one more, where need be that of the neighbour
    /// that left the kernel's table first.
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
        // A later one finds no room while all are there …
        flood.insert(tv, true);
        assert_eq!(look(&flood, 2), [true, false]);
        // … and the room of those that left.
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
