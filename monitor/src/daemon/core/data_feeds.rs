//! Feeds with data about ranges: named by the settings, and judged as data.

use super::Core;
use crate::{
    data,
    feeds::{self, Objection},
    guard::Gateway,
    lists::{FeedUrl, Reserved},
    policy::Feed,
};

impl Core {
    /// `feeds`, with those that only `data:` names, sorted by URL. A feed that a policy uses
    /// too is judged as a list.
    pub(super) fn with_data_feeds(&self, mut feeds: Vec<Feed>) -> Vec<Feed> {
        let data = self.range_data_now();
        for url in &self.settings.data.feeds {
            if feeds.iter().any(|feed| feed.url == *url) {
                continue;
            }
            let rows = data.as_ref().and_then(|data| data.rows_of(url));
            let rows = usize::try_from(rows.unwrap_or(0)).unwrap_or(usize::MAX);
            feeds.push(Feed::of_data(url.clone(), rows));
        }
        feeds.sort_by(|a, b| a.url.cmp(&b.url));
        feeds
    }

    /// True if `data:` names this feed.
    pub(in crate::daemon) fn is_data_feed(&self, url: &FeedUrl) -> bool {
        self.settings.data.feeds.contains(url)
    }

    /// True if a policy in force uses this feed.
    pub(in crate::daemon) fn is_used_by_policies(&self, url: &FeedUrl) -> bool {
        let feeds = self.feeds_in_force();
        let mut used = feeds.iter().filter(|feed| !feed.policies.is_empty());
        used.any(|feed| feed.url == *url)
    }

    /// Judges an update as its users read it: as a list of policies, or as data.
    pub(super) fn judge(
        &self,
        feed: &Feed,
        update: &[u8],
        before: Option<&[u8]>,
        gateway: &Gateway,
    ) -> Result<(), Objection> {
        if feed.is_data() {
            return self.judge_data(update, before);
        }
        Ok(feeds::judge(
            update,
            before,
            feed,
            &Reserved::new(&gateway.networks),
        )?)
    }

    /// Judges an update of a feed that only `data:` names.
    fn judge_data(&self, update: &[u8], before: Option<&[u8]>) -> Result<(), Objection> {
        let judged = data::judge(update, before, &self.settings.state_dir);
        judged.map_err(|refusal| Objection {
            reason: refusal.to_string(),
            help: refusal.help().to_owned(),
            is_acceptable: refusal.is_acceptable(),
            is_failure: refusal.is_failure(),
        })
    }
}
