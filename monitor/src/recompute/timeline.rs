//! Packets by time: what a slot of a timeline can have.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::LONGEST_DRAIN;

/// Length of the intervals of the store, in seconds.
pub(super) const INTERVAL: i64 = 300;

/// Passed and dropped packets.
pub(super) type Pair = [u64; 2];

/// The packets of a device that the policy of the capture matched, by interval.
#[derive(Clone, Debug, Default)]
pub(super) struct Timed {
    intervals: BTreeMap<i64, Interval>,
    /// Packets before the period.
    before: Pair,
    /// Packets after the period.
    after: Pair,
}

/// The packets of an interval.
#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    /// All within the period.
    all: Pair,
    /// Packets near its end. The store may count them in the next interval, together with
    /// packets that follow.
    late: Pair,
    /// Packets in its first second. The clocks of capture and flows may differ by a tick.
    early: Pair,
    /// True if packets came near its begin.
    begins: bool,
}

/// The number of packets that a slot can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) least: Pair,
    pub(super) most: Pair,
}

impl Timed {
    /// Adds a packet. `period` is in seconds.
    pub(super) fn add(&mut self, at: Timestamp, dropped: bool, (since, until): (i64, i64)) {
        let second = second(at);
        let place = usize::from(dropped);
        let own = self
            .intervals
            .entry(second.div_euclid(INTERVAL))
            .or_default();
        let within = second.rem_euclid(INTERVAL);
        own.begins |= within < LONGEST_DRAIN;
        if second < since {
            self.before[place] += 1;
            return;
        }
        if second >= until {
            self.after[place] += 1;
            return;
        }
        own.all[place] += 1;
        own.late[place] += u64::from(within >= INTERVAL - LONGEST_DRAIN);
        own.early[place] += u64::from(within < 1);
    }

    /// Number of packets that the store may count in another interval than the one in which
    /// they came.
    pub(super) fn uncertain(&self) -> u64 {
        let early = self.intervals.values().map(|one| one.early);
        let late = self.intervals.keys().map(|number| self.late(*number));
        early.chain(late).flatten().sum()
    }

    /// What the slots of a timeline can have. `first` is the begin of the first slot.
    pub(super) fn slots(&self, first: i64, slot: i64, number: usize) -> Vec<Bounds> {
        let last = number.saturating_sub(1);
        let mut begin = first.div_euclid(INTERVAL);
        let length = slot.div_euclid(INTERVAL).max(1);
        let mut slots = Vec::with_capacity(number);
        for index in 0..number {
            let end = begin + length;
            // The first and the last slot have what lies outside of all slots.
            let from = if index == 0 { i64::MIN } else { begin };
            let to = if index == last { i64::MAX } else { end };
            let mut bounds = Bounds::default();
            for (_, interval) in self.intervals.range(from..to) {
                add(&mut bounds.least, interval.all);
            }
            bounds.most = bounds.least;
            if index > 0 {
                subtract(&mut bounds.least, self.early(begin));
                add(&mut bounds.most, self.late(begin - 1));
            } else {
                add(&mut bounds.most, self.before);
            }
            if index < last {
                subtract(&mut bounds.least, self.late(end - 1));
                add(&mut bounds.most, self.early(end));
            } else {
                add(&mut bounds.most, self.after);
            }
            slots.push(bounds);
            begin = end;
        }
        slots
    }

    /// Packets that the next interval may have, because others followed soon.
    fn late(&self, number: i64) -> Pair {
        let next = self.intervals.get(&(number + 1));
        let follows = next.is_some_and(|next| next.begins);
        let own = self.intervals.get(&number);
        own.filter(|_| follows).map_or([0; 2], |own| own.late)
    }

    fn early(&self, number: i64) -> Pair {
        self.intervals.get(&number).map_or([0; 2], |own| own.early)
    }
}

/// The second that contains a time.
pub(super) fn second(at: Timestamp) -> i64 {
    at.as_millisecond().div_euclid(1_000)
}

fn add(sum: &mut Pair, part: Pair) {
    for (sum, part) in sum.iter_mut().zip(part) {
        *sum += part;
    }
}

fn subtract(sum: &mut Pair, part: Pair) {
    for (sum, part) in sum.iter_mut().zip(part) {
        *sum = sum.saturating_sub(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_795_953_600;

    fn timed(seconds: &[i64]) -> Timed {
        let mut timed = Timed::default();
        for second in seconds {
            let at = Timestamp::from_second(NOON + second).unwrap();
            timed.add(at, false, (NOON, NOON + 900));
        }
        timed
    }

    fn passed(timed: &Timed) -> Vec<(u64, u64)> {
        let slots = timed.slots(NOON, 300, 4);
        let pairs = slots.iter().map(|slot| (slot.least[0], slot.most[0]));
        pairs.collect()
    }

    #[test]
    fn a_packet_far_from_the_ends_is_in_its_slot() {
        let found = passed(&timed(&[100, 250, 400, 700]));
        assert_eq!(found, [(2, 2), (1, 1), (1, 1), (0, 0)]);
        assert_eq!(timed(&[100, 250, 400]).uncertain(), 0);
    }

    #[test]
    fn a_packet_near_the_end_may_be_in_the_next_slot_if_others_follow() {
        assert_eq!(passed(&timed(&[295])), [(1, 1), (0, 0), (0, 0), (0, 0)]);
        let found = passed(&timed(&[295, 305]));
        assert_eq!(found, [(0, 1), (1, 2), (0, 0), (0, 0)]);
        assert_eq!(timed(&[295, 305]).uncertain(), 1);
    }

    #[test]
    fn packets_outside_the_period_may_be_in_the_first_and_the_last_slot() {
        let found = passed(&timed(&[-5, 100, 950]));
        assert_eq!(found, [(1, 2), (0, 0), (0, 0), (0, 1)]);
    }
}
