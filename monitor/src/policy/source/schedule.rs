//! The times of a policy as they are typed.

use jiff::{
    Timestamp,
    civil::{Time, Weekday},
    tz::TimeZone,
};
use serde_yaml::Value;

use super::{
    reader::{Reader, get},
    time_zone,
};
use crate::policy::{Outside, Schedule, diagnostic::near_miss, keys, schedule::To, yaml::Node};

/// Short names of the days, from Monday to Sunday.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

const TIME_HELP: &str = "write hour and minute in quotes, such as `\"22:00\"`";

impl Reader<'_> {
    /// Reads `schedule`. An invalid value sets `valid` to false.
    pub(super) fn schedule(&mut self, policy: &Node<'_>, valid: &mut bool) -> Option<Schedule> {
        let node = get(policy, "schedule")?;
        let schedule = self.schedule_of(&node);
        *valid &= schedule.is_some();
        schedule
    }

    fn schedule_of(&mut self, node: &Node<'_>) -> Option<Schedule> {
        if node.entries().is_none() {
            let help = "write `schedule: {days: [mon], from: \"22:00\", to: \"06:00\", timezone: Europe/Madrid}`";
            self.wrong_type(node, "`schedule`", "a mapping", help);
            return None;
        }
        let misspelt = keys::SCHEDULE.check(node, self.file, self.out);
        let days = self.days(node);
        let times = self.times(node);
        let outside = self.outside(node);
        let zone = get(node, "timezone");
        if zone.is_none() && !misspelt.contains(&"timezone") {
            let message = "the schedule has no `timezone`, and a gateway's own is often UTC";
            let help = "write the place whose clock is meant, such as `timezone: Europe/Madrid`";
            self.error(node.span.clone(), message, help);
        }
        let zone = zone.and_then(|zone| self.zone(&zone));
        let (from, to) = times?;
        Some(Schedule {
            days: days?,
            from,
            to,
            zone: zone?,
            outside: outside?,
        })
    }

    fn days(&mut self, node: &Node<'_>) -> Option<Vec<Weekday>> {
        let Some(days) = get(node, "days") else {
            return Some(DAYS.map(|(_, day)| day).to_vec());
        };
        let names = DAYS.map(|(name, _)| name);
        let help = "write days as `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`";
        let elements = self.one_or_many(&days, "`days`");
        let mut chosen = Vec::new();
        for element in &elements {
            let text = self.text(element, "a day", help)?;
            if let Some((_, day)) = DAYS.iter().find(|(name, _)| *name == text) {
                chosen.push(*day);
                continue;
            }
            // The full name of a day begins with its short name.
            let short: String = text.to_lowercase().chars().take(3).collect();
            let near = near_miss(&short, &names).or_else(|| near_miss(&text, &names));
            let help = near.map_or(help.to_owned(), |near| format!("did you mean `{near}`?"));
            self.error(
                element.span.clone(),
                format!("there is no day `{text}`"),
                help,
            );
        }
        let complete = !elements.is_empty() && chosen.len() == elements.len();
        chosen.sort_unstable_by_key(|day| day.to_monday_zero_offset());
        chosen.dedup();
        complete.then_some(chosen)
    }

    fn times(&mut self, node: &Node<'_>) -> Option<(Time, To)> {
        let (from, to) = match (get(node, "from"), get(node, "to")) {
            (Some(from), Some(to)) => (from, to),
            (None, None) => return Some((Time::midnight(), To::Midnight)),
            (Some(one), None) | (None, Some(one)) => {
                let message = "`from` and `to` belong together";
                self.error(one.span, message, "write both, or none for whole days");
                return None;
            }
        };
        let start = self.time(&from);
        let end = self.time(&to);
        let (start, end) = (start?, end?);
        let To::Time(start) = start else {
            self.error(
                from.span,
                "a day begins at 00:00",
                "write `from: \"00:00\"`",
            );
            return None;
        };
        if end == To::Time(start) {
            let help = "write `from: \"00:00\", to: \"24:00\"` for whole days";
            self.error(to.span, "the window ends when it starts", help);
            return None;
        }
        Some((start, end))
    }

    fn time(&mut self, node: &Node<'_>) -> Option<To> {
        let text = self.text(node, "a time of day", TIME_HELP)?;
        if text == "24:00" {
            return Some(To::Midnight);
        }
        let parts = text.split_once(':').filter(|(hour, minute)| {
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            (1..=2).contains(&hour.len()) && minute.len() == 2 && digits(hour) && digits(minute)
        });
        let time = parts.and_then(|(hour, minute)| {
            Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
        });
        if time.is_none() {
            let message = format!("`{text}` is not a time of day");
            self.error(node.span.clone(), message, TIME_HELP);
        }
        time.map(To::Time)
    }

    fn outside(&mut self, node: &Node<'_>) -> Option<Outside> {
        let help = "write `outside: off`, which is the default, or `outside: count`";
        let Some(outside) = get(node, "outside") else {
            return Some(Outside::Off);
        };
        match outside.value {
            Value::String(text) if text == "count" => Some(Outside::Count),
            Value::String(text) if text == "off" => Some(Outside::Off),
            _other => {
                self.error(outside.span, "`outside` is `off` or `count`", help);
                None
            }
        }
    }

    fn zone(&mut self, node: &Node<'_>) -> Option<TimeZone> {
        let text = self.text(node, "`timezone`", time_zone::HELP)?;
        let zone = TimeZone::get(&text).ok();
        if zone.is_none() {
            let names: Vec<String> = jiff::tz::db()
                .available()
                .map(|name| name.to_string())
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            self.error(
                node.span.clone(),
                format!("there is no time zone `{text}`"),
                time_zone::help(&text, &names),
            );
        }
        zone
    }

    /// Reads `expires`. An invalid value sets `valid` to false.
    pub(super) fn expires(&mut self, policy: &Node<'_>, valid: &mut bool) -> Option<Timestamp> {
        let help = "write date, time and offset, such as `2027-01-01T00:00:00Z`";
        let node = get(policy, "expires")?;
        let text = self.text(&node, "`expires`", help);
        let expires = text.as_ref().and_then(|text| text.parse().ok());
        if let (Some(text), None) = (text, expires) {
            let message = format!("`{text}` is not a time with an offset");
            self.error(node.span, message, help);
        }
        *valid &= expires.is_some();
        expires
    }
}
