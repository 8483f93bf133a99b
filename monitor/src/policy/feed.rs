//! Lists that are fetched: what the policies ask of them, and what of them is
//! in force.

use std::{collections::BTreeSet, fmt, path::Path, str::FromStr, time::Duration};

use super::{
    Policy, PolicyName,
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    files::Files,
    source::{SourceFeed, SourceList},
};
use crate::lists::{
    Cut, FeedReading, FeedUrl, List, OwnNetwork, Reserved, Sha256, feed_text, read_feed,
};

/// How often a list is fetched where its policy does not say.
pub(super) const DEFAULT_REFRESH: Duration = Duration::from_hours(24);
pub(super) const MIN_REFRESH: Duration = Duration::from_mins(1);
pub(super) const MAX_REFRESH: Duration = Duration::from_hours(30 * 24);

/// A part of a whole, in percent; more than a hundred for what may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Of a change that nobody was asked about.
    pub const DEFAULT_CHANGE: Self = Self(50);

    /// In percent.
    #[must_use]
    pub const fn percent(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}%", self.0))
    }
}

/// A text that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is written as a whole number from 0% to 1000%")]
pub struct InvalidShare;

impl FromStr for Share {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_suffix('%').ok_or(InvalidShare)?.trim_end();
        let percent = digits.parse().map_err(|_| InvalidShare)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        (plain && percent <= 1000)
            .then_some(Self(percent))
            .ok_or(InvalidShare)
    }
}

/// What becomes of an update with reserved ranges in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReservedRule {
    /// They are cut out.
    #[default]
    Strip,
    /// It is not taken.
    Refuse,
}

/// A list that policies ask to have fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Where from.
    pub url: FeedUrl,
    /// The enabled policies that use it, sorted; where there is none, it is not fetched.
    pub policies: BTreeSet<PolicyName>,
    /// How often; the smallest that a policy asks for.
    pub refresh: Duration,
    /// The only content that is taken.
    pub sha256: Option<Sha256>,
    /// How far an update may shrink or grow.
    pub max_change: Share,
    /// `Refuse` where one policy says so.
    pub reserved: ReservedRule,
    /// The ways in which the policies read it.
    pub readings: BTreeSet<FeedReading>,
    /// What of it is in force; `None` where nothing that can be used is stored.
    pub in_force: Option<InForce>,
}

/// What of a feed is in force: of the readings together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// Lines whose destinations are in force, all or in part.
    pub destinations: usize,
    /// What was taken out.
    pub cut: Cut,
}

/// The feeds of a load.
pub(super) struct Feeds<'a> {
    files: &'a dyn Files,
    reserved: Reserved,
    fetched: Vec<Fetched>,
    uses: Vec<Use>,
}

/// A feed, read in one way.
struct Fetched {
    url: FeedUrl,
    reading: FeedReading,
    /// `None`: `why_not` says why.
    content: Option<(SourceFile, List, InForce)>,
}

struct Use {
    policy: Option<PolicyName>,
    url: FeedUrl,
    refresh: Duration,
    sha256: Option<(Sha256, Place)>,
    max_change: Option<(Share, Place)>,
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

    /// What is in force of the feed that `policy` asks for; `None` where it is
    /// nothing yet, which a warning says.
    pub(super) fn load(
        &mut self,
        (typed, feed): (&SourceList, &SourceFeed),
        policy: Option<&PolicyName>,
        file: &SourceFile,
        out: &mut Diagnostics,
    ) -> Option<(&SourceFile, &List)> {
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

    /// Or message and help of a warning: what is wrong is no error, because the
    /// daemon mends it by fetching.
    fn read(
        &self,
        url: &FeedUrl,
        reading: &FeedReading,
        pinned: Option<Sha256>,
    ) -> Result<(SourceFile, List, InForce), (String, String)> {
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
                let message = format!("what was fetched of this list cannot be read: {error}");
                return Err((message, FETCHES.to_owned()));
            }
        };
        if pinned.is_some_and(|pinned| pinned != Sha256::of(&content)) {
            let message =
                "what was fetched of this list has another SHA-256 than `sha256`, and is not used";
            return Err((message.to_owned(), FETCHES.to_owned()));
        }
        let read = feed_text(content).and_then(|text| {
            let list = read_feed(&text, reading)?;
            Ok((text, list))
        });
        let (text, list) = read.map_err(|problem| {
            let message = format!(
                "what was fetched of this list cannot be used as it is asked for here: {problem}"
            );
            (
                message,
                format!("{}; until it can, it protects nothing", problem.help()),
            )
        })?;
        let (list, cut) = self.reserved.cut(list);
        let source = SourceFile::new(Path::new(&self.name_of(url)), text);
        let destinations = list.lines();
        Ok((source, list, InForce { destinations, cut }))
    }

    /// What messages call a feed: its URL without the query, which may hold a
    /// secret, and a number where another URL differs in the query alone.
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

    /// The text of a feed that was read.
    pub(super) fn text(&self, path: &Path) -> Option<&SourceFile> {
        let mut all = self
            .fetched
            .iter()
            .filter_map(|fetched| fetched.content.as_ref());
        all.find(|(source, ..)| source.path().as_os_str() == path.as_os_str())
            .map(|(source, ..)| source)
    }

    /// The feeds, sorted by URL, and their texts. Says where
    /// policies contradict one another.
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
        // Of several readings the one that takes most.
        all.max_by_key(|in_force| in_force.destinations)
    }
}

/// The value that all who name one name; two that differ are an error.
fn agreed<T: Copy + PartialEq>(
    uses: &[&Use],
    key: &str,
    of: impl Fn(&Use) -> Option<&(T, Place)>,
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
