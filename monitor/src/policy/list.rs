//! The lists of a load. Reads each file once and reports its errors once.

mod content;
mod report;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use self::{
    content::{Content, ListRequest, Reading, Text},
    report::report,
};
use super::{
    PolicyName,
    diagnostic::{Diagnostic, Diagnostics, SourceFile, SourcePlace},
    feed::Feed,
    feed_uses::Feeds,
    files::Files,
    model::Policy,
    place::Texts,
    source::{SourceFeed, SourceList},
};
use crate::{
    lists::{
        Kind, List, Locations, OwnNetwork, Selection, is_database, list_text, locations_beside,
        needs_locations, unpack,
    },
    regular_file::{FileProblem, Purpose},
};

/// A list as a policy uses it, and how much of it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSummary {
    /// Path of the file, as it was opened.
    pub file: Arc<Path>,
    /// The format, from the policy or recognised from the content.
    pub kind: Kind,
    /// The path of a JSON document, with the name of a known document.
    pub how: Option<String>,
    /// Number of intervals that were selected.
    pub destinations: usize,
    /// Number of lines that were not selected: a score that is too low, another
    /// country.
    pub left_out: usize,
    /// Number of entries with options that the filter ignores, such as a timeout.
    pub with_options: usize,
    /// Number of invalid lines that were skipped because the policy allows it.
    pub skipped: usize,
}

/// All lists of a load.
pub(super) struct Lists<'a> {
    files: &'a dyn Files,
    /// The content by path; `None` if the file cannot be read.
    contents: BTreeMap<PathBuf, Option<Content>>,
    /// The list by reading; `None` if it cannot be used.
    read: BTreeMap<Reading, Option<List>>,
    feeds: Feeds<'a>,
}

impl<'a> Lists<'a> {
    pub(super) fn new(files: &'a dyn Files, own: &[OwnNetwork]) -> Self {
        Self {
            files,
            contents: BTreeMap::new(),
            read: BTreeMap::new(),
            feeds: Feeds::new(files, own),
        }
    }

