//! The lists of a load: each file read once, what is wrong with it told once.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    PolicyName,
    diagnostic::{Capped, Diagnostic, Diagnostics, Place, SourceFile},
    feed::{Feed, Feeds},
    files::Files,
    model::Policy,
    place::Texts,
    source::{SourceFeed, SourceList},
};
use crate::lists::{
    Format, InvalidLine, List, OwnNetwork, Refused, Selection, read, recognise, unpack,
};

/// Lines shown of those that are skipped.
const SKIPPED_SHOWN: usize = 3;

/// A list as a policy asked for it, and how much of it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSummary {
    /// Path as it was read.
    pub file: Arc<Path>,
    /// Given or recognised.
    pub format: Format,
    /// Lines that name a destination that was asked for.
    pub destinations: usize,
    /// Lines that name others: too low a score, another country.
    pub left_out: usize,
    /// Lines that were not understood and skipped, as the policy says.
    pub skipped: usize,
}

/// Every list of a load.
pub(super) struct Lists<'a> {
    files: &'a dyn Files,
    /// `None` where it cannot be read.
    texts: BTreeMap<PathBuf, Option<Text>>,
    read: BTreeMap<Reading, List>,
    feeds: Feeds<'a>,
}

struct Text {
    source: SourceFile,
    /// Unset until it is asked for.
    recognised: Option<Result<Format, Refused>>,
}

/// One way to read one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reading {
    path: PathBuf,
    format: Format,
    selection: Selection,
    skip_bad_lines: bool,
}

impl<'a> Lists<'a> {
    pub(super) fn new(files: &'a dyn Files, own: &[OwnNetwork]) -> Self {
        Self {
            files,
            texts: BTreeMap::new(),
            read: BTreeMap::new(),
            feeds: Feeds::new(files, own),
        }
    }

    /// Every path that was tried, sorted.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.texts.keys()
    }

    /// What was read, sorted by path.
    pub(super) fn summaries(&self) -> Vec<ListSummary> {
        let each = self.read.iter().map(|(reading, list)| ListSummary {
            file: reading.path.as_path().into(),
            format: list.format,
            destinations: list.ipv4.len() + list.ipv6.len(),
            left_out: list.left_out,
            skipped: if reading.skip_bad_lines {
                list.bad.count()
            } else {
                0
            },
        });
        each.collect()
    }

    /// The text of a list that was read.
    pub(super) fn text(&self, path: &Path) -> Option<&SourceFile> {
        let file = self.texts.get(path).and_then(Option::as_ref);
        let file = file.map(|text| &text.source);
        file.or_else(|| self.feeds.text(path))
    }

    /// Moves the texts of all lists that were read.
    pub(super) fn into_texts(
        self,
        texts: &mut Texts,
        policies: &[Policy],
        out: &mut Diagnostics,
    ) -> Vec<Feed> {
        for text in self.texts.into_values().flatten() {
            texts.add(text.source);
        }
        let (feeds, fetched) = self.feeds.finish(policies, out);
        for text in fetched {
            texts.add(text);
        }
        feeds
    }

    /// The feed that `typed` asks for, as far as it is there.
    pub(super) fn load_feed(
        &mut self,
        feed: (&SourceList, &SourceFeed),
        policy: Option<&PolicyName>,
        file: &SourceFile,
        out: &mut Diagnostics,
    ) -> Option<(&SourceFile, &List)> {
        self.feeds.load(feed, policy, file, out)
    }

    /// The list that `typed` in `file` asks for; `None` where `out` says why not.
    pub(super) fn load(
        &mut self,
        typed: &SourceList,
        file: &SourceFile,
        out: &mut Diagnostics,
    ) -> Option<(&SourceFile, &List)> {
        let directory = file.path().parent().unwrap_or(Path::new(""));
        let path = directory.join(&typed.path.value);
        let named_at = file.place(typed.path.span.clone());
        if !self.texts.contains_key(&path) {
            let text = self.read_text(&path, &named_at, out);
            self.texts.insert(path.clone(), text);
        }
        let text = self.texts.get_mut(&path)?.as_mut()?;
        let given = typed.format.as_ref().map(|format| format.value);
        let format = given.or_else(|| text.recognise(&named_at, out))?;
        if !options_fit(typed, format, file, out) {
            return None;
        }
        let reading = Reading {
            path,
            format,
            selection: typed.selection(),
            skip_bad_lines: typed.skip_bad_lines,
        };
        let list = self.read.entry(reading).or_insert_with_key(|reading| {
            let list = read(text.source.text(), format, &reading.selection);
            report(&list, &text.source, reading, &named_at, out);
            list
        });
        Some((&text.source, list))
    }

    fn read_text(&self, path: &Path, named_at: &Place, out: &mut Diagnostics) -> Option<Text> {
        let shown = path.display();
        let bytes = match self.files.read(path) {
            Ok(bytes) => unpack(bytes).map_err(|error| {
                let message = format!("the list {shown}: {error}");
                (message, "fetch the list again, or unpack it by hand")
            }),
            Err(error) => Err((
                format!("read the list {shown}: {error}"),
                "a list's path is relative to the policy file that names it; mend the path or the file",
            )),
        };
        let text = bytes.and_then(|bytes| {
            utf8(bytes).map_err(|offset| {
                let message = format!("the list {shown} is not UTF-8 text (byte {offset})");
                (
                    message,
                    "name a text file with one CIDR, address or range per line",
                )
            })
        });
        match text {
            Ok(text) => Some(Text {
                source: SourceFile::new(path, text),
                recognised: None,
            }),
            Err((message, help)) => {
                out.push(Diagnostic::error(named_at.clone(), message, help));
                None
            }
        }
    }
}

