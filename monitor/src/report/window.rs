//! One side of a mark: its intervals, and the contacts in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    compare::{Window, rounded},
    coverage::{self, Spans},
    rates::Observed,
};
use crate::{
    policy::MacAddress,
    store::{Contact, ContactEnd, Segment, Times, Unclear},
};

/// The unit of contacts. Old rows are merged into hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) has_hours: bool,
}

impl Unit {
    pub(super) const fn word(self) -> &'static str {
        if self.has_hours { "hour" } else { "5 minutes" }
    }

    pub(super) const fn seconds(self) -> i64 {
        if self.has_hours { 3_600 } else { 300 }
    }

    /// The fewest intervals that each side must have for a comparison.
    pub(super) const fn fewest(self) -> u64 {
        if self.has_hours { 12 } else { 5 }
    }
}

/// The time before or after a mark.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    /// True if it begins at a mark, and not at the begin of the period.
    pub(super) begins_at_mark: bool,
    pub(super) segments: Range<usize>,
}

impl Side {
    /// The whole intervals, by number. The interval of a mark belongs to no side.
    fn intervals(&self, unit: Unit) -> Range<i64> {
        let (since, until) = (self.since.as_millisecond(), self.until.as_millisecond());
        let length = unit.seconds() * 1_000;
        let first = if self.begins_at_mark {
            since.div_euclid(length) + 1
        } else {
            (since + length - 1).div_euclid(length)
        };
        first..until.div_euclid(length).max(first)
    }

    /// True if all of these packets are on this side.
    pub(super) fn holds(&self, unclear: &Unclear) -> bool {
        let has = |segment| self.segments.contains(&segment);
        !unclear.is_edge && has(unclear.from) && has(unclear.to)
    }
}

/// What a device sent on a side.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) contacts: BTreeMap<ContactEnd, Contact>,
    active: Times,
}

impl Sums {
    pub(super) fn new(segments: &[Segment], device: Option<MacAddress>) -> Self {
        let mut sums = Self::default();
        for segment in segments {
            // The contacts are sorted by device.
            let from = segment.contacts.range((device, None, 0, 0)..);
            for (end, contact) in from.take_while(|(end, _)| end.0 == device) {
                let sum = sums.contacts.entry(*end).or_default();
                sum.packets += contact.packets;
                join(&mut sum.times, &contact.times);
            }
            if let Some(times) = segment.active.get(&device) {
                join(&mut sums.active, times);
            }
        }
        sums
    }

    /// Adds packets that lie somewhere on this side.
    pub(super) fn add_unclear<'a>(&mut self, unclear: impl Iterator<Item = &'a Unclear>) {
        for one in unclear {
            let sum = self.contacts.entry(one.end).or_default();
            sum.packets += one.packets;
            sum.times.near.insert(one.begin);
            self.active.near.insert(one.begin);
        }
    }

    pub(super) fn window(&self, side: &Side, attached: &Spans, unit: Unit) -> Window {
        let intervals = side.intervals(unit);
        let observed = |from: Timestamp, to: Timestamp| {
            let seconds = coverage::seconds(&coverage::within(attached, from, to));
            (
                seconds,
                SignedDuration::from_secs(seconds).as_secs_f64() / 3_600.0,
            )
        };
        let begin = |number: i64| {
            Timestamp::from_second(number.saturating_mul(unit.seconds())).unwrap_or(side.until)
        };
        let (seconds, hours) = observed(begin(intervals.start), begin(intervals.end));
        let (_, all_hours) = observed(side.since, side.until);
        let contacts = self.contacts.values();
        let contacts = contacts
            .map(|contact| number(&contact.times, &intervals, unit))
            .sum();
        let packets = self.contacts.values().map(|one| one.packets).sum();
        let rate = |contacts, hours| Observed { contacts, hours }.rate().map(rounded);
        Window {
            observed_hours: rounded(hours),
            observed_intervals: (seconds / unit.seconds()).unsigned_abs(),
            active_intervals: number(&self.active, &intervals, unit),
            contacts,
            packets,
            contacts_per_hour: rate(contacts, hours),
            // A rate of seconds would say nothing about an hour.
            packets_per_hour: rate(packets, all_hours).filter(|_| hours > 0.0),
        }
    }
}

fn join(sum: &mut Times, times: &Times) {
    sum.fives += times.fives;
    sum.hours += times.hours;
    sum.near.extend(&times.near);
}

/// The number of different intervals with packets.
fn number(times: &Times, intervals: &Range<i64>, unit: Unit) -> u64 {
    let near = times
        .near
        .iter()
        .map(|begin| begin.div_euclid(unit.seconds()));
    let near: BTreeSet<i64> = near.filter(|number| intervals.contains(number)).collect();
    let whole = if unit.has_hours {
        times.hours
    } else {
        times.fives
    };
    whole + near.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 1_795_953_600;

    fn side(since: i64, until: i64, begins_at_mark: bool) -> Side {
        let at = |second| Timestamp::from_second(HOUR + second).unwrap();
        Side {
            since: at(since),
            until: at(until),
            begins_at_mark,
            segments: 0..1,
        }
    }

    #[test]
    fn the_interval_of_a_mark_is_on_no_side() {
        let unit = Unit { has_hours: false };
        let length = |side: &Side| {
            let intervals = side.intervals(unit);
            (intervals.start - HOUR / 300, intervals.end - HOUR / 300)
        };
        assert_eq!(length(&side(0, 700, false)), (0, 2));
        assert_eq!(length(&side(10, 700, false)), (1, 2));
        assert_eq!(length(&side(700, 1_800, true)), (3, 6));
        assert_eq!(length(&side(600, 1_800, true)), (3, 6));
        assert_eq!(length(&side(700, 710, true)), (3, 3));
    }

    /// A mark of another device divides an interval. It stays one interval.
    #[test]
    fn a_divided_interval_counts_once() {
        let times = |begin: i64| Times {
            fives: 2,
            hours: 0,
            near: BTreeSet::from([HOUR + begin]),
        };
        let mut sum = times(300);
        join(&mut sum, &times(300));
        let unit = Unit { has_hours: false };
        let all = HOUR / 300..HOUR / 300 + 12;
        assert_eq!(number(&sum, &all, unit), 5);
        assert_eq!(number(&sum, &(HOUR / 300 + 2..HOUR / 300 + 12), unit), 4);
    }
}
