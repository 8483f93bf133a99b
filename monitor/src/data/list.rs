//! The sources of data about ranges, for `monitor data`.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{AsOf, DataFile, SourceKind, load::EXPOSED};
use crate::{lists::FeedUrl, printable};

/// Every configured source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The files, then the feeds, in the order of the config.
    pub sources: Vec<Listed>,
}

/// One configured file or feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Path of the file, or URL of the feed without its query.
    pub name: String,
    /// True if the daemon fetches it.
    pub feed: bool,
    /// Its kind. `None` if it cannot be used.
    pub kind: Option<SourceKind>,
    /// Number of rows with IPv4 addresses.
    pub ipv4_rows: u64,
    /// Number of rows with IPv6 addresses.
    pub ipv6_rows: u64,
    /// Number of lines that cannot be read.
    pub bad_lines: u64,
    /// Number of rows whose range an earlier row has with other facts.
    pub contradictions: u64,
    /// Its date.
    #[serde(flatten)]
    pub as_of: Option<AsOf>,
    /// Days since that date. Negative if the date is in the future.
    pub age_days: Option<i32>,
    /// The reason why its content cannot be used. If there is a kind, an earlier content is
    /// used.
    pub error: Option<String>,
}

impl Listed {
    pub(super) fn new(
        name: String,
        feed: bool,
        file: Option<&DataFile>,
        error: Option<String>,
        today: Date,
    ) -> Self {
        let contents = file.map(|file| *file.contents()).unwrap_or_default();
        let as_of = file.and_then(|file| file.source().as_of);
        let age = as_of.and_then(|as_of| today.since(as_of.date).ok());
        Self {
            name,
            feed,
            kind: file.map(|file| file.source().kind),
            ipv4_rows: contents.ipv4_rows,
            ipv6_rows: contents.ipv6_rows,
            bad_lines: contents.bad_lines,
            contradictions: contents.contradictions,
            as_of,
            age_days: age.map(|age| age.get_days()),
            error,
        }
    }
}

/// Writes one line for each source.
impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sources.is_empty() {
            return writeln!(
                f,
                "no data about ranges: name files or feeds under `data:` in the config file"
            );
        }
        self.sources
            .iter()
            .try_for_each(|listed| writeln!(f, "{listed}"))
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let feed = if self.feed { "feed " } else { "" };
        write!(f, "{feed}{}: ", printable::value(&self.name))?;
        let error = self.error.as_deref().map(printable::value);
        if let Some(kind) = self.kind {
            self.write_contents(f, kind)?;
            if let Some(error) = error {
                write!(f, "; {error}")?;
            }
        } else {
            write!(f, "cannot be used: {}", error.unwrap_or_default())?;
        }
        let url = self.name.parse::<FeedUrl>().ok().filter(|_| self.feed);
        if url.is_some_and(|url| url.is_exposed()) {
            write!(f, "; {EXPOSED}")?;
        }
        Ok(())
    }
}

impl Listed {
    fn write_contents(&self, f: &mut fmt::Formatter<'_>, kind: SourceKind) -> fmt::Result {
        let kind = kind.words();
        let (ipv4, ipv6) = (self.ipv4_rows, self.ipv6_rows);
        write!(f, "{kind}, {ipv4} IPv4 and {ipv6} IPv6 rows, ")?;
        match (self.as_of, self.age_days) {
            (Some(as_of), Some(days)) => write!(f, "{as_of} ({})", age(days))?,
            (_, _) => f.write_str("date unknown")?,
        }
        if self.bad_lines > 0 {
            write!(f, "; lines that cannot be read: {}", self.bad_lines)?;
        }
        if self.contradictions > 0 {
            let count = self.contradictions;
            write!(f, "; rows that contradict an earlier row: {count}")?;
        }
        Ok(())
    }
}

fn age(days: i32) -> String {
    match days {
        ..0 => "in the future: check the clock".to_owned(),
        0 => "today".to_owned(),
        1 => "1 day old".to_owned(),
        _ => format!("{days} days old"),
    }
}
