//! Tells open pages that something changed, by server-sent events. The script of a page then
//! loads the page again and replaces what differs.
//!
//! A stream ends after some seconds, and the browser opens the next one by itself. So a client
//! that does not read holds its place only for a short time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse as _, Response},
};
use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    time::{Instant, interval_at, sleep_until},
};

use super::{Chunks, Pages};
use crate::{http::routes::read, page_facts::PageFacts, snapshot::Snapshot};

/// The most streams of one endpoint. Other pages ask again after [`LATER`].
const CLIENTS: usize = 8;

/// Seconds after which a client without a place asks again.
const LATER: &str = "30";

/// Length of a stream. It is shorter than [`crate::http::Limits::exchange_time`].
const LIFE: Duration = Duration::from_secs(25);

/// Time between two heartbeats, by which a client that is gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The least time between two looks for changes.
const LOOK: Duration = Duration::from_secs(5);

/// A page is loaded again only after this many times the time of a processor that it takes. So
/// each open page costs less than a third of a percent of a processor.
const REST: u32 = 300;

/// The streams of an endpoint.
pub(super) struct Live {
    clients: Arc<Semaphore>,
    seen: Mutex<Option<Seen>>,
}

/// What the last look saw.
#[derive(Clone)]
struct Seen {
    at: Instant,
    /// A word that changes with what the pages show.
    state: String,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            clients: Arc::new(Semaphore::new(CLIENTS)),
            seen: Mutex::default(),
        }
    }
}

/// Answers with a stream of events, or asks the client to come later.
pub(super) async fn events(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    let Ok(place) = Arc::clone(&pages.live.clients).try_acquire_owned() else {
        let headers = [(RETRY_AFTER, LATER)];
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            headers,
            "Too many open pages.\n",
        )
            .into_response();
    };
    let known = headers.get("last-event-id");
    let known = known.and_then(|id| id.to_str().ok()).map(str::to_owned);
    let (chunks, body) = mpsc::channel(4);
    tokio::spawn(async move {
        stream(&pages, known, &chunks).await;
        drop(place);
    });
    let headers = [(CONTENT_TYPE, "text/event-stream")];
    (headers, Body::from_stream(Chunks(body))).into_response()
}

/// Sends events until the client is gone, the server stops or the stream is old.
async fn stream(pages: &Pages, mut known: Option<String>, chunks: &mpsc::Sender<Bytes>) {
    let begin = Instant::now();
    let mut heartbeat = interval_at(begin + HEARTBEAT, HEARTBEAT);
    let mut stopped = pages.stopped.clone();
    let stop = async move {
        // An error means that the server is gone.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let end = sleep_until(begin + LIFE);
    tokio::pin!(end, stop);
    let mut look = begin;
    if chunks
        .try_send(Bytes::from_static(b"retry: 1000\n\n"))
        .is_err()
    {
        return;
    }
    loop {
        let event = tokio::select! {
            () = &mut end => return,
            () = chunks.closed() => return,
            () = &mut stop => return,
            _ = heartbeat.tick() => Some(": still here\n\n".to_owned()),
            () = sleep_until(look) => {
                look = Instant::now() + pages.pace();
                pages.state().await.and_then(|now| changed(&mut known, now))
            }
        };
        let Some(event) = event else {
            continue;
        };
        // A client that does not read gets no more.
        if chunks.try_send(Bytes::from(event)).is_err() {
            return;
        }
    }
}

/// The event for a state. A client that knows no state yet has a page that was just made.
fn changed(known: &mut Option<String>, now: String) -> Option<String> {
    if known.as_ref() == Some(&now) {
        return None;
    }
    let event = match known {
        Some(_) => "change",
        None => "begin",
    };
    let text = format!("event: {event}\nid: {now}\ndata:\n\n");
    *known = Some(now);
    Some(text)
}

impl Pages {
    /// The time between two looks.
    fn pace(&self) -> Duration {
        let cost = Duration::from_micros(self.cost.load(Ordering::Relaxed));
        let open = CLIENTS - self.live.clients.available_permits();
        let open = u32::try_from(open).unwrap_or(1).max(1);
        LOOK.max(cost.saturating_mul(REST).saturating_mul(open))
    }

    /// What the pages show, as a word. All clients share a look.
    async fn state(&self) -> Option<String> {
        let mut seen = self.live.seen.lock().await;
        if let Some(seen) = seen.as_ref()
            && seen.at.elapsed() < LOOK / 2
        {
            return Some(seen.state.clone());
        }
        let pages = self.site.pages.clone();
        let state = read(self.site.clone(), move |snapshot, health, _| {
            let late = pages.daemon().map(PageFacts::late);
            let others = (&health.hang, &health.problems, late);
            state_of(snapshot, &format!("{others:?}"))
        });
        let state = state.await.ok()?;
        *seen = Some(Seen {
            at: Instant::now(),
            state: state.clone(),
        });
        Some(state)
    }
}

/// A hash of what can change on a page without a request.
fn state_of(snapshot: &Snapshot, others: &str) -> String {
    let policies = snapshot.policies.iter();
    let policies: Vec<_> = policies
        .map(|policy| (&policy.name, policy.action, policy.matched))
        .collect();
    let feeds = snapshot.feeds.iter();
    let feeds: Vec<_> = feeds
        .map(|feed| (&feed.feed, feed.state, feed.last_attempt))
        .collect();
    let all = (
        (&snapshot.interfaces, &snapshot.reload, &snapshot.ruleset),
        (policies, feeds, &snapshot.blind),
        others,
    );
    let json = serde_json::to_vec(&all).unwrap_or_default();
    let hash = blake3::hash(&json).to_hex();
    hash.get(..16).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_knew_another_state_loads_again() {
        let mut known = None;
        let begin = changed(&mut known, "a".to_owned()).unwrap();
        assert_eq!(begin, "event: begin\nid: a\ndata:\n\n");
        assert_eq!(changed(&mut known, "a".to_owned()), None);
        let event = changed(&mut known, "b".to_owned()).unwrap();
        assert!(event.starts_with("event: change\nid: b\n"), "{event}");
        // A client that comes back tells what it knew.
        let mut old = Some("a".to_owned());
        assert!(
            changed(&mut old, "b".to_owned())
                .unwrap()
                .contains("change")
        );
    }

    #[test]
    fn a_packet_changes_the_state() {
        let mut snapshot = Snapshot::default();
        let before = state_of(&snapshot, "");
        assert_eq!(before, state_of(&snapshot.clone(), ""));
        assert_ne!(before, state_of(&snapshot, "hangs"));
        snapshot.ruleset = Some("other".to_owned());
        assert_ne!(before, state_of(&snapshot, ""));
    }
}
