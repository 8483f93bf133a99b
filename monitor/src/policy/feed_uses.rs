//! The feeds that the policies of a load use, read from stored content.

use std::{collections::BTreeSet, path::Path, time::Duration};

use super::{
    Policy, PolicyName,
    diagnostic::{Diagnostic, Diagnostics, SourceFile, SourcePlace},
    feed::{DEFAULT_REFRESH, Feed, InForce, ReservedRule, Share},
    files::Files,
    list::ReadList,
    source::{SourceFeed, SourceList},
};
use crate::lists::{FeedReading, FeedUrl, OwnNetwork, Reserved, Sha256, feed_text, read_feed};

/// The feeds of a load.
pub(super) struct Feeds<'a> {
    files: &'a dyn Files,
    reserved: Reserved,
    fetched: Vec<Fetched>,
    uses: Vec<Use>,
}

/// The stored content of a feed, read with one format and selection.
struct Fetched {
    url: FeedUrl,
    reading: FeedReading,
    /// `None` if there is no usable content; a warning was reported then.
    content: Option<(SourceFile, ReadList, InForce)>,
}

struct Use {
    policy: Option<PolicyName>,
    url: FeedUrl,
    refresh: Duration,
    sha256: Option<(Sha256, SourcePlace)>,
    max_change: Option<(Share, SourcePlace)>,
    reserved: ReservedRule,
    reading: FeedReading,
}

impl<'a> Feeds<'a> {
    pub(super) fn new(files: &'a dyn Files, own: &[OwnNetwork]) -> Self {
        Self {
            files,
            reserved: Reserved::new(own),
            fetched: Vec::new(),
            uses: Vec::new(),
        }
    }

    /// The content of the feed that `policy` uses. Returns `None` and adds a
    /// warning if there is no usable content yet.
    pub(super) fn load(
        &mut self,
        (typed, feed): (&SourceList, &SourceFeed),
        policy: Option<&PolicyName>,
        file: &SourceFile,
        out: &mut Diagnostics,
    ) -> Option<(&SourceFile, &ReadList)> {
        let reading = FeedReading {
            format: typed.format.as_ref().map(|format| format.value),
            selection: typed.selection(),
            skip_bad_lines: typed.skip_bad_lines,
        };
        let place = |span: &std::ops::Range<usize>| file.place(span.clone());
        let sha256 = feed
            .sha256
            .as_ref()
            .map(|hash| (hash.value, place(&hash.span)));
        let max_change = feed.max_change.as_ref();
        self.uses.push(Use {
            policy: policy.cloned(),
            url: feed.url.clone(),
            refresh: feed.refresh.unwrap_or(DEFAULT_REFRESH),
            sha256: sha256.clone(),
            max_change: max_change.map(|share| (share.value, place(&share.span))),
            reserved: feed.reserved,
            reading: reading.clone(),
        });
        let is_it = |fetched: &Fetched| fetched.url == feed.url && fetched.reading == reading;
        let index = self.fetched.iter().position(is_it);
        let index = index.unwrap_or_else(|| {
            let pinned = sha256.map(|(hash, _)| hash);
            let named_at = place(&typed.path.span);
            let content = match self.read(&feed.url, &reading, pinned) {
                Ok(content) => Some(content),
                Err((message, help)) => {
                    out.push(Diagnostic::warning(named_at, message, help));
                    None
                }
            };
            self.fetched.push(Fetched {
                url: feed.url.clone(),
                reading,
                content,
            });
            self.fetched.len() - 1
        });
        let (source, list, _) = self.fetched[index].content.as_ref()?;
        Some((source, list))
    }

    /// Reads the stored content. The error is the message and the help of a
    /// warning: it is not fatal, because the daemon fixes it by fetching.
    fn read(
        &self,
        url: &FeedUrl,
        reading: &FeedReading,
        pinned: Option<Sha256>,
    ) -> Result<(SourceFile, ReadList, InForce), (String, String)> {
        const FETCHES: &str = "the daemon fetches it; until then it protects nothing";
        let content = match self.files.feed(url) {
            Ok(Some(content)) => content,
            Ok(None) => {
                return Err((
                    "this list is not fetched yet".to_owned(),
                    FETCHES.to_owned(),
                ));
            }
            Err(error) => {
                let message = format!("the stored content of this list cannot be read: {error}");
                return Err((message, FETCHES.to_owned()));
            }
        };
        if pinned.is_some_and(|pinned| pinned != Sha256::of(&content)) {
            let message =
                "the stored content of this list does not match `sha256`, and is not used";
            return Err((message.to_owned(), FETCHES.to_owned()));
        }
        let read = feed_text(content).and_then(|text| {
            let list = read_feed(&text, reading)?;
            Ok((text, list))
        });
        let (text, list) = read.map_err(|problem| {
            let message = format!(
                "the stored content of this list cannot be used with these options: {problem}"
            );
            (
                message,
                format!("{}; until then it protects nothing", problem.help()),
            )
        })?;
        let (list, cut) = self.reserved.cut(list);
        let source = SourceFile::new(Path::new(&self.name_of(url)), text);
        let destinations = list.lines();
        Ok((source, list.into(), InForce { destinations, cut }))
    }

