//! Families about what the daemon does: reloads, confirmations, feeds.

use prometheus_client::registry::Unit;

use super::super::family::{Family, Kind, Labels};
use crate::snapshot::{FeedSnapshot, FeedState, ReloadSnapshot, Unconfirmed};

pub(super) fn reload(reload: Option<&ReloadSnapshot>) -> [Family; 2] {
    [
        Family {
            name: "monitor_reload_success",
            help: "1 where the policy files as last read are in force, else 0.",
            unit: None,
            kind: Kind::Gauge,
            samples: vec![(
                Labels::new(),
                u64::from(reload.is_some_and(|reload| reload.success)),
            )],
        },
        Family {
            name: "monitor_reload_timestamp",
            help: "When the last load of the policy files ended, well or not, as Unix time; 0 before the first.",
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
            "1 where what is in force is to be confirmed, else 0.",
            None,
            Some(u64::from(waiting.is_some())),
        ),
        gauge(
            "monitor_unconfirmed_left",
            "How long it can still be confirmed; no series where nothing is to be.",
            Some(Unit::Seconds),
            waiting.map(|unconfirmed| unconfirmed.seconds_left),
        ),
        gauge(
            "monitor_rolled_back",
            "1 where the policy files were not confirmed in time, and what was in force before them is again, else 0.",
            None,
            Some(u64::from(rolled_back)),
        ),
    ]
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
            "Time since the list in force was last found to be what its URL gives; no series where nothing of it is in force.",
            Some(Unit::Seconds),
            |feed| feed.age,
        ),
        gauge(
            "monitor_feed_destinations",
            "Destinations of the list that are in force, all or in part.",
            None,
            |feed| Some(feed.destinations as u64),
        ),
        gauge(
            "monitor_feed_cut_destinations",
            "Destinations of the list of which all or a part is cut out, because it is reserved or the gateway's own.",
            None,
            |feed| Some(feed.cut as u64),
        ),
        gauge(
            "monitor_feed_success",
            "1 where the last attempt to fetch the list ended well, else 0; no series before the first.",
            None,
            |feed| {
                feed.last_attempt
                    .map(|_| u64::from(feed.state == FeedState::Current))
            },
        ),
    ]
}
