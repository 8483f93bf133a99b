//! `monitor feed`: the lists that the daemon downloads.

use std::{
    fmt::Write as _,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use monitor::{
    control::{Answer, Request, ask_within},
    feeds::{Candidate, Difference, DiskAndFeeds, SizesText, Store, difference, find, shown_feeds},
    lists::{OwnNetwork, Reserved},
    policy::{Feed, load_for},
    printable,
    snapshot::{FeedSnapshot, FeedState},
};
use serde::Serialize;

use super::{Common, ReachArgs, print, print_json, reach::Reach, stderr, table, tell};

/// How long the client waits for an answer: a download takes up to a minute, and
/// there may be many feeds.
const PATIENCE: Duration = Duration::from_mins(30);

/// Show the lists that the daemon downloads, and accept updates that it refused.
#[derive(Debug, Subcommand)]
pub(crate) enum FeedVerb {
    /// Show every feed with its state and age
    List(ReachArgs),
    /// Show what a refused update would change
    Diff {
        /// A policy with one feed, or a URL
        name: String,
        #[command(flatten)]
        place: ReachArgs,
    },
    /// Put a refused update in force, after a look at what it changes
    Accept {
        /// A policy with one feed, or a URL
        name: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        place: ReachArgs,
    },
    /// Download a feed now, or all of them
    Fetch {
        /// A policy with one feed, or a URL
        name: Option<String>,
        #[command(flatten)]
        place: ReachArgs,
    },
}

/// A refused update, with what it would change.
#[derive(Serialize)]
struct Pending<'a> {
    /// URL without the query, which may contain a secret.
    url: String,
    policies: Vec<String>,
    sha256: &'a str,
    fetched_at: u64,
    reason: &'a str,
    /// `None` for data about ranges.
    #[serde(flatten)]
    difference: Option<Difference>,
}

/// The feeds that the policies and the settings name, and the stored versions.
struct StoredFeeds {
    feeds: Vec<Feed>,
    own: Vec<OwnNetwork>,
    store: Store,
}

/// Runs one of the `feed` verbs.
pub(super) fn run(common: &Common, verb: &FeedVerb) -> anyhow::Result<()> {
    match verb {
        FeedVerb::List(place) => list(common, place),
        FeedVerb::Diff { name, place } => diff(common, place, name),
        FeedVerb::Accept { name, yes, place } => accept(common, place, name, *yes),
        FeedVerb::Fetch { name, place } => {
            let request = Request::FeedFetch { feed: name.clone() };
            show(common, &asked(&place.reach(common)?, &request)?)
        }
    }
}

fn list(common: &Common, place: &ReachArgs) -> anyhow::Result<()> {
    let reach = place.reach(common)?;
    if reach.daemon.is_some() {
        return show(common, &asked(&reach, &Request::FeedList {})?);
    }
    let known = StoredFeeds::read(&reach)?;
    let now = monitor::clock::now().at.as_second();
    let now = u64::try_from(now).unwrap_or_default();
    show(common, &shown_feeds(&known.feeds, &known.store, now))
}

fn diff(common: &Common, place: &ReachArgs, name: &str) -> anyhow::Result<()> {
    let known = StoredFeeds::read(&place.reach(common)?)?;
    let feed = find(name, &known.feeds)?;
    let (candidate, content) = known.candidate(feed)?;
    let pending = known.pending(feed, &candidate, &content)?;
    if common.json {
        print_json(&pending)
    } else {
        print(&pending.to_text())
    }
}

fn accept(common: &Common, place: &ReachArgs, name: &str, yes: bool) -> anyhow::Result<()> {
    let reach = place.reach(common)?;
    let known = StoredFeeds::read(&reach)?;
    let feed = find(name, &known.feeds)?;
    let (candidate, content) = known.candidate(feed)?;
    if !common.json {
        print(&known.pending(feed, &candidate, &content)?.to_text())?;
    }
    if !yes && !confirmed(common)? {
        bail!("nothing is changed");
    }
    let request = Request::FeedAccept {
        feed: feed.url.as_str().to_owned(),
        sha256: candidate.content.sha256.clone(),
    };
    show(common, &asked(&reach, &request)?)
}

