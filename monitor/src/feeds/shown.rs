//! Turns the stored entries of feeds into their form in a snapshot.

use tracing::warn;

use super::{Entry, Outcome, Store, labels};
use crate::{
    error_text::error_text,
    policy::Feed,
    snapshot::{FeedSnapshot, FeedState},
};

/// Returns the state of `feeds` from the store, for commands without a daemon.
#[must_use]
pub fn shown_feeds(feeds: &[Feed], store: &Store, now: u64) -> Vec<FeedSnapshot> {
    let labels = labels(feeds.iter().map(|feed| &feed.url));
    let each = feeds
        .iter()
        .filter(|feed| feed.is_data() || !feed.policies.is_empty())
        .map(|feed| {
            let entry = store.entry(&feed.url).unwrap_or_else(|error| {
                warn!("{}", error_text(&error));
                Entry::new(&feed.url)
            });
            let mut shown = shown(feed, &entry, now);
            shown.feed = labels.get(&feed.url).cloned().unwrap_or_default();
            shown
        });
    each.collect()
}

/// Returns the state of one feed. Its label is host and path of the URL; where two
/// feeds share that, the caller sets another label. The caller also sets the time of the
/// next attempt.
#[must_use]
pub fn shown(feed: &Feed, entry: &Entry, now: u64) -> FeedSnapshot {
    let last = entry.last.as_ref();
    let checked = entry.good.as_ref().filter(|_| feed.in_force.is_some());
    let in_force = feed.in_force.clone().unwrap_or_default();
    FeedSnapshot {
        feed: feed.url.label(),
        policies: feed.policies.iter().map(ToString::to_string).collect(),
        state: match last.map(|last| last.outcome) {
            Some(Outcome::Refused) => FeedState::Refused,
            Some(Outcome::Failed) => FeedState::Failed,
            Some(Outcome::Current) if checked.is_some() => FeedState::Current,
            Some(Outcome::Current) | None => FeedState::NeverFetched,
        },
        reason: last.and_then(|last| last.reason.clone()),
        age: checked.map(|good| now.saturating_sub(good.checked_at)),
        fetched_at: checked.map(|good| good.fetched_at),
        checked_at: checked.map(|good| good.checked_at),
        last_attempt: last.map(|last| last.at),
        next_attempt: None,
        destinations: in_force.destinations,
        cut: in_force.cut.destinations,
        cut_networks: in_force
            .cut
            .by
            .into_iter()
            .map(|(network, _)| network)
            .collect(),
        candidate: entry
            .candidate
            .as_ref()
            .map(|candidate| candidate.content.sha256.clone()),
    }
}
