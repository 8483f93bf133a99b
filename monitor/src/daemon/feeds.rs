//! Fetches feeds when they are due or a client asks for it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::error;

use super::{
    blocking::blocking,
    core::{Core, Trigger},
    jobs::reload,
};
use crate::{control::Answer, error_text::error_text, lists::FeedUrl};

/// Maximum time between two checks for feeds that are due. A timer stands still while the
/// machine sleeps, so a longer wait would end too late.
const LOOK: Duration = Duration::from_secs(30);

/// Fetches feeds when they are due, until the task is aborted.
pub(super) async fn run(core: Arc<Core>) {
    loop {
        match core.next_feed() {
            Some((Duration::ZERO, url)) => fetch(&core, url).await,
            next => {
                let wait = next.map_or(LOOK, |(wait, _)| wait.min(LOOK));
                // After the time or a change of feeds, the next check is due.
                let _ = timeout(wait, core.feeds_changed()).await;
            }
        }
    }
}

/// Fetches one feed. If its content is new, uses it.
async fn fetch(core: &Arc<Core>, url: FeedUrl) {
    let fetched = url.clone();
    let fetch = move |core: &Core| Ok::<_, Infallible>(core.fetch_feed(&fetched));
    match blocking(core, fetch).await {
        Ok(true) => put_in_force(core, &url).await,
        Ok(false) => {}
        Err(error) => {
            error!("fetch a feed: {error}");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Uses the new content of a feed: as data, or else in the policies.
async fn put_in_force(core: &Arc<Core>, url: &FeedUrl) {
    if core.is_data_feed(url) {
        core.wake_ranges();
    }
    if !core.is_used_by_policies(url) {
        return;
    }
    drop(reload(core, Trigger::File).await);
    // The main loop watches the files of the new policies.
    core.tell_reloaded();
}

/// Fetches the feed that `name` means, or all feeds. Returns the state of all feeds.
pub(super) async fn fetch_now(core: &Arc<Core>, name: Option<&str>) -> Answer {
    let urls = match core.named_feeds(name) {
        Ok(urls) => urls,
        Err(error) => return Answer::Refused(error_text(&error)),
    };
    for url in urls {
        fetch(core, url).await;
    }
    Answer::Feeds(core.feed_snapshots())
}

/// Puts a refused update in force that an operator accepted. `sha256` identifies the update
/// that the operator saw.
pub(super) async fn accept(core: &Arc<Core>, name: &str, sha256: String) -> Answer {
    let url = match core.named_feeds(Some(name)) {
        Ok(mut urls) => urls.pop(),
        Err(error) => return Answer::Refused(error_text(&error)),
    };
    let Some(url) = url else {
        return Answer::Refused("there is no such feed".to_owned());
    };
    let accepted = url.clone();
    match blocking(core, move |core| core.accept_feed(&accepted, &sha256)).await {
        Ok(()) => {
            put_in_force(core, &url).await;
            Answer::Feeds(core.feed_snapshots())
        }
        Err(error) => Answer::Refused(error),
    }
}
