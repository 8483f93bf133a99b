//! Fetches, judges and stores the feeds of the policies in force.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tracing::{info, warn};

use super::{Core, lock, now};
use crate::{
    clock, datapath,
    error_text::error_text,
    feeds::{
        self, Attempt, Attempted, DiskAndFeeds, Entry, Fetcher, Limits, Outcome, Own, Store,
        WithUpdate, labels, shown,
    },
    guard::Gateway,
    lists::FeedUrl,
    pipeline::compile_files,
    policy::{Feed, Files},
    snapshot::FeedSnapshot,
};

/// Time between the first failure and the next attempt. It doubles after each further
/// failure.
const RETRY: Duration = Duration::from_mins(1);

/// The daemon's knowledge of the feeds.
#[derive(Default)]
pub(super) struct Feeds {
    known: Mutex<BTreeMap<FeedUrl, KnownFeed>>,
    /// Locked for the duration of a fetch.
    fetching: Mutex<()>,
    /// Notified when a feed may be due.
    changed: Notify,
}

/// The daemon's knowledge of one feed.
#[derive(Default)]
struct KnownFeed {
    entry: Entry,
    /// Time of the last attempt, by the monotonic clock and in seconds since
    /// 1970-01-01T00:00:00Z. `None` if the next attempt is due.
    attempted: Option<(Instant, u64)>,
}

impl KnownFeed {
    /// Returns the knowledge from a stored entry. Ignores an attempt in the future: the
    /// clock was wrong when it was stored.
    fn stored(entry: Entry) -> Self {
        let at = entry.last.as_ref().map(|last| last.at);
        let attempted = at.filter(|at| *at <= now()).map(|at| (Instant::now(), at));
        Self { entry, attempted }
    }

    /// Returns the time until the next attempt. Uses the clock by which more time has
    /// passed: the monotonic clock stands still while the machine sleeps, and the other can
    /// be set back.
    fn wait(&self, refresh: Duration) -> Duration {
        let Some((instant, at)) = self.attempted else {
            return Duration::ZERO;
        };
        let by_wall_clock = Duration::from_secs(now().saturating_sub(at));
        let passed = instant.elapsed().max(by_wall_clock);
        self.interval(refresh).saturating_sub(passed)
    }

    fn interval(&self, refresh: Duration) -> Duration {
        match self.entry.failures {
            0 => refresh,
            failures => {
                let doubled = RETRY.saturating_mul(1 << (failures - 1).min(20));
                doubled.min(refresh)
            }
        }
    }
}

/// The reason why a command about a feed fails.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum FeedError {
    /// The name does not identify one feed.
    #[error(transparent)]
    Unknown(#[from] feeds::UnknownFeed),
    /// The feed has no refused update.
    #[error("there is no refused update of {0} to accept")]
    NoCandidate(String),
    /// A newer update replaced the one that the operator saw.
    #[error(
        "there is a newer update of {0} than the one that you saw: look at it with `monitor feed diff` first"
    )]
    OtherCandidate(String),
    /// The update is not a usable list, or the current policies cannot use it.
    #[error("the update cannot be accepted: {0}")]
    Useless(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] feeds::StoreError),
    /// The networks of the gateway cannot be read, so the update cannot be judged.
    #[error("the update cannot be judged: {0}")]
    Gateway(#[from] datapath::Error),
}

impl Core {
    /// Updates the known feeds to those that the policies in force and the settings name.
    /// Removes others from the store.
    pub(super) fn note_feeds(&self, feeds: &[Feed]) {
        let feeds = &self.with_data_feeds(feeds.to_vec());
        let store = self.store();
        // Reads the store without holding the lock, because `status` waits for the lock.
        let missing: Vec<&Feed> = {
            let known = lock(&self.feeds.known);
            let is_missing = |feed: &&Feed| !known.contains_key(&feed.url);
            feeds.iter().filter(is_missing).collect()
        };
        let stored = missing.into_iter().map(|feed| {
            let entry = store.entry(&feed.url).unwrap_or_else(|error| {
                warn!("{}", error_text(&error));
                Entry::new(&feed.url)
            });
            (feed.url.clone(), KnownFeed::stored(entry))
        });
        let mut stored: BTreeMap<FeedUrl, KnownFeed> = stored.collect();
        let mut known = lock(&self.feeds.known);
        let mut before = std::mem::take(&mut *known);
        for feed in feeds {
            let feed_before = before.remove(&feed.url);
            let mut entry = feed_before
                .or_else(|| stored.remove(&feed.url))
                .unwrap_or_default();
            // The stored content cannot be used with the current policies, so the feed is due.
            if feed.in_force.is_none() && entry.entry.failures == 0 {
                entry.attempted = None;
            }
            known.insert(feed.url.clone(), entry);
        }
        drop(known);
        // During a trial, nothing is removed: the earlier policies may come back and need
        // their feeds.
        if self.deadline().is_none() {
            let urls: Vec<FeedUrl> = feeds.iter().map(|feed| feed.url.clone()).collect();
            if let Err(error) = store.keep_only(&urls) {
                warn!("remove unused feeds from the store: {}", error_text(&error));
            }
        }
        self.feeds.changed.notify_one();
    }

