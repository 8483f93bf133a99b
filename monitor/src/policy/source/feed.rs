//! The options of a fetched list as they are typed.

use std::time::Duration;

use serde_yaml::Value;

use super::reader::{Reader, Spanned, get};
use crate::{
    lists::{FeedUrl, Sha256},
    policy::{
        feed::{MAX_REFRESH, MIN_REFRESH, ReservedRule, Share},
        keys::DestinationKind,
        yaml::Node,
    },
};

/// A fetched list.
#[derive(Debug)]
pub(in crate::policy) struct SourceFeed {
    pub(in crate::policy) url: FeedUrl,
    pub(in crate::policy) refresh: Option<Duration>,
    pub(in crate::policy) sha256: Option<Spanned<Sha256>>,
    pub(in crate::policy) max_change: Option<Spanned<Share>>,
    pub(in crate::policy) reserved: ReservedRule,
}

impl Reader<'_> {
    /// Reads the options; `None` if one of them is invalid.
    pub(super) fn feed(&mut self, node: &Node<'_>, list: &Node<'_>) -> Option<SourceFeed> {
        let mut valid = true;
        let url = self.feed_url(list);
        let refresh = self.option(node, "refresh", Self::refresh, &mut valid);
        let sha256 = self.option(node, "sha256", Self::sha256, &mut valid);
        let reserved = self.option(node, "reserved", Self::reserved, &mut valid);
        let max_change = self.option(node, "max_change", Self::max_change, &mut valid);
        let url = url.filter(|_| valid)?;
        if url.is_exposed() && sha256.is_none() {
            let message =
                "this list is fetched without encryption: others on the network path can change it";
            let help = "write `https://`, or `sha256:` with the hash of the one content to take";
            self.warning(list.span.clone(), message, help);
        }
        Some(SourceFeed {
            url,
            refresh: refresh.map(|refresh| refresh.value),
            sha256,
            max_change,
            reserved: reserved.map_or(ReservedRule::Strip, |rule| rule.value),
        })
    }

    /// Reports keys that are valid only for a fetched list. Returns true if
    /// there are none.
    pub(super) fn refuse_feed_keys(&mut self, node: &Node<'_>) -> bool {
        let mut fine = true;
        for key in DestinationKind::Feed.own_keys() {
            if let Some(value) = get(node, key) {
                fine = false;
                let message = format!(
                    "`{key}` belongs to a `list` that is fetched from a URL, and this is a file"
                );
                let help =
                    format!("remove `{key}`, or name a URL: `{{list: https://…, {key}: …}}`");
                self.error(value.span, message, help);
            }
        }
        fine
    }

    fn feed_url(&mut self, list: &Node<'_>) -> Option<FeedUrl> {
        let text = list.value.as_str().unwrap_or_default();
        match text.parse() {
            Ok(url) => Some(url),
            Err(error) => {
                let error: crate::lists::InvalidFeedUrl = error;
                self.error(list.span.clone(), error.to_string(), error.help());
                None
            }
        }
    }

    fn refresh(&mut self, node: &Node<'_>) -> Option<Duration> {
        let help = "write a time from 1m to 30d, such as `refresh: 24h`";
        let text = self.text(node, "`refresh`", help)?;
        let Ok(refresh) = humantime::parse_duration(&text) else {
            let message = format!("`{text}` is not a length of time");
            self.error(node.span.clone(), message, help);
            return None;
        };
        let message = if refresh < MIN_REFRESH {
            "a list is fetched at most once a minute"
        } else if refresh > MAX_REFRESH {
            "a list is fetched at least every 30 days"
        } else {
            return Some(refresh);
        };
        self.error(node.span.clone(), message, help);
        None
    }

    fn sha256(&mut self, node: &Node<'_>) -> Option<Sha256> {
        let help = "write the 64 hexadecimal digits that `sha256sum` prints, in quotes";
        let text = self.text(node, "`sha256`", help)?;
        let hash = text.parse().ok();
        if hash.is_none() {
            let count = text.chars().count();
            let message = if text.chars().all(|c| c.is_ascii_hexdigit()) {
                format!("a SHA-256 has 64 digits; this has {count}")
            } else {
                "this is not a SHA-256".to_owned()
            };
            self.error(node.span.clone(), message, help);
        }
        hash
    }

    fn reserved(&mut self, node: &Node<'_>) -> Option<ReservedRule> {
        let help = "write `reserved: strip` to cut reserved ranges out, or `refuse` to take no list that holds one";
        match node.value {
            Value::String(text) if text == "strip" => Some(ReservedRule::Strip),
            Value::String(text) if text == "refuse" => Some(ReservedRule::Refuse),
            Value::String(text) => {
                let message = format!("`reserved` cannot be `{text}`");
                self.error(node.span.clone(), message, help);
                None
            }
            _other => {
                self.wrong_type(node, "`reserved`", "`strip` or `refuse`", help);
                None
            }
        }
    }

    fn max_change(&mut self, node: &Node<'_>) -> Option<Share> {
        let help = "write a share from 0% to 1000%, such as `max_change: 50%`";
        if matches!(node.value, Value::Number(_)) {
            self.error(node.span.clone(), "a share is written with `%`", help);
            return None;
        }
        let text = self.text(node, "`max_change`", help)?;
        let share = text.parse().ok();
        if share.is_none() {
            let message = format!("`{text}` is not a share from 0% to 1000%");
            self.error(node.span.clone(), message, help);
        }
        share
    }
}