    /// Returns the name of a feed for messages: its URL without the query, because the query
    /// may hold a secret. A number is added if an earlier feed has the same name.
    fn name_of(&self, url: &FeedUrl) -> String {
        let shown = url.to_string();
        let others = self.fetched.iter().map(|fetched| &fetched.url);
        let alike: BTreeSet<&FeedUrl> = others
            .take_while(|other| *other != url)
            .filter(|other| other.to_string() == shown)
            .collect();
        match alike.len() {
            0 => shown,
            before => format!("{shown} ({})", before + 1),
        }
    }

    /// The text of the feed whose name in messages is `path`; `None` if there
    /// is none.
    pub(super) fn text(&self, path: &Path) -> Option<&SourceFile> {
        let mut all = self
            .fetched
            .iter()
            .filter_map(|fetched| fetched.content.as_ref());
        all.find(|(source, ..)| source.path().as_os_str() == path.as_os_str())
            .map(|(source, ..)| source)
    }

    /// Returns the feeds, sorted by URL, and their texts. Reports policies with
    /// contradicting options.
    pub(super) fn finish(
        self,
        policies: &[Policy],
        out: &mut Diagnostics,
    ) -> (Vec<Feed>, Vec<SourceFile>) {
        let urls: BTreeSet<&FeedUrl> = self.uses.iter().map(|used| &used.url).collect();
        let mut feeds = Vec::new();
        for url in urls {
            let uses: Vec<&Use> = self.uses.iter().filter(|used| used.url == *url).collect();
            let sha256 = agreed(&uses, "sha256", |used| used.sha256.as_ref(), out);
            let max_change = agreed(&uses, "max_change", |used| used.max_change.as_ref(), out);
            let enabled = |name: &&PolicyName| {
                policies
                    .iter()
                    .any(|policy| policy.name() == *name && policy.enabled())
            };
            let names = uses.iter().filter_map(|used| used.policy.as_ref());
            let policies: BTreeSet<PolicyName> = names.filter(enabled).cloned().collect();
            feeds.push(Feed {
                policies,
                refresh: uses
                    .iter()
                    .map(|used| used.refresh)
                    .min()
                    .unwrap_or(DEFAULT_REFRESH),
                sha256,
                max_change: max_change.unwrap_or(Share::DEFAULT_CHANGE),
                reserved: uses
                    .iter()
                    .map(|used| used.reserved)
                    .max()
                    .unwrap_or_default(),
                readings: uses.iter().map(|used| used.reading.clone()).collect(),
                in_force: self.in_force(url),
                url: url.clone(),
            });
        }
        let contents = self
            .fetched
            .into_iter()
            .filter_map(|fetched| fetched.content);
        (feeds, contents.map(|(source, ..)| source).collect())
    }

    fn in_force(&self, url: &FeedUrl) -> Option<InForce> {
        let fetched = self.fetched.iter().filter(|fetched| fetched.url == *url);
        let contents = fetched.filter_map(|fetched| fetched.content.as_ref());
        let all = contents.map(|(_, _, in_force)| in_force.clone());
        // If there are several readings, the one with the most destinations
        // counts.
        all.max_by_key(|in_force| in_force.destinations)
    }
}

/// The value of an option on which all policies that set it agree. Two
/// different values are an error.
fn agreed<T: Copy + PartialEq>(
    uses: &[&Use],
    key: &str,
    of: impl Fn(&Use) -> Option<&(T, SourcePlace)>,
    out: &mut Diagnostics,
) -> Option<T> {
    let mut named = uses.iter().filter_map(|used| of(used));
    let (first, first_place) = named.next()?;
    for (_, place) in named.filter(|(value, _)| value != first) {
        let message = format!("another policy names the same URL with another `{key}`");
        let help = format!(
            "a URL is fetched once for all policies: write the same `{key}`, or leave it out in one of them"
        );
        out.push(
            Diagnostic::error(place.clone(), message, help)
                .with_related(first_place.clone(), "the other one is here"),
        );
    }
    Some(*first)
}
