//! Reads all data files and feeds, and answers from them.

mod retry;

use std::{
    io,
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, civil::Date, tz::Offset};

use self::retry::Retry;
use super::{AsOf, DataFile, DatedBy, FailedSource, Listed, Listing, Statements};
use crate::{
    address::Derivation,
    feeds::{Good, Store},
    lists::FeedUrl,
    regular_file::{Purpose, RegularFile},
};

/// The places of data about ranges, in the order in which their statements are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataSources {
    /// Delegated files, MMDB databases and tables.
    pub files: Vec<PathBuf>,
    /// URLs of such files, which the daemon fetches.
    pub feeds: Vec<FeedUrl>,
}

impl DataSources {
    /// Returns true if there is no file and no feed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.feeds.is_empty()
    }

    /// Returns a warning for each feed that can be changed on the way.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let exposed = self.feeds.iter().filter(|feed| feed.is_exposed());
        let warning = |feed| format!("data about ranges: {feed}: {EXPOSED}; write `https://`");
        exposed.map(warning).collect()
    }

    /// Every source, each once.
    fn origins(&self) -> Vec<Origin> {
        let files = self.files.iter().cloned().map(Origin::File);
        let feeds = self.feeds.iter().cloned().map(Origin::Feed);
        let mut origins = Vec::new();
        for origin in files.chain(feeds) {
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        origins
    }
}

/// The risk of a feed over http.
pub(super) const EXPOSED: &str =
    "this feed is fetched without encryption: others on the network path can change it";

/// All data about ranges that is in use.
#[derive(Debug, Default)]
pub struct Data {
    sources: Vec<Loaded>,
}

/// Content of a feed in the store, with its metadata.
pub type StoredFeed = Option<(Good, Vec<u8>)>;

/// One file or feed.
#[derive(Clone, Debug)]
struct Loaded {
    origin: Origin,
    /// Identifies the content that was read last, to notice a change. `None` if it could not
    /// be read to its end.
    stamp: Option<Stamp>,
    /// The last content that can be used.
    file: Option<Arc<DataFile>>,
    /// Why the content there now cannot be used.
    error: Option<String>,
    /// The content that could not be read to its end, and when it is read again.
    retry: Option<Retry>,
}

/// The origin of data.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    File(PathBuf),
    Feed(FeedUrl),
}

impl Origin {
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Feed(url) => url.to_string(),
        }
    }
}

/// Identifies a content.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stamp {
    /// Device, inode, size in bytes, and time of the last change in nanoseconds.
    File(u64, u64, u64, i128),
    /// SHA-256 of a feed.
    Feed(String),
}

impl Data {
    /// Reads all files and feeds. `feed` returns the content of a feed from the store. The
    /// tables are temporary files in `directory`, and vanish with this value. A content
    /// that has not changed since `before` is not read again. A content that cannot be used
    /// does not replace an earlier one.
    #[must_use]
    pub fn load(
        places: &DataSources,
        feed: &dyn Fn(&FeedUrl) -> io::Result<StoredFeed>,
        directory: &Path,
        before: Option<&Self>,
    ) -> Self {
        let sources = places.origins().into_iter().map(|origin| {
            let before = before.and_then(|before| before.loaded(&origin));
            let opened = match &origin {
                Origin::File(path) => open_file(path),
                Origin::Feed(url) => open_feed(url, feed),
            };
            Loaded::new(origin, opened, directory, before)
        });
        Self {
            sources: sources.collect(),
        }
    }

    fn loaded(&self, origin: &Origin) -> Option<&Loaded> {
        self.sources.iter().find(|loaded| loaded.origin == *origin)
    }

    /// Reads all files, and all feeds from the store in `state_dir`, as [`Self::load`] does.
    #[must_use]
    pub fn read(
        places: &DataSources,
        state_dir: &Path,
        directory: &Path,
        before: Option<&Self>,
    ) -> Self {
        let store = Store::new(state_dir);
        let feed = |url: &FeedUrl| {
            let before = before.and_then(|before| before.loaded(&Origin::Feed(url.clone())));
            let is_known = |good: &Good| {
                let stamp = Stamp::Feed(good.sha256.clone());
                before.is_some_and(|before| before.without_reading(&stamp).is_some())
            };
            let good = store.entry(url).map_err(io::Error::other)?.good;
            match good {
                // Nothing is read from a content that has not changed.
                Some(good) if is_known(&good) => Ok(Some((good, Vec::new()))),
                _ => store.good(url).map_err(io::Error::other),
            }
        };
        Self::load(places, &feed, directory, before)
    }

    /// Returns data that has not been read yet: every source says so.
    #[must_use]
    pub fn unread(places: &DataSources) -> Self {
        let sources = places.origins().into_iter().map(|origin| Loaded {
            origin,
            stamp: None,
            file: None,
            error: Some("it has not been read yet; ask again later".to_owned()),
            retry: None,
        });
        Self {
            sources: sources.collect(),
        }
    }

    /// Returns the number of rows of a feed, if it can be used.
    #[must_use]
    pub fn rows_of(&self, url: &FeedUrl) -> Option<u64> {
        let loaded = self.loaded(&Origin::Feed(url.clone()))?;
        let contents = loaded.file.as_ref()?.contents();
        Some(contents.ipv4_rows + contents.ipv6_rows)
    }

    /// Returns the sources that cannot be used.
    #[must_use]
    pub fn failed(&self) -> Vec<FailedSource> {
        let failed = self.sources.iter().filter_map(|loaded| {
            let error = loaded.problem()?;
            let name = loaded.origin.name();
            Some(FailedSource { name, error })
        });
        failed.collect()
    }