    /// Every path that was opened or tried, sorted.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.contents.keys()
    }

    /// A summary of each list that was read, sorted by path.
    pub(super) fn summaries(&self) -> Vec<ListSummary> {
        let each = self.read.iter().filter_map(|(reading, list)| {
            let list = list.as_ref()?;
            Some(ListSummary {
                file: reading.path.as_path().into(),
                kind: list.kind,
                how: list.how.clone(),
                destinations: list.ipv4.len() + list.ipv6.len(),
                left_out: list.left_out,
                with_options: list.with_options,
                skipped: if reading.skip_bad_lines {
                    list.bad.count()
                } else {
                    0
                },
            })
        });
        each.collect()
    }

    /// The text of a list or feed that was read; `None` if it is a database.
    pub(super) fn text(&self, path: &Path) -> Option<&SourceFile> {
        let file = match self.contents.get(path) {
            Some(Some(Content::Text(text))) => Some(&text.source),
            Some(Some(Content::Database(_)) | None) | None => None,
        };
        file.or_else(|| self.feeds.text(path))
    }

    /// Moves the texts of all lists into `texts`, and returns the feeds.
    pub(super) fn into_texts(
        self,
        texts: &mut Texts,
        policies: &[Policy],
        out: &mut Diagnostics,
    ) -> Vec<Feed> {
        for content in self.contents.into_values().flatten() {
            match content {
                Content::Text(text) => texts.add(text.source),
                Content::Database(_) => {}
            }
        }
        let (feeds, fetched) = self.feeds.finish(policies, out);
        for text in fetched {
            texts.add(text);
        }
        feeds
    }

    /// The stored content of the feed that `typed` names; see [`Feeds::load`].
    pub(super) fn load_feed(
        &mut self,
        feed: (&SourceList, &SourceFeed),
        policy: Option<&PolicyName>,
        file: &SourceFile,
        out: &mut Diagnostics,
    ) -> Option<(&SourceFile, &List)> {
        self.feeds.load(feed, policy, file, out)
    }

    /// Reads the list that `typed` in `file` names, and returns its path and
    /// content. Returns `None` if it cannot be used; `out` then has the errors.
    pub(super) fn load(
        &mut self,
        typed: &SourceList,
        file: &SourceFile,
        out: &mut Diagnostics,
    ) -> Option<(Arc<Path>, &List)> {
        let directory = file.path().parent().unwrap_or(Path::new(""));
        let path = directory.join(&typed.path.value);
        let named_at = file.place(typed.path.span.clone());
        if !self.contents.contains_key(&path) {
            let content = self.read_content(&path, typed.is_table, &named_at, out);
            self.contents.insert(path.clone(), content);
        }
        let locations = self.locations(&path, typed, &named_at, out).ok()?;
        let content = self.contents.get_mut(&path)?.as_mut()?;
        let readable = content.readable(typed, &named_at, out)?;
        let asked = ListRequest {
            typed,
            file,
            named_at,
        };
        if !asked.fits(readable.kind(), out) {
            return None;
        }
        let shared: Arc<Path> = path.as_path().into();
        let reading = Reading {
            path,
            kind: readable.kind(),
            selection: Selection {
                locations,
                ..typed.selection()
            },
            skip_bad_lines: typed.skip_bad_lines,
        };
        let list = self.read.entry(reading).or_insert_with_key(|reading| {
            let list = readable.read(reading, &asked, out)?;
            report(&list, &readable, reading, &asked, out);
            Some(list)
        });
        Some((shared, list.as_ref()?))
    }

    /// Reads the countries beside a table that names them by number. Fails if
    /// they are needed and cannot be read; `out` then has the error.
    fn locations(
        &mut self,
        path: &Path,
        typed: &SourceList,
        named_at: &SourcePlace,
        out: &mut Diagnostics,
    ) -> Result<Option<Locations>, ()> {
        let needs = |content: &Content| match content {
            Content::Text(text) => needs_locations(text.source.text()),
            Content::Database(_) => false,
        };
        let is_by_country = typed.selection().country().is_some();
        let content = self.contents.get(path).and_then(Option::as_ref);
        if !is_by_country || !content.is_some_and(needs) {
            return Ok(None);
        }
        let beside = locations_beside(path);
        let there = |beside: &&PathBuf| self.files.read(beside, Purpose::List).is_ok();
        let Some(found) = beside.iter().find(there).or(beside.first()) else {
            let message = "this table names countries by number (`geoname_id`)";
            let help = "keep its published name, with `Blocks-IPv4` or `Blocks-IPv6`, and put the file with `Locations-en` in its name beside it";
            out.push(Diagnostic::error(named_at.clone(), message, help));
            return Err(());
        };
        if !self.contents.contains_key(found) {
            let content = self.read_content(found, true, named_at, out);
            self.contents.insert(found.clone(), content);
        }
        let locations = match self.contents.get(found) {
            Some(Some(Content::Text(text))) => Locations::read(text.source.text()),
            Some(Some(Content::Database(_))) => None,
            Some(None) | None => return Err(()),
        };
        if locations.is_none() {
            let shown = crate::printable::path(found);
            let message = format!("{shown} has no columns `geoname_id` and `country_iso_code`");
            let help = "fetch this file together with the table";
            out.push(Diagnostic::error(named_at.clone(), message, help));
        }
        locations.map(Some).ok_or(())
    }

    fn read_content(
        &self,
        path: &Path,
        is_table: bool,
        named_at: &SourcePlace,
        out: &mut Diagnostics,
    ) -> Option<Content> {
        let shown = crate::printable::path(path);
        let bytes = match self.files.read(path, Purpose::List) {
            Ok(bytes) => unpack(bytes).map_err(|error| {
                let message = format!("the list {shown}: {error}");
                (message, "fetch the list again, or unpack it by hand")
            }),
            Err(error) => {
                let (why, fix) = match FileProblem::of(&error) {
                    Some(problem) => (problem.why(), problem.fix()),
                    None => (
                        error.to_string(),
                        "a list's path is relative to the policy file that names it; correct the path or the file",
                    ),
                };
                Err((format!("read the list {shown}: {why}"), fix))
            }
        };
        let content = bytes.and_then(|bytes| {
            if is_database(&bytes) {
                return Ok(Content::Database(bytes));
            }
            let text = list_text(bytes).map_err(|error| {
                let message = format!("the list {shown} is {error}");
                let help = if is_table {
                    "name a text table or a complete MMDB database: a truncated one lacks the end marker by which it is recognised"
                } else {
                    "name a text file with one CIDR, address or range per line"
                };
                (message, help)
            })?;
            Ok(Content::Text(Text {
                source: SourceFile::new(path, text),
                recognised: None,
            }))
        });
        match content {
            Ok(content) => Some(content),
            Err((message, help)) => {
                out.push(Diagnostic::error(named_at.clone(), message, help));
                None
            }
        }
    }
}

/// Decodes UTF-8 and removes the byte order mark. The error is the offset of
/// the first invalid byte.
pub(super) fn utf8(bytes: Vec<u8>) -> Result<String, usize> {
    const MARK: &str = "\u{feff}";
    let mut text = String::from_utf8(bytes).map_err(|error| error.utf8_error().valid_up_to())?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len());
    }
    Ok(text)
}