/// Asks on the terminal.
fn confirmed(common: &Common) -> anyhow::Result<bool> {
    if common.json || !io::stdin().is_terminal() {
        bail!(
            "cannot ask for confirmation, because standard input is no terminal: look at the update with `monitor feed diff`, then give --yes"
        );
    }
    let mut question = stderr();
    question.write_all(b"put this update in force? [y/N] ")?;
    question.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn asked(reach: &Reach, request: &Request) -> anyhow::Result<Vec<FeedSnapshot>> {
    if reach.daemon.is_none() {
        bail!(
            "{}; start one with `monitor run`, or name its --socket",
            reach.why_no_daemon()
        );
    }
    match ask_within(&reach.settings.socket, request, PATIENCE)? {
        Answer::Feeds(feeds) => Ok(feeds),
        Answer::Refused(why) => bail!("the daemon refused: {why}"),
        other => bail!("the daemon gave an unexpected answer: {other:?}"),
    }
}

impl StoredFeeds {
    /// Reads the policies and the state directory of the daemon, or of the settings
    /// if no daemon runs.
    fn read(reach: &Reach) -> anyhow::Result<Self> {
        let settings = &reach.settings;
        let (policies, state_dir, interfaces) = if let Some(daemon) = &reach.daemon {
            let interfaces = daemon.interfaces.clone();
            (&daemon.policies, &daemon.state_dir, interfaces)
        } else {
            let interfaces = settings.real_interfaces()?;
            (&settings.policies, &settings.state_dir, interfaces)
        };
        let own = monitor::datapath::lan_networks(&interfaces)?;
        let loaded = load_for(policies, &DiskAndFeeds::new(state_dir), &own);
        if loaded.diagnostics.has_errors() {
            tell(
                "note: the policies have errors, see `monitor check`; the feeds of the others follow",
            );
        }
        let mut feeds = loaded.feeds;
        for url in &settings.data.feeds {
            if feeds.iter().all(|feed| feed.url != *url) {
                feeds.push(Feed::of_data(url.clone(), 0));
            }
        }
        feeds.sort_by(|a, b| a.url.cmp(&b.url));
        Ok(Self {
            feeds,
            own,
            store: Store::new(state_dir),
        })
    }

    fn candidate(&self, feed: &Feed) -> anyhow::Result<(Candidate, Vec<u8>)> {
        let candidate = self.store.candidate(&feed.url)?;
        candidate.with_context(|| format!("there is no refused update of {} to accept", feed.url))
    }

    fn pending<'a>(
        &self,
        feed: &'a Feed,
        candidate: &'a Candidate,
        content: &[u8],
    ) -> anyhow::Result<Pending<'a>> {
        let difference = if feed.is_data() {
            None
        } else {
            let before = self.store.good(&feed.url)?.map(|(_, content)| content);
            let reserved = Reserved::new(&self.own);
            Some(difference(content, before.as_deref(), feed, &reserved)?)
        };
        Ok(Pending {
            url: feed.url.to_string(),
            policies: feed.policies.iter().map(ToString::to_string).collect(),
            sha256: &candidate.content.sha256,
            fetched_at: candidate.content.fetched_at,
            reason: &candidate.reason,
            difference,
        })
    }
}

impl Pending<'_> {
    fn to_text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "feed              {}", self.url);
        let used_by = if self.policies.is_empty() {
            "none: it is data about ranges".to_owned()
        } else {
            self.policies.join(", ")
        };
        let _ = writeln!(text, "policies          {used_by}");
        let _ = writeln!(text, "refused because   {}", printable::block(self.reason));
        if let Some(difference) = &self.difference {
            describe(&mut text, difference);
        }
        text
    }
}

fn describe(text: &mut String, difference: &Difference) {
    let Difference { before, after, .. } = difference;
    let line = |name: &str, of: fn(&SizesText) -> String| {
        format!("{name:<16}  {} -> {}\n", of(before), of(after))
    };
    text.push_str(&line("destinations", |sizes| {
        sizes.destinations.to_string()
    }));
    text.push_str(&line("IPv4 addresses", |sizes| {
        sizes.ipv4_addresses.clone()
    }));
    text.push_str(&line("IPv6 addresses", |sizes| {
        sizes.ipv6_addresses.clone()
    }));
    prefixes(text, "added", &difference.added, difference.added_count);
    prefixes(
        text,
        "removed",
        &difference.removed,
        difference.removed_count,
    );
}

fn prefixes(text: &mut String, what: &str, shown: &[String], count: usize) {
    let _ = writeln!(text, "{what:<16}  {count} prefixes");
    for prefix in shown {
        let _ = writeln!(text, "  {prefix}");
    }
    if count > shown.len() {
        let _ = writeln!(text, "  and {} more", count - shown.len());
    }
}

fn show(common: &Common, feeds: &[FeedSnapshot]) -> anyhow::Result<()> {
    if common.json {
        print_json(&feeds)
    } else if feeds.is_empty() {
        print("no policy has a feed, and `data:` names none\n")
    } else {
        print(&render(feeds))
    }
}

/// A table of feeds, with their problems below it.
pub(super) fn render(feeds: &[FeedSnapshot]) -> String {
    let mut rows = table(&[
        "feed",
        "policies",
        "state",
        "age",
        "destinations",
        "cut",
        "last try",
        "next try",
    ]);
    for feed in feeds {
        rows.add_row([
            feed.feed.clone(),
            feed.policies.join(", "),
            feed.state.name().to_owned(),
            feed.age.map_or_else(|| "-".to_owned(), duration),
            feed.destinations.to_string(),
            feed.cut.to_string(),
            feed.last_attempt.map_or_else(|| "-".to_owned(), time),
            feed.next_attempt.map_or_else(|| "-".to_owned(), time),
        ]);
    }
    let mut text = format!("{rows}\n");
    for feed in feeds {
        if let Some(reason) = &feed.reason {
            let _ = writeln!(
                text,
                "{} {}: {}",
                feed.feed,
                feed.state.name(),
                printable::block(reason)
            );
        }
        if feed.state != FeedState::Current && feed.age.is_none() {
            let _ = writeln!(text, "{}: this feed is not in force", feed.feed);
        }
        if feed.cut > 0 {
            let _ = writeln!(
                text,
                "{}: these reserved networks are cut out: {}",
                feed.feed,
                feed.cut_networks.join(", ")
            );
        }
    }
    text
}

fn duration(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// The time in UTC.
fn time(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).ok();
    let at = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}
