//! Finds the feed that a name on the command line means.

use super::labels;
use crate::policy::Feed;

/// The reason why a name does not identify one feed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownFeed {
    /// No feed and no policy has this name.
    #[error("no policy and no feed is called `{name}`{}", listed(known))]
    None {
        /// The name.
        name: String,
        /// The URLs of all feeds.
        known: Vec<String>,
    },
    /// The policy of this name uses several feeds.
    #[error("policy `{name}` has several feeds: name one of them{}", listed(feeds))]
    Several {
        /// The name.
        name: String,
        /// The URLs of these feeds.
        feeds: Vec<String>,
    },
}

fn listed(urls: &[String]) -> String {
    if urls.is_empty() {
        return "; the policies name no URL".to_owned();
    }
    format!(":\n  {}", urls.join("\n  "))
}

/// Returns the feed whose URL or label is `name`. If there is none, returns the only
/// feed of the policy that is called `name`.
pub fn find<'a>(name: &str, feeds: &'a [Feed]) -> Result<&'a Feed, UnknownFeed> {
    let labels = labels(feeds.iter().map(|feed| &feed.url));
    let is_it = |feed: &&Feed| {
        feed.url.as_str() == name || labels.get(&feed.url).is_some_and(|label| label == name)
    };
    if let Some(feed) = feeds.iter().find(is_it) {
        return Ok(feed);
    }
    let urls = |feeds: &[&Feed]| feeds.iter().map(|feed| feed.url.to_string()).collect();
    let of_policy = |feed: &&Feed| feed.policies.iter().any(|policy| policy.as_str() == name);
    let used: Vec<&Feed> = feeds.iter().filter(of_policy).collect();
    let name = name.to_owned();
    match used.as_slice() {
        [feed] => Ok(feed),
        [] => Err(UnknownFeed::None {
            name,
            known: urls(&feeds.iter().collect::<Vec<_>>()),
        }),
        several => Err(UnknownFeed::Several {
            name,
            feeds: urls(several),
        }),
    }
}
