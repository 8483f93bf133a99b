//! The times at which a policy is in force: windows of local time, and an end.

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

/// Windows of local time. Each belongs to the day on which it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Sorted from Monday, without duplicates.
    pub(super) days: Vec<Weekday>,
    pub(super) from: Time,
    pub(super) to: To,
    pub(super) zone: TimeZone,
    pub(super) outside: Outside,
}

/// The end of a window. A time at or before the start is on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Time(Time),
    /// `24:00`, the end of the day.
    Midnight,
}

/// What a policy does outside its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// It neither drops nor counts.
    Off,
    /// It only counts.
    Count,
}

impl Schedule {
    /// Number of days in which [`Self::next_edge`] looks for a window. A week
    /// has at least one; the other days allow for time zones that skipped a
    /// day.
    const DAYS: i64 = 9;

    /// True if `at` lies in a window. The start of a window is part of it, the
    /// end is not.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        let mut windows = self.windows(at, -2, 1).into_iter();
        windows.any(|(start, end)| start <= at && at < end)
    }

    /// The next time at which [`Self::is_open`] changes; `None` if it does not
    /// change.
    #[must_use]
    pub fn next_edge(&self, after: Timestamp) -> Option<Timestamp> {
        let now = self.is_open(after);
        let windows = self.windows(after, -2, Self::DAYS);
        let mut edges: Vec<Timestamp> = windows
            .into_iter()
            .flat_map(|(start, end)| [start, end])
            .filter(|edge| *edge > after)
            .collect();
        edges.sort_unstable();
        edges.into_iter().find(|edge| self.is_open(*edge) != now)
    }

    /// What the policy does outside the windows.
    #[must_use]
    pub fn outside(&self) -> Outside {
        self.outside
    }

    /// The windows of the days from `first` to `last`, counted from the day of
    /// `at`.
    fn windows(&self, at: Timestamp, first: i64, last: i64) -> Vec<(Timestamp, Timestamp)> {
        let today = self.zone.to_datetime(at).date();
        let days = (first..=last).filter_map(|days| today.checked_add(days.days()).ok());
        days.filter(|day| self.days.contains(&day.weekday()))
            .filter_map(|day| self.window(day))
            .collect()
    }

    /// The window that starts on `day`. A local time that daylight saving skips
    /// is moved forward by the skipped hour; a local time that occurs twice
    /// means the first occurrence (RFC 5545, section 3.3.5). Returns `None` if
    /// nothing remains of the window.
    fn window(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let tomorrow = day.tomorrow().ok()?;
        let end = match self.to {
            To::Midnight => tomorrow.at(0, 0, 0, 0),
            To::Time(to) if to > self.from => day.to_datetime(to),
            To::Time(to) => tomorrow.to_datetime(to),
        };
        let instant = |local| self.zone.to_ambiguous_timestamp(local).compatible().ok();
        let (start, end) = (instant(day.to_datetime(self.from))?, instant(end)?);
        (start < end).then_some((start, end))
    }
}

/// A point in time, and how far its clock can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of the wall clock.
    pub at: Timestamp,
    /// True if the clock is synchronised (for example by NTP).
    pub clock_synchronised: bool,
    /// The same moment as time since boot, which is never set; `None` if not
    /// known.
    pub since_boot: Option<SinceBoot>,
}

/// Time since the machine started, including sleep. This clock is never set,
/// and a value is valid only until the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinceBoot {
    /// Identifies the start: `/proc/sys/kernel/random/boot_id`.
    #[serde(with = "hex::serde")]
    pub boot: [u8; 16],
    /// Milliseconds (`CLOCK_BOOTTIME`).
    pub milliseconds: i64,
}

impl Moment {
    /// A moment that the operator gave; it is trusted like a synchronised
    /// clock.
    #[must_use]
    pub const fn given(at: Timestamp) -> Self {
        Self {
            at,
            clock_synchronised: true,
            since_boot: None,
        }
    }
}

/// Why a policy has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rest {
    /// The time is outside its schedule.
    Schedule,
    /// The policy has ended.
    Expired,
    /// The policy has an end, and the clock is not synchronised.
    Clock,
    /// A command paused the policy.
    Paused,
}

impl Rest {
    /// The reason in words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Schedule => "outside its schedule",
            Self::Expired => "expired",
            Self::Paused => "paused by a command",
            Self::Clock => "off until the clock is synchronised, because it expires",
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    fn schedule(days: &[Weekday], from: (i8, i8), to: Option<(i8, i8)>, zone: &str) -> Schedule {
        Schedule {
            days: days.to_vec(),
            from: time(from.0, from.1, 0, 0),
            to: to.map_or(To::Midnight, |(hour, minute)| {
                To::Time(time(hour, minute, 0, 0))
            }),
            zone: TimeZone::get(zone).unwrap(),
            outside: Outside::Off,
        }
    }

