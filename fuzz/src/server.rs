//! Arbitrary bytes from a feed server, read by the real client, and the answers of the
//! verbs afterwards.

#![expect(
    clippy::missing_panics_doc,
    reason = "a broken promise is what they look for"
)]

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use monitor::{
    control::Answer,
    error_text::error_text,
    feeds::{self, Attempted, Entry, Fetcher, Limits, shown},
    lists::{FeedUrl, Reserved},
    policy::{Feed, ReservedRule},
};

use crate::targets::{GATEWAY, diagnostics_with, feed_with};

/// The most bytes of an answer about one feed, and of its stored state.
const SMALL: usize = 16 * 1024;

/// Time of every attempt, in seconds since 1970-01-01T00:00:00Z.
const NOW: u64 = 1_782_907_200;

/// `bytes` are the answer of a server, byte for byte. It gives the same answer to the
/// request for each redirect.
pub fn server(bytes: &[u8]) {
    let fetched = fetch(bytes);
    let content = match &fetched {
        Ok(feeds::Answer::Content(fetched)) => Some(fetched.content.clone()),
        Ok(feeds::Answer::NotModified) | Err(_) => None,
    };
    let feed = Feed {
        url: url(),
        ..feed_with(ReservedRule::Strip, None)
    };
    let attempted = Attempted {
        entry: Entry::new(&feed.url),
        before: None,
        judge: &|update, before| {
            let reserved = Reserved::new(&GATEWAY.networks);
            Ok(feeds::judge(update, before, &feed, &reserved)?)
        },
        now: NOW,
    };
    let (entry, _) = attempted.settle(fetched, |update| {
        let diagnostics = diagnostics_with(update);
        let first = diagnostics.errors().next()?;
        Some(format!("{}; {}", first.message(), first.help()))
    });
    let state = serde_json::to_vec(&entry).expect("an entry can be written");
    assert!(state.len() < SMALL, "a state of {} bytes", state.len());
    let answer = Answer::Feeds(vec![shown(&feed, &entry, NOW)]);
    let answer = serde_json::to_vec(&answer).expect("an answer can be written");
    assert!(answer.len() < SMALL, "an answer of {} bytes", answer.len());
    if let Some(content) = content {
        let told = diagnostics_with(&content).render_some();
        assert!(told.len() < SMALL, "warnings of {} bytes", told.len());
    }
}

fn fetch(bytes: &[u8]) -> Result<feeds::Answer, String> {
    // Without the certificates of the system, because reading them takes longer than a
    // fetch.
    static FETCHER: OnceLock<Fetcher> = OnceLock::new();
    bytes.clone_into(&mut SENT.lock().unwrap_or_else(PoisonError::into_inner));
    let limits = Limits {
        time: Duration::from_secs(10),
        redirects: 2,
        ..Limits::default()
    };
    let fetcher =
        FETCHER.get_or_init(|| Fetcher::new(None, limits).expect("the certificates of the system"));
    let known = (Some("\"known\""), None);
    let answer = fetcher.fetch(&url(), known);
    answer.map_err(|error| error_text(&error))
}

/// The bytes that the server sends to each client.
static SENT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// URL of a server that runs until this process ends. It listens on an unusual loopback
/// address, so that no other server is in the way.
fn url() -> FeedUrl {
    static PORT: OnceLock<u16> = OnceLock::new();
    let port = PORT.get_or_init(|| {
        let listener = TcpListener::bind("127.83.10.1:0").expect("listen on loopback");
        let port = listener.local_addr().expect("a bound address").port();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Errors are ignored: a client may close the connection at any time.
                let _ = serve(client);
            }
        });
        port
    });
    format!("http://127.83.10.1:{port}/lists/drop?key=1")
        .parse()
        .expect("a URL")
}

fn serve(mut client: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut part = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut part)? {
            0 => return Ok(()),
            length => head.extend_from_slice(&part[..length]),
        }
    }
    let sent = SENT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    client.write_all(&sent)?;
    client.shutdown(Shutdown::Write)
}