    /// Waits until a feed may be due.
    pub(in crate::daemon) async fn feeds_changed(&self) {
        self.feeds.changed.notified().await;
    }

    /// Returns the feed that is due next, and the time until then.
    pub(in crate::daemon) fn next_feed(&self) -> Option<(Duration, FeedUrl)> {
        let known = lock(&self.feeds.known);
        let feeds = self.feeds_in_force();
        let waits = feeds.iter().filter_map(|feed| {
            let wait = known.get(&feed.url)?.wait(feed.refresh);
            Some((wait, feed.url.clone()))
        });
        waits.min()
    }

    /// Returns the URL of the feed that `name` means, or the URLs of all feeds.
    pub(in crate::daemon) fn named_feeds(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<FeedUrl>, FeedError> {
        let feeds = self.feeds_in_force();
        Ok(match name {
            Some(name) => vec![feeds::find(name, &feeds)?.url.clone()],
            None => feeds.into_iter().map(|feed| feed.url).collect(),
        })
    }

    /// Returns the feeds that an enabled policy or the settings use, sorted by URL.
    pub(super) fn feeds_in_force(&self) -> Vec<Feed> {
        let state = self.state();
        let feeds = state.stage.policies().map(|policies| &policies.feeds);
        let feeds = feeds.map_or(&[][..], |feeds| feeds);
        let used = feeds.iter().filter(|feed| !feed.policies.is_empty());
        self.with_data_feeds(used.cloned().collect())
    }

    fn store(&self) -> Store {
        Store::new(&self.settings.state_dir)
    }

    /// Fetches a feed and judges the update. Returns true if a new content is stored; then a
    /// reload puts it in force.
    pub(in crate::daemon) fn fetch_feed(&self, url: &FeedUrl) -> bool {
        let _one_at_a_time = lock(&self.feeds.fetching);
        let feeds = self.feeds_in_force();
        let Some(feed) = feeds.iter().find(|feed| feed.url == *url) else {
            return false;
        };
        let (entry, update) = self.attempt(feed);
        let saved = self.store().save(url, &entry, update.as_deref());
        let mut entry = entry;
        if let Err(error) = &saved {
            let before = self.store().entry(url).unwrap_or_else(|_| Entry::new(url));
            let reason = error_text(error);
            entry = before.after(Outcome::Failed, Some(reason), now());
        }
        tell(&feed.url, &entry);
        let at = now();
        let known = KnownFeed {
            entry,
            attempted: Some((Instant::now(), at)),
        };
        let is_new = saved.is_ok()
            && update.is_some()
            && known
                .entry
                .last
                .as_ref()
                .is_some_and(|last| last.outcome == Outcome::Current);
        lock(&self.feeds.known).insert(url.clone(), known);
        is_new
    }

    /// Makes one attempt to fetch a feed. Returns the entry after it, and a new content if
    /// it must be stored.
    fn attempt(&self, feed: &Feed) -> (Entry, Option<Vec<u8>>) {
        let store = self.store();
        let mut entry = store
            .entry(&feed.url)
            .unwrap_or_else(|_| Entry::new(&feed.url));
        let good = match store.good(&feed.url) {
            Ok(good) => good,
            Err(error) => {
                warn!("{}", error_text(&error));
                entry.good = None;
                None
            }
        };
        let usable = good.as_ref().filter(|_| feed.in_force.is_some());
        let known = usable.map_or((None, None), |(good, _)| {
            (good.etag.as_deref(), good.last_modified.as_deref())
        });
        // Read once, so that the fetch and the judgement use the same networks.
        let gateway = self.settings.gateway();
        let answer = gateway
            .as_ref()
            .map_err(|error| error_text(error))
            .and_then(|gateway| {
                let fetcher = self.fetcher(gateway).map_err(|error| error_text(&*error))?;
                let answer = fetcher.fetch(&feed.url, known);
                answer.map_err(|error| error_text(&error))
            });
        // If the networks are not known, nothing was fetched, so nothing is judged with the
        // default.
        let gateway = gateway.unwrap_or_default();
        let attempted = Attempted {
            entry,
            before: usable.map(|(_, content)| content.as_slice()),
            judge: &|update, before| self.judge(feed, update, before, &gateway),
            now: now(),
        };
        attempted.settle(answer, |update| {
            self.refused_by_policies(feed, update, &gateway)
        })
    }

    /// Returns a fetcher that knows the gateway's current addresses.
    fn fetcher(&self, gateway: &Gateway) -> Result<Fetcher, Box<dyn Error>> {
        let ca_file = self.settings.feeds.ca_file.as_deref();
        let own = Own {
            addresses: datapath::own_addresses()?,
            networks: gateway.networks.clone(),
        };
        Ok(Fetcher::new(ca_file, Limits::default())?.with_own(own))
    }

    /// Compiles the policies with this update. Returns the reason if they cannot be used
    /// with it, but can be used without it.
    fn refused_by_policies(&self, feed: &Feed, update: &[u8], gateway: &Gateway) -> Option<String> {
        if feed.is_data() {
            return None;
        }
        let stored = DiskAndFeeds::new(&self.settings.state_dir);
        let with_update = WithUpdate {
            files: &stored,
            url: &feed.url,
            content: update,
        };
        let paths = &self.settings.policies;
        let runtime = self.state().runtime;
        let moment = clock::now();
        let compiled = |files: &dyn Files| {
            let compiled = compile_files(paths, files, &runtime, &moment, gateway);
            compiled.checked_for_room().diagnostics
        };
        let with = compiled(&with_update);
        let error = with.errors().next()?;
        let without = compiled(&stored);
        let text = format!(
            "the policies cannot be used with it: {}; {}",
            error.message(),
            error.help()
        );
        (!without.has_errors()).then_some(text)
    }

    /// Makes the refused update of a feed its content. Fails if the update does not have
    /// this SHA-256.
    pub(in crate::daemon) fn accept_feed(
        &self,
        url: &FeedUrl,
        sha256: &str,
    ) -> Result<(), FeedError> {
        let _one_at_a_time = lock(&self.feeds.fetching);
        let feeds = self.feeds_in_force();
        let feed = feeds.iter().find(|feed| feed.url == *url);
        let store = self.store();
        let (Some(feed), Some((candidate, content))) = (feed, store.candidate(url)?) else {
            return Err(FeedError::NoCandidate(url.label()));
        };
        if candidate.content.sha256 != sha256 {
            return Err(FeedError::OtherCandidate(url.label()));
        }
        let gateway = self.settings.gateway()?;
        if let Err(refused) = self.judge(feed, &content, None, &gateway)
            && !refused.is_acceptable
        {
            return Err(FeedError::Useless(refused.reason));
        }
        if let Some(reason) = self.refused_by_policies(feed, &content, &gateway) {
            return Err(FeedError::Useless(reason));
        }
        let mut entry = store.entry(url)?;
        entry.good = Some(candidate.content);
        entry.candidate = None;
        entry.failures = 0;
        if let Some(last) = &mut entry.last {
            last.outcome = Outcome::Current;
            last.reason = None;
        }
        store.save(url, &entry, None)?;
        info!(
            "feed {}: the update that was refused is accepted",
            url.label()
        );
        lock(&self.feeds.known)
            .entry(url.clone())
            .or_default()
            .entry = entry;
        Ok(())
    }

    /// Returns the state of each feed of the policies in force.
    pub(in crate::daemon) fn feed_snapshots(&self) -> Vec<FeedSnapshot> {
        let feeds = self.feeds_in_force();
        let labels = labels(feeds.iter().map(|feed| &feed.url));
        let known = lock(&self.feeds.known);
        let each = feeds.iter().map(|feed| {
            let entry = known.get(&feed.url).map(|known| &known.entry);
            let mut shown = shown(feed, entry.unwrap_or(&Entry::default()), now());
            let wait = known.get(&feed.url).map(|known| known.wait(feed.refresh));
            shown.next_attempt = wait.map(|wait| now() + wait.as_secs());
            shown.feed = labels.get(&feed.url).cloned().unwrap_or_default();
            shown
        });
        each.collect()
    }
}

fn tell(url: &FeedUrl, entry: &Entry) {
    let Some(Attempt {
        outcome, reason, ..
    }) = &entry.last
    else {
        return;
    };
    let label = url.label();
    let reason = reason.as_deref().unwrap_or_default();
    let stays = if entry.good.is_some() {
        "the last good list stays in force"
    } else {
        "no version of it is in force"
    };
    match outcome {
        Outcome::Current => info!("feed {label}: current"),
        Outcome::Refused => warn!("feed {label}: refused: {reason}; {stays}"),
        Outcome::Failed => warn!("feed {label}: failed: {reason}; {stays}"),
    }
}
