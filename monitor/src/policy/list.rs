//! The lists of a load. Reads each file once and reports its errors once.

mod content;
mod known;
mod pieces;
mod report;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use self::{
    content::{ListFile, ListRequest, Readable, Reading},
    known::KnownAs,
    pieces::KnownPieces,
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
    lists::{Kind, Locations, OwnNetwork, Selection, locations_beside, needs_locations},
    regular_file::{FileProblem, Purpose},
};

pub use known::KnownLists;
pub(super) use known::ReadList;

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
    /// What an earlier load read.
    earlier: &'a KnownLists,
    /// The content by path; `None` if the file cannot be read.
    contents: BTreeMap<PathBuf, Option<ListFile>>,
    /// The list by reading; `None` if it cannot be used.
    read: BTreeMap<Reading, Option<Arc<ReadList>>>,
    /// What the next load may take over.
    known: KnownLists,
    feeds: Feeds<'a>,
}

impl<'a> Lists<'a> {
    pub(super) fn new(files: &'a dyn Files, own: &[OwnNetwork], earlier: &'a KnownLists) -> Self {
        Self {
            files,
            earlier,
            known: KnownLists::default(),
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
                destinations: list.destinations,
                left_out: list.left_out,
                with_options: list.with_options,
                skipped: if reading.skip_bad_lines { list.bad } else { 0 },
            })
        });
        each.collect()
    }

    /// The text of a list or feed that was read; `None` if it is a database.
    pub(super) fn text(&self, path: &Path) -> Option<&SourceFile> {
        let file = self.contents.get(path).and_then(Option::as_ref);
        file.and_then(ListFile::text)
            .or_else(|| self.feeds.text(path))
    }

    /// Moves the texts of all lists into `texts`, and returns the feeds.
    pub(super) fn into_texts(
        self,
        texts: &mut Texts,
        policies: &[Policy],
        out: &mut Diagnostics,
    ) -> Vec<Feed> {
        for (path, file) in self.contents {
            if let Some(file) = file {
                texts.add_later(path.into(), move || file.into_text());
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
    ) -> Option<(&SourceFile, &ReadList)> {
        self.feeds.load(feed, policy, file, out)
    }

    /// Reads the list that `typed` in `file` names, and returns its path and
    /// content. Returns `None` if it cannot be used; `out` then has the errors.
    pub(super) fn load(
        &mut self,
        typed: &SourceList,
        file: &SourceFile,
        out: &mut Diagnostics,
    ) -> Option<(Arc<Path>, &ReadList)> {
        let directory = file.path().parent().unwrap_or(Path::new(""));
        let path = directory.join(&typed.path.value);
        let named_at = file.place(typed.path.span.clone());
        if !self.contents.contains_key(&path) {
            let content = self.read_file(&path, typed.is_table, &named_at, out);
            self.contents.insert(path.clone(), content);
        }
        let locations = self.locations(&path, typed, &named_at, out).ok()?;
        let content = self.contents.get(&path)?.as_ref()?;
        let known_as = KnownAs::new(content.hash, typed);
        let known = known_as.as_ref().and_then(|one| self.earlier.get(one));
        let found = match known {
            Some(list) => Found::Known(Arc::clone(list)),
            None => Found::New(content.content()?.readable(typed, &named_at, out)?),
        };
        let asked = ListRequest {
            typed,
            file,
            named_at,
        };
        if !asked.fits(found.kind(), out) {
            return None;
        }
        let shared: Arc<Path> = path.as_path().into();
        let reading = Reading {
            path,
            kind: found.kind(),
            selection: Selection {
                locations,
                ..typed.selection()
            },
            skip_bad_lines: typed.skip_bad_lines,
        };
        let list = self.read.entry(reading).or_insert_with_key(|reading| {
            let pieces = match &known_as {
                Some(known_as) => self.earlier.pieces(known_as, reading.kind),
                None => KnownPieces::default(),
            };
            let (list, told) = found.list(reading, &pieces, &asked, out)?;
            if let Some(known_as) = known_as.filter(|_| !told) {
                self.known.insert(known_as, Arc::clone(&list));
            }
            Some(list)
        });
        Some((shared, list.as_deref()?))
    }

    /// Takes what the next load may take over.
    pub(super) fn take_known(&mut self) -> KnownLists {
        std::mem::take(&mut self.known)
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
        let needs = |file: &ListFile| file.text().is_some_and(|text| needs_locations(text.text()));
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
            let content = self.read_file(found, true, named_at, out);
            self.contents.insert(found.clone(), content);
        }
        let Some(Some(file)) = self.contents.get(found) else {
            return Err(());
        };
        let locations = file.text().and_then(|text| Locations::read(text.text()));
        if locations.is_none() {
            let shown = crate::printable::path(found);
            let message = format!("{shown} has no columns `geoname_id` and `country_iso_code`");
            let help = "fetch this file together with the table";
            out.push(Diagnostic::error(named_at.clone(), message, help));
        }
        locations.map(Some).ok_or(())
    }

    fn read_file(
        &self,
        path: &Path,
        is_table: bool,
        named_at: &SourcePlace,
        out: &mut Diagnostics,
    ) -> Option<ListFile> {
        let file = match ListFile::read(path, is_table, self.files) {
            Ok(file) => {
                if self.earlier.has(file.hash) {
                    Ok(file)
                } else {
                    file.decode().map(|()| file)
                }
            }
            Err(error) => {
                let shown = crate::printable::path(path);
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
        file.map_err(|(message, help)| out.push(Diagnostic::error(named_at.clone(), message, help)))
            .ok()
    }
}

/// A list that a policy names.
enum Found<'a> {
    /// An earlier load read it.
    Known(Arc<ReadList>),
    New(Readable<'a>),
}

impl Found<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Known(list) => list.kind,
            Self::New(readable) => readable.kind(),
        }
    }

    /// The list, and whether errors or warnings about it were added to `out`. `None` if it
    /// cannot be used.
    fn list(
        self,
        reading: &Reading,
        pieces: &KnownPieces<'_>,
        asked: &ListRequest<'_>,
        out: &mut Diagnostics,
    ) -> Option<(Arc<ReadList>, bool)> {
        match self {
            Self::Known(list) => Some((list, false)),
            Self::New(readable) => {
                let (list, rest) = readable.read(reading, pieces, asked, out)?;
                let before = out.total();
                report((&list, &rest), &readable, reading, asked, out);
                let told = list.bad > 0 || out.total() > before;
                Some((Arc::new(list), told))
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
