//! Fetches feeds when they are due, or when somebody asks for it.

use std::{sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::timeout};
use tracing::error;

use super::{
    core::{Core, Trigger},
    serve::reload,
};
use crate::{control::Answer, error_text::error_text, lists::FeedUrl};

/// How often the clocks are looked at: a long wait would not notice a suspend.
const LOOK: Duration = Duration::from_secs(30);

/// Fetches what is due until the task is aborted.
pub(super) async fn run(core: Arc<Core>) {
    loop {
        match core.next_feed() {
            Some((Duration::ZERO, url)) => fetch(&core, url).await,
            next => {
                let wait = next.map_or(LOOK, |(wait, _)| wait.min(LOOK));
                // Either way there is something to look at.
                let _ = timeout(wait, core.feeds_changed()).await;
            }
        }
    }
}

/// Fetches one, and puts in force what is new.
async fn fetch(core: &Arc<Core>, url: FeedUrl) {
    let fetching = Arc::clone(core);
    match spawn_blocking(move || fetching.fetch_feed(&url)).await {
        Ok(true) => put_in_force(core).await,
        Ok(false) => {}
        Err(panic) => {
            error!("a fetch ended unexpectedly: {panic}");
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn put_in_force(core: &Arc<Core>) {
    reload(core, Trigger::File).await;
    // The files may be others than before.
    core.tell_reloaded();
}

/// Fetches the feed of this name, or all, and says how it went.
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

/// Takes a refused update that somebody looked at.
pub(super) async fn accept(core: &Arc<Core>, name: &str, sha256: String) -> Answer {
    let url = match core.named_feeds(Some(name)) {
        Ok(mut urls) => urls.pop(),
        Err(error) => return Answer::Refused(error_text(&error)),
    };
    let Some(url) = url else {
        return Answer::Refused("there is no such feed".to_owned());
    };
    let accepting = Arc::clone(core);
    match spawn_blocking(move || accepting.accept_feed(&url, &sha256)).await {
        Ok(Ok(())) => {
            put_in_force(core).await;
            Answer::Feeds(core.feed_snapshots())
        }
        Ok(Err(error)) => Answer::Refused(error_text(&error)),
        Err(panic) => Answer::Refused(panic.to_string()),
    }
}