/// UTF-8 text without its byte order mark, or the offset of the first byte that is none.
pub(super) fn utf8(bytes: Vec<u8>) -> Result<String, usize> {
    const MARK: &str = "\u{feff}";
    let mut text = String::from_utf8(bytes).map_err(|error| error.utf8_error().valid_up_to())?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len());
    }
    Ok(text)
}

impl Text {
    /// Its format; says only the first time why it cannot be told.
    fn recognise(&mut self, named_at: &Place, out: &mut Diagnostics) -> Option<Format> {
        if let Some(known) = self.recognised {
            return known.ok();
        }
        let found = *self.recognised.insert(recognise(self.source.text()));
        if let Err(Refused { line, why }) = found {
            let place = self.source.place_of_line(line, &[]);
            out.push(
                Diagnostic::error(place, why.to_string(), why.help())
                    .with_related(named_at.clone(), "the list is named here"),
            );
        }
        found.ok()
    }
}

/// Whether a list of `format` can be asked for what `typed` asks for.
fn options_fit(
    typed: &SourceList,
    format: Format,
    file: &SourceFile,
    out: &mut Diagnostics,
) -> bool {
    let mut fit = true;
    let mut refuse = |span: &std::ops::Range<usize>, message, help: String| {
        fit = false;
        out.push(Diagnostic::error(file.place(span.clone()), message, help));
    };
    if let Some(score) = &typed.min_score
        && !format.has_scores()
    {
        refuse(
            &score.span,
            format!("`min_score` belongs to a score list, and this list is `{format}`"),
            "remove `min_score`, or name a list with a destination and a score per line".to_owned(),
        );
    }
    if let Some(asn) = &typed.asn
        && !format.has_asns()
    {
        refuse(
            &asn.span,
            format!(
                "`asn` belongs to a table that names autonomous systems, and this is `{format}`"
            ),
            "name a CSV of first, last and number, or prefixes with a number each".to_owned(),
        );
    }
    match &typed.country {
        Some(country) if !format.has_countries() => refuse(
            &country.span,
            format!("`country` belongs to a list that names countries, and this list is `{format}`"),
            "remove `country`, or name a registry's delegated file or a CSV with a country in its third column"
                .to_owned(),
        ),
        None if format == Format::Rir => refuse(
            &typed.path.span,
            "this list is what a registry delegated, to every country: it needs a `country`"
                .to_owned(),
            format!("write `{{list: {}, country: CC}}`, as in `country: CN`", typed.path.value.display()),
        ),
        Some(_) | None => {}
    }
    fit
}

