//! Families about the work of the daemon: reloads, trials and feeds.

use std::collections::BTreeMap;

use prometheus_client::registry::Unit;

use super::super::family::{Family, Kind, Labels};
use crate::snapshot::{FeedSnapshot, FeedState, ReloadSnapshot, Unconfirmed};

pub(super) fn reload(reload: Option<&ReloadSnapshot>) -> [Family; 2] {
    [
        Family {
            name: "monitor_reload_success",
            help: "1 if the policy files are in force as the daemon last read them, else 0.",
            unit: None,
            kind: Kind::Gauge,
            samples: vec![(
                Labels::new(),
                u64::from(reload.is_some_and(|reload| reload.success)),
            )],
        },
        Family {
            name: "monitor_reload_timestamp",
            help: "Unix time at which the last load of the policy files ended, with success or without; 0 before the first.",
            unit: Some(Unit::Seconds),
            kind: Kind::Gauge,
            samples: vec![(Labels::new(), reload.map_or(0, |reload| reload.timestamp))],
        },
    ]
}

pub(super) fn unconfirmed(unconfirmed: Option<&Unconfirmed>) -> [Family; 3] {
    let gauge = |name, help, unit, value: Option<u64>| Family {
        name,
        help,
        unit,
        kind: Kind::Gauge,
        samples: value
            .map(|value| (Labels::new(), value))
            .into_iter()
            .collect(),
    };
    let waiting = unconfirmed.filter(|unconfirmed| !unconfirmed.rolled_back);
    let rolled_back = unconfirmed.is_some_and(|unconfirmed| unconfirmed.rolled_back);
    [
        gauge(
            "monitor_unconfirmed",
            "1 while a trial waits for `monitor confirm`, else 0.",
            None,
            Some(u64::from(waiting.is_some())),
        ),
        gauge(
            "monitor_unconfirmed_left",
            "Time left to confirm the trial; no series if no trial waits.",
            Some(Unit::Seconds),
            waiting.map(|unconfirmed| unconfirmed.seconds_left),
        ),
        gauge(
            "monitor_rolled_back",
            "1 if the last trial was not confirmed in time, so that the ruleset before it is in force again, else 0.",
            None,
            Some(u64::from(rolled_back)),
        ),
    ]
}

pub(super) fn blind(checks: &BTreeMap<String, bool>) -> Family {
    Family {
        name: "monitor_blind",
        help: "1 if the check of `monitor doctor` found something that the gateway does not see, else 0; no series if the check could not look.",
        unit: None,
        kind: Kind::Gauge,
        samples: checks
            .iter()
            .map(|(check, is_blind)| (vec![("check", check.clone())], u64::from(*is_blind)))
            .collect(),
    }
}

pub(super) fn feeds(feeds: &[FeedSnapshot]) -> [Family; 4] {
    let gauge = |name, help, unit, value: fn(&FeedSnapshot) -> Option<u64>| Family {
        name,
        help,
        unit,
        kind: Kind::Gauge,
        samples: feeds
            .iter()
            .filter_map(|feed| Some((vec![("feed", feed.feed.clone())], value(feed)?)))
            .collect(),
    };
    [
        gauge(
            "monitor_feed_age",
            "Time since the daemon last found the list in force equal to the content of its URL; no series if no version of it is in force.",
            Some(Unit::Seconds),
            |feed| feed.age,
        ),
        gauge(
            "monitor_feed_destinations",
            "Destinations of the list that are in force, wholly or partly.",
            None,
            |feed| Some(feed.destinations as u64),
        ),
        gauge(
            "monitor_feed_cut_destinations",
            "Destinations of the list that are cut out wholly or partly, because they are reserved or belong to the gateway.",
            None,
            |feed| Some(feed.cut as u64),
        ),
        gauge(
            "monitor_feed_success",
            "1 if the last attempt to fetch the list succeeded, else 0; no series before the first attempt.",
            None,
            |feed| {
                feed.last_attempt
                    .map(|_| u64::from(feed.state == FeedState::Current))
            },
        ),
    ]
}
