//! Reads all data files and feeds, and answers from them.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, civil::Date, tz::Offset};

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

/// All data about ranges that is in use.
#[derive(Debug, Default)]
pub struct Data {
    sources: Vec<Loaded>,
}

/// Content of a feed in the store, with its metadata.
pub type StoredFeed = Option<(Good, Vec<u8>)>;

/// One file or feed.
#[derive(Debug)]
struct Loaded {
    origin: Origin,
    /// Identifies the content, to notice a change.
    stamp: Option<Stamp>,
    file: Result<Arc<DataFile>, String>,
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
    /// that has not changed since `before` is not read again.
    #[must_use]
    pub fn load(
        places: &DataSources,
        feed: &dyn Fn(&FeedUrl) -> io::Result<StoredFeed>,
        directory: &Path,
        before: Option<&Self>,
    ) -> Self {
        let known = |origin: &Origin, stamp: &Stamp| {
            let mut sources = before.into_iter().flat_map(|before| &before.sources);
            let same = sources
                .find(|known| known.origin == *origin && known.stamp.as_ref() == Some(stamp));
            same.and_then(|known| known.file.as_ref().ok().cloned())
        };
        let sources = places.origins().into_iter().map(|origin| {
            let mut stamp = None;
            let file = match &origin {
                Origin::File(path) => read_file(path, directory, |new| {
                    stamp = Some(new.clone());
                    known(&origin, new)
                }),
                Origin::Feed(url) => read_feed(url, feed, directory, |new| {
                    stamp = Some(new.clone());
                    known(&origin, new)
                }),
            };
            Loaded {
                origin,
                stamp,
                file,
            }
        });
        Self {
            sources: sources.collect(),
        }
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
        let feed = |url: &FeedUrl| store.good(url).map_err(io::Error::other);
        Self::load(places, &feed, directory, before)
    }

    /// Returns data that has not been read yet: every source says so.
    #[must_use]
    pub fn unread(places: &DataSources) -> Self {
        let sources = places.origins().into_iter().map(|origin| Loaded {
            origin,
            stamp: None,
            file: Err("it has not been read yet; ask again later".to_owned()),
        });
        Self {
            sources: sources.collect(),
        }
    }

    /// Returns the number of rows of a feed, if it can be used.
    #[must_use]
    pub fn rows_of(&self, url: &FeedUrl) -> Option<u64> {
        let is_it =
            |loaded: &&Loaded| matches!(&loaded.origin, Origin::Feed(known) if known == url);
        let file = self.sources.iter().find(is_it)?.file.as_ref().ok()?;
        let contents = file.contents();
        Some(contents.ipv4_rows + contents.ipv6_rows)
    }

    /// Returns the sources that cannot be used.
    #[must_use]
    pub fn failed(&self) -> Vec<FailedSource> {
        let failed = self.sources.iter().filter_map(|loaded| {
            let error = loaded.file.as_ref().err()?.clone();
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
        let address = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(ipv6) => {
                let mut embeddings = derivation.embeddings().iter();
                let carried = embeddings.find_map(|by| by.extract(ipv6));
                carried.map_or(address, IpAddr::V4)
            }
        };
        let mut statements = Statements::default();
        for Loaded { origin, file, .. } in &self.sources {
            let stated = match file {
                Ok(file) => file
                    .state(address, &mut statements)
                    .map_err(|error| error.to_string()),
                Err(error) => Err(error.clone()),
            };
            if let Err(error) = stated {
                let name = origin.name();
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
            let file = loaded.file.as_ref().map(Arc::as_ref);
            Listed::new(loaded.origin.name(), is_feed, file, today)
        });
        Listing {
            sources: listed.collect(),
        }
    }
}

/// Reads a file, unless `known` has its content.
fn read_file(
    path: &Path,
    directory: &Path,
    known: impl FnOnce(&Stamp) -> Option<Arc<DataFile>>,
) -> Result<Arc<DataFile>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    let changed = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    let stamp = Stamp::File(metadata.dev(), metadata.ino(), metadata.len(), changed);
    if let Some(known) = known(&stamp) {
        return Ok(known);
    }
    let content = RegularFile::open(path, Purpose::List).map_err(|error| error.to_string())?;
    let name = path.to_string_lossy();
    let as_of = as_of(metadata.mtime(), DatedBy::Modified);
    read(content, &name, as_of, directory)
}

/// Reads a feed from the store, unless `known` has its content.
fn read_feed(
    url: &FeedUrl,
    feed: &dyn Fn(&FeedUrl) -> io::Result<StoredFeed>,
    directory: &Path,
    known: impl FnOnce(&Stamp) -> Option<Arc<DataFile>>,
) -> Result<Arc<DataFile>, String> {
    let stored = feed(url).map_err(|error| error.to_string())?;
    let (good, content) = stored.ok_or("the daemon has not fetched it yet")?;
    if let Some(known) = known(&Stamp::Feed(good.sha256)) {
        return Ok(known);
    }
    let fetched = i64::try_from(good.fetched_at).unwrap_or_default();
    let as_of = as_of(fetched, DatedBy::Fetched);
    read(content.as_slice(), &url.to_string(), as_of, directory)
}

fn read(
    content: impl io::Read,
    name: &str,
    as_of: Option<AsOf>,
    directory: &Path,
) -> Result<Arc<DataFile>, String> {
    let file = DataFile::read(content, name, as_of, directory);
    file.map(Arc::new)
        .map_err(|error| format!("{error}; {}", error.help()))
}

/// The date (UTC) of a time in seconds since 1970-01-01T00:00:00Z.
fn as_of(seconds: i64, dated_by: DatedBy) -> Option<AsOf> {
    let at = Timestamp::from_second(seconds).ok()?;
    let date = Offset::UTC.to_datetime(at).date();
    Some(AsOf { date, dated_by })
}