fn report(
    list: &List,
    source: &SourceFile,
    reading: &Reading,
    named_at: &Place,
    out: &mut Diagnostics,
) {
    if reading.skip_bad_lines {
        report_skipped(list, source, out);
    } else {
        report_bad(list, source, out);
    }
    if list.several_countries {
        out.push(Diagnostic::warning(
            named_at.clone(),
            "this list names several countries, and all of them are taken",
            "write `country: CC` to take one of them",
        ));
    }
    let unread = list.bad.count() > 0 && !reading.skip_bad_lines;
    if !list.is_empty() || unread {
        return;
    }
    if list.left_out > 0 {
        out.push(nothing_selected(list, reading, named_at));
    } else {
        out.push(empty(source, list));
    }
}

fn report_bad(list: &List, source: &SourceFile, out: &mut Diagnostics) {
    let comments = list.format.comments();
    let mut wrong = Capped::new();
    for (line, error) in list.bad.first() {
        wrong.push(out, || {
            let place = source.place_of_line(*line, comments);
            let help = match error {
                // It says what to write.
                InvalidLine::Destination(error) => error.help(),
                other => format!("{}, or `on_bad_line: skip`", other.help()),
            };
            Diagnostic::error(place, error.to_string(), help)
        });
    }
    let hidden = list.bad.count() - list.bad.first().len();
    wrong.hide(hidden);
    wrong.finish(out, |hidden| {
        Diagnostic::error(
            Place::file_only(source.path()),
            format!("and {hidden} more lines of this list are wrong"),
            format!(
                "the list is read as `{}`; mend the lines, or write `on_bad_line: skip` if it is of use without them",
                list.format
            ),
        )
    });
}

fn report_skipped(list: &List, source: &SourceFile, out: &mut Diagnostics) {
    let comments = list.format.comments();
    let shown = list.bad.first().iter().take(SKIPPED_SHOWN);
    for (line, error) in shown.clone() {
        let place = source.place_of_line(*line, comments);
        let message = format!("this line is skipped: {error}");
        out.push(Diagnostic::warning(
            place,
            message,
            InvalidLine::help(error),
        ));
    }
    let hidden = list.bad.count() - shown.len();
    if hidden > 0 {
        let message = format!(
            "and {hidden} more lines of this list are skipped, {} of them in all",
            list.bad.count()
        );
        let help = format!(
            "the list is read as `{}`; look whether that is what it is",
            list.format
        );
        let place = Place::file_only(source.path());
        out.push(Diagnostic::warning(place, message, help).standing_for(hidden));
    }
}

fn empty(source: &SourceFile, list: &List) -> Diagnostic {
    let help = if list.format == Format::Plain {
        "write one CIDR, address or range per line, or remove the `list:` that names this file"
    } else {
        "mend the list, or remove the `list:` that names this file"
    };
    Diagnostic::error(
        source.place(0..0),
        "the list holds no destination, so that it would protect nothing",
        help,
    )
}

fn nothing_selected(list: &List, reading: &Reading, named_at: &Place) -> Diagnostic {
    let Selection {
        min_score,
        country,
        asn,
    } = reading.selection;
    let wanted = match (country, asn, min_score) {
        (Some(country), _, _) => format!("nothing of `{country}`"),
        (None, Some(asn), _) => format!("nothing of AS{asn}"),
        (None, None, Some(score)) => format!("nothing with a score of {score} or more"),
        (None, None, None) => "nothing that eMule blocks".to_owned(),
    };
    Diagnostic::error(
        named_at.clone(),
        format!(
            "the list holds {wanted}, so that it would protect nothing; lines left out: {}",
            list.left_out
        ),
        "ask for something that it holds, or remove the `list:`",
    )
}
