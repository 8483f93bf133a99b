//! Quiet hours.

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan as _, civil::Time, tz::TimeZone};

use super::AlertKind;

/// The hours in which alerts wait. A window may pass midnight.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    /// Begin.
    pub from: Time,
    /// End.
    pub to: Time,
    /// Time zone of both.
    pub zone: TimeZone,
    /// Kinds that do not wait.
    pub except: BTreeSet<AlertKind>,
}

impl Quiet {
    /// The end of the quiet hours, if `now` is in them and alerts of this kind wait.
    #[must_use]
    pub fn until(&self, now: Timestamp, kind: AlertKind) -> Option<Timestamp> {
        if self.except.contains(&kind) || kind == AlertKind::Test {
            return None;
        }
        let here = now.to_zoned(self.zone.clone());
        let time = here.time();
        let is_quiet = if self.from <= self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        };
        if !is_quiet {
            return None;
        }
        let day = if time < self.to {
            here.date()
        } else {
            here.date().checked_add(1.day()).ok()?
        };
        let end = day.to_datetime(self.to).to_zoned(self.zone.clone()).ok()?;
        Some(end.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_pass_midnight_and_the_change_of_the_clock() {
        let quiet = Quiet {
            from: Time::constant(22, 0, 0, 0),
            to: Time::constant(7, 0, 0, 0),
            zone: TimeZone::get("Europe/Madrid").unwrap(),
            except: BTreeSet::from([AlertKind::Blind]),
        };
        let until = |at: &str, kind| {
            let end = quiet.until(at.parse().unwrap(), kind);
            end.map(|end| end.to_string())
        };
        let contact = AlertKind::FirstContact;
        assert_eq!(until("2026-07-01T19:59:59Z", contact), None);
        let morning = Some("2026-07-02T05:00:00Z".to_owned());
        assert_eq!(until("2026-07-01T20:00:00Z", contact), morning);
        assert_eq!(until("2026-07-02T04:59:59Z", contact), morning);
        assert_eq!(until("2026-07-02T05:00:00Z", contact), None);
        assert_eq!(until("2026-07-01T20:00:00Z", AlertKind::Blind), None);
        // The night in which summer time ends is an hour longer.
        let later = Some("2026-10-25T06:00:00Z".to_owned());
        assert_eq!(until("2026-10-24T22:00:00Z", contact), later);
    }
}