    const EVERY_DAY: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];

    /// Reads the local time minute by minute; valid for days on which no clock
    /// changes.
    fn open_by_the_wall(schedule: &Schedule, at: Timestamp) -> bool {
        let local = schedule.zone.to_datetime(at);
        let (now, today) = (local.time(), local.date());
        let yesterday = today.yesterday().unwrap();
        let starts = |day: Date| schedule.days.contains(&day.weekday());
        let wraps = match schedule.to {
            To::Midnight => return starts(today) && now >= schedule.from,
            To::Time(to) => to <= schedule.from,
        };
        let To::Time(to) = schedule.to else {
            unreachable!("midnight has returned")
        };
        if wraps {
            (starts(today) && now >= schedule.from) || (starts(yesterday) && now < to)
        } else {
            starts(today) && now >= schedule.from && now < to
        }
    }

    #[test]
    fn windows_agree_with_the_clock_on_the_wall() {
        for (days, from, to) in [
            (&EVERY_DAY[..], (22, 0), Some((6, 0))),
            (&EVERY_DAY[..2], (22, 0), Some((6, 0))),
            (&EVERY_DAY[4..], (8, 30), Some((17, 15))),
            (&EVERY_DAY[..], (0, 0), None),
            (&EVERY_DAY[6..], (23, 59), Some((23, 58))),
        ] {
            let schedule = schedule(days, from, to, "Europe/Madrid");
            let mut at: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
            let mut edge = schedule.next_edge(at);
            for _ in 0..10 * 24 * 60 {
                let open = schedule.is_open(at);
                assert_eq!(open, open_by_the_wall(&schedule, at), "{at} {schedule:?}");
                let next = at + 1.minute();
                if schedule.is_open(next) != open {
                    assert_eq!(edge, Some(next), "{schedule:?}");
                    edge = schedule.next_edge(next);
                }
                at = next;
            }
        }
    }

    fn utc(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn daylight_saving_moves_the_edges() {
        let night = schedule(&EVERY_DAY, (22, 0), Some((6, 0)), "Europe/Madrid");
        // Winter is UTC+1; summer, from 2027-03-28 01:00 UTC, is UTC+2.
        assert_eq!(
            night.next_edge(utc("2027-03-27T12:00:00Z")),
            Some(utc("2027-03-27T21:00:00Z"))
        );
        assert_eq!(
            night.next_edge(utc("2027-03-27T21:00:00Z")),
            Some(utc("2027-03-28T04:00:00Z"))
        );
        // Clocks go back on 2027-10-31 at 01:00 UTC, so this night has nine
        // hours.
        assert_eq!(
            night.next_edge(utc("2027-10-30T20:00:00Z")),
            Some(utc("2027-10-31T05:00:00Z"))
        );
    }

    #[test]
    fn a_window_in_the_hour_that_is_skipped_or_comes_twice() {
        let early = schedule(&EVERY_DAY, (2, 15), Some((2, 45)), "Europe/Madrid");
        // 02:15 to 02:45 do not exist on 2027-03-28, so the window is an hour
        // later.
        assert_eq!(
            early.next_edge(utc("2027-03-28T00:00:00Z")),
            Some(utc("2027-03-28T01:15:00Z"))
        );
        // On 2027-10-31 these times occur twice; the first occurrence is the
        // window.
        assert!(early.is_open(utc("2027-10-31T00:30:00Z")));
        assert!(!early.is_open(utc("2027-10-31T01:30:00Z")));
    }

    #[test]
    fn a_zone_that_skips_a_day_and_one_that_moves_by_half_an_hour() {
        let friday = schedule(&[Weekday::Friday], (8, 0), Some((9, 0)), "Pacific/Apia");
        // 2011-12-30, a Friday, did not exist in this zone.
        let after = date(2011, 12, 28).at(0, 0, 0, 0);
        let after = friday
            .zone
            .to_ambiguous_timestamp(after)
            .compatible()
            .unwrap();
        let edge = friday.next_edge(after).unwrap();
        assert!(friday.is_open(edge));
        let half = schedule(&EVERY_DAY, (22, 0), Some((6, 0)), "Australia/Lord_Howe");
        assert_eq!(
            half.next_edge(utc("2027-04-03T11:00:00Z")),
            Some(utc("2027-04-03T19:30:00Z"))
        );
    }

    #[test]
    fn what_never_changes_has_no_edge() {
        let always = schedule(&EVERY_DAY, (0, 0), None, "UTC");
        assert!(always.is_open(utc("2026-11-23T00:00:00Z")));
        assert_eq!(always.next_edge(utc("2026-11-23T00:00:00Z")), None);
    }
}