    /// Returns what the data states about `address`. For an IPv6 address that carries an
    /// IPv4 address, returns what it states about the IPv4 address. `derivation` tells
    /// which addresses do.
    #[must_use]
    pub fn about(&self, address: IpAddr, derivation: &Derivation) -> Statements {
        let address = carried(address, derivation);
        let mut statements = Statements::default();
        for loaded in &self.sources {
            let file = loaded.file.as_ref();
            let stated = file.map_or(Ok(()), |file| file.state(address, &mut statements));
            let failed = stated.err().map(|error| error.to_string());
            if let Some(error) = failed.or_else(|| loaded.problem()) {
                let name = loaded.origin.name();
                statements.failed.push(FailedSource { name, error });
            }
        }
        statements
    }

    /// Returns every source with its contents and age.
    #[must_use]
    pub fn listing(&self, today: Date) -> Listing {
        let listed = self.sources.iter().map(|loaded| {
            let is_feed = matches!(loaded.origin, Origin::Feed(_));
            let file = loaded.file.as_deref();
            Listed::new(loaded.origin.name(), is_feed, file, loaded.problem(), today)
        });
        Listing {
            sources: listed.collect(),
        }
    }
}

/// Returns the IPv4 address that an IPv6 address carries, or else `address`. `derivation`
/// tells which addresses do.
#[must_use]
pub fn carried(address: IpAddr, derivation: &Derivation) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ipv6) => {
            let mut embeddings = derivation.embeddings().iter();
            let carried = embeddings.find_map(|by| by.extract(ipv6));
            carried.map_or(address, IpAddr::V4)
        }
    }
}

/// An opened content that has not been read.
struct Opened {
    stamp: Stamp,
    content: Box<dyn io::Read>,
    /// Path, or URL without its query.
    name: String,
    /// The date if the content states none.
    as_of: Option<AsOf>,
}

fn open_file(path: &Path) -> io::Result<Opened> {
    let file = RegularFile::open(path, Purpose::Data)?;
    // The path may lead to another file by now.
    let metadata = file.metadata()?;
    let changed = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Ok(Opened {
        stamp: Stamp::File(metadata.dev(), metadata.ino(), metadata.len(), changed),
        content: Box::new(file),
        name: path.to_string_lossy().into_owned(),
        as_of: as_of(metadata.mtime(), DatedBy::Modified),
    })
}

fn open_feed(
    url: &FeedUrl,
    feed: &dyn Fn(&FeedUrl) -> io::Result<StoredFeed>,
) -> io::Result<Opened> {
    let not_yet = || io::Error::other("the daemon has not fetched it yet");
    let (good, content) = feed(url)?.ok_or_else(not_yet)?;
    let fetched = i64::try_from(good.fetched_at).unwrap_or_default();
    Ok(Opened {
        stamp: Stamp::Feed(good.sha256),
        content: Box::new(io::Cursor::new(content)),
        name: url.to_string(),
        as_of: as_of(fetched, DatedBy::Fetched),
    })
}

impl Loaded {
    /// Reads an opened content, unless `before` is of the same content.
    fn new(
        origin: Origin,
        opened: io::Result<Opened>,
        directory: &Path,
        before: Option<&Self>,
    ) -> Self {
        let earlier = || before.and_then(|before| before.file.clone());
        let Opened {
            stamp,
            content,
            name,
            as_of,
        } = match opened {
            Ok(opened) => opened,
            Err(error) => {
                return Self {
                    origin,
                    stamp: None,
                    file: earlier(),
                    error: Some(error.to_string()),
                    retry: None,
                };
            }
        };
        if let Some(same) = before.and_then(|before| before.without_reading(&stamp)) {
            return same;
        }
        match DataFile::read(content, &name, as_of, directory) {
            Ok(file) => Self {
                origin,
                stamp: Some(stamp),
                file: Some(Arc::new(file)),
                error: None,
                retry: None,
            },
            Err(error) => {
                let retry = before.and_then(|before| before.retry.as_ref());
                let retry = (!error.is_final()).then(|| Retry::after(retry, stamp.clone()));
                Self {
                    origin,
                    stamp: error.is_final().then_some(stamp),
                    file: earlier(),
                    error: Some(format!("{error}; {}", error.help())),
                    retry,
                }
            }
        }
    }

    /// Returns the state after a look at the content with this stamp, if it need not be read:
    /// it has not changed, or the next attempt to read it is later.
    fn without_reading(&self, stamp: &Stamp) -> Option<Self> {
        if self.stamp.as_ref() == Some(stamp) {
            return Some(self.clone());
        }
        let retry = self.retry.as_ref()?;
        let skip = retry.skip.checked_sub(1)?;
        let retry = Retry {
            skip,
            ..retry.clone()
        };
        let retry = Some(retry).filter(|retry| retry.stamp == *stamp)?;
        Some(Self {
            retry: Some(retry),
            ..self.clone()
        })
    }

    /// Why the content there now cannot be used, and whether an earlier one is used.
    fn problem(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        Some(match self.file {
            Some(_) => format!("{error}; the content that was read before is used"),
            None => error.clone(),
        })
    }
}

/// The date (UTC) of a time in seconds since 1970-01-01T00:00:00Z.
fn as_of(seconds: i64, dated_by: DatedBy) -> Option<AsOf> {
    let at = Timestamp::from_second(seconds).ok()?;
    let date = Offset::UTC.to_datetime(at).date();
    Some(AsOf { date, dated_by })
}

#[cfg(test)]
mod tests;
