//! Places in files, for messages.

use std::{
    cell::{LazyCell, OnceCell},
    collections::BTreeMap,
    fmt,
    ops::Range,
    path::Path,
    sync::Arc,
};

use annotate_snippets::{AnnotationKind, Group, Origin, Snippet};

use crate::{address::Destination, printable};

/// Longest excerpt of a line, in bytes. It is needed because lines of lists can
/// have any length.
const MAX_EXCERPT: usize = 400;

/// Line ends of a text are counted in so many bytes at a time. Few in tests, so that short texts
/// have several blocks.
const BLOCK: usize = if cfg!(test) { 4 } else { 32 << 10 };

/// The text of one file.
#[derive(Debug)]
pub struct SourceFile {
    path: Arc<Path>,
    text: String,
    /// Byte offset of the start of each line; empty until it is needed.
    lines: OnceCell<Vec<usize>>,
}

impl SourceFile {
    /// Stores `text` with the `path` that messages name.
    #[must_use]
    pub fn new(path: &Path, text: String) -> Self {
        Self {
            path: path.into(),
            lines: OnceCell::new(),
            text,
        }
    }

    /// Path as the caller gave it.
    #[must_use]
    pub fn path(&self) -> &Arc<Path> {
        &self.path
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let breaks = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(breaks).collect()
        })
    }

    /// Number of the line (from 1) that contains the byte at `offset`.
    #[must_use]
    pub fn line_of(&self, offset: usize) -> u32 {
        let line = self.lines().partition_point(|start| *start <= offset);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    /// Byte offset of `line` and `column`. Both count from 1; `column` counts
    /// characters.
    #[must_use]
    pub fn offset_of(&self, line: usize, column: usize) -> usize {
        let Some(start) = self.lines().get(line.saturating_sub(1)) else {
            return self.text.len();
        };
        let rest = &self.text[*start..];
        let offset = rest.char_indices().nth(column.saturating_sub(1));
        offset.map_or(self.text.len(), |(offset, _)| start + offset)
    }

    /// The place of the bytes in `span`, cut at the end of its first line.
    #[must_use]
    pub fn place(&self, span: Range<usize>) -> SourcePlace {
        let line = self.line_of(span.start);
        self.place_in(line, self.lines()[line as usize - 1], span)
    }

    /// The place of the bytes in `span`, which begin in the line with this number and start.
    fn place_in(&self, line: u32, start: usize, span: Range<usize>) -> SourcePlace {
        let text = self.text[start..].lines().next().unwrap_or_default();
        let clip =
            |offset: usize| text.floor_char_boundary(offset.saturating_sub(start).min(text.len()));
        SourcePlace {
            file: Arc::clone(&self.path),
            excerpt: Some(Excerpt::new(line, text, clip(span.start)..clip(span.end))),
        }
    }

    /// The place of a whole line (from 1), without the white space around it
    /// and without a comment that begins with one of `comments`.
    #[must_use]
    pub fn place_of_line(&self, line: u32, comments: &[char]) -> SourcePlace {
        let Some(start) = self.start_of(line) else {
            return self.place(self.text.len()..self.text.len());
        };
        let text = self.text[start..].lines().next().unwrap_or_default();
        let content = text.split(comments).next().unwrap_or_default();
        let indent = content.len() - content.trim_start().len();
        let content_start = start + indent;
        let span = content_start..content_start + content.trim().len();
        self.place_in(line, start, span)
    }

    /// Byte offset of the start of a line (from 1). To find one line of a list, passing over
    /// the text takes less time than to find the starts of all lines.
    fn start_of(&self, line: u32) -> Option<usize> {
        if let Some(lines) = self.lines.get() {
            return lines.get(line as usize - 1).copied();
        }
        let mut line_ends = line as usize - 1;
        if line_ends == 0 {
            return Some(0);
        }
        let mut block_start = 0;
        for block in self.text.as_bytes().chunks(BLOCK) {
            // To count line ends takes less time than to find each of them.
            let mut here = memchr::memchr_iter(b'\n', block);
            let count = here.clone().count();
            if line_ends <= count {
                return here.nth(line_ends - 1).map(|at| block_start + at + 1);
            }
            line_ends -= count;
            block_start += block.len();
        }
        None
    }
}

/// A place in a file, with an excerpt of its line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourcePlace {
    file: Arc<Path>,
    excerpt: Option<Excerpt>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Excerpt {
    line: u32,
    column: u32,
    text: String,
    span: Range<usize>,
}

impl Excerpt {
    fn new(line: u32, text: &str, span: Range<usize>) -> Self {
        let column = text[..span.start].chars().count() + 1;
        let cut = text.floor_char_boundary(MAX_EXCERPT);
        let text = if span.start < cut { &text[..cut] } else { "" };
        let end = text.len();
        Self {
            line,
            column: u32::try_from(column).unwrap_or(u32::MAX),
            text: without_secrets(text),
            span: span.start.min(end)..span.end.min(end),
        }
    }

    /// The text with control characters escaped, and the span in that text.
    fn shown(&self) -> (String, Range<usize>) {
        let mut shown = String::new();
        let ends = [self.span.start, self.span.end, self.text.len()];
        let mut start = 0;
        let ends = ends.map(|end| {
            shown.push_str(&printable::value(&self.text[start..end]));
            start = end;
            shown.len()
        });
        (shown, ends[0]..ends[1])
    }
}

/// `text` with `*` in place of each byte of a URL that may be secret: user,
/// password and query. The log and the reply to `status` show excerpts, and
/// other users may read them.
fn without_secrets(text: &str) -> String {
    let mut hidden = text.to_owned();
    let mut from = 0;
    while let Some(found) = text[from..].find("://") {
        let start = from + found + "://".len();
        let ends = |c: char| c.is_whitespace() || "\"'`<>{}\\^|".contains(c);
        let length = text[start..].find(ends);
        let end = length.map_or(text.len(), |length| start + length);
        let url = &text[start..end];
        let authority = url.find(['/', '?', '#']).unwrap_or(url.len());
        if let Some(user) = url[..authority].rfind('@') {
            hide(&mut hidden, start..start + user);
        }
        if let Some(query) = url.find('?') {
            hide(&mut hidden, start + query + 1..end);
        }
        from = end;
    }
    hidden
}

/// Replaces the range with as many `*`, so offsets stay valid.
fn hide(text: &mut String, range: Range<usize>) {
    text.replace_range(range.clone(), &"*".repeat(range.len()));
}

impl SourcePlace {
    /// The place of a whole file.
    #[must_use]
    pub fn file_only(file: &Path) -> Self {
        Self {
            file: file.into(),
            excerpt: None,
        }
    }

    /// The place of a line (from 1) whose text is not available.
    fn of_line(file: &Path, line: u32) -> Self {
        Self {
            file: file.into(),
            excerpt: Some(Excerpt {
                line,
                column: 1,
                text: String::new(),
                span: 0..0,
            }),
        }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Number of the line, from 1; `None` for a whole file.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        self.excerpt.as_ref().map(|excerpt| excerpt.line)
    }

    /// Number of the character in its line, from 1; `None` for a whole file.
    #[must_use]
    pub fn column(&self) -> Option<u32> {
        self.excerpt.as_ref().map(|excerpt| excerpt.column)
    }

    pub(super) fn draw<'a>(&'a self, group: Group<'a>, label: Option<&'a str>) -> Group<'a> {
        let path = printable::path(&self.file).to_string();
        let Some(excerpt) = &self.excerpt else {
            return group.element(Origin::path(path));
        };
        let (text, span) = excerpt.shown();
        let annotation = AnnotationKind::Primary.span(span).label(label);
        let snippet = Snippet::source(text)
            .line_start(excerpt.line as usize)
            .path(path)
            .annotation(annotation);
        group.element(snippet)
    }
}

impl fmt::Display for SourcePlace {
    /// Writes `file:line:column`, or the part of it that is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", printable::path(&self.file))?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, ":{}:{}", excerpt.line, excerpt.column)?;
        }
        Ok(())
    }
}

/// The texts that policies were read from, by path.
#[derive(Debug, Default)]
pub struct Texts(BTreeMap<Arc<Path>, LazyCell<Option<SourceFile>, MakeText>>);

/// Makes the text of a file; `None` if it has none.
type MakeText = Box<dyn FnOnce() -> Option<SourceFile>>;

impl Texts {
    pub(super) fn add(&mut self, file: SourceFile) {
        self.add_later(Arc::clone(file.path()), || Some(file));
    }

    /// Adds a text that is made when a message needs it.
    pub(super) fn add_later(
        &mut self,
        path: Arc<Path>,
        make: impl FnOnce() -> Option<SourceFile> + 'static,
    ) {
        self.0.insert(path, LazyCell::new(Box::new(make)));
    }

    /// The place of the first destination on `line` (from 1) for which
    /// `is_meant` is true, or else of the whole line. The place has no excerpt
    /// if the text is not available, and no line if `line` is `None`.
    #[must_use]
    pub fn place(
        &self,
        file: &Path,
        line: Option<u32>,
        is_meant: impl Fn(Destination) -> bool,
    ) -> SourcePlace {
        const AROUND: &[char] = &[' ', '\t', ',', '[', ']', '{', '}', '"', '\'', ';', '#'];
        let Some(line) = line else {
            return SourcePlace::file_only(file);
        };
        let Some(source) = self.0.get(file).and_then(|text| text.as_ref()) else {
            return SourcePlace::of_line(file, line);
        };
        let whole = source.place_of_line(line, &[]);
        let start = source.offset_of(line as usize, 1);
        let text = source.text()[start..].lines().next().unwrap_or_default();
        let mut at = start;
        let mut words = text.split(AROUND).map(|word| {
            let span = at..at + word.len();
            at = span.end + 1;
            (word, span)
        });
        match words.find(|(word, _)| word.parse().is_ok_and(&is_meant)) {
            Some((_, span)) => source.place(span),
            None => whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_no_secret_of_a_url() {
        for (text, shown) in [
            ("- {list: lists/cn.txt}", "- {list: lists/cn.txt}"),
            (
                "- {list: \"https://a.example/l\"}",
                "- {list: \"https://a.example/l\"}",
            ),
            (
                "- {list: \"https://me:pw@a.example/l\"}",
                "- {list: \"https://*****@a.example/l\"}",
            ),
            (
                "- {list: https://a.example/l?key=é1}",
                "- {list: https://a.example/l?*******}",
            ),
            (
                "- [http://a.example/l?k, https://m@b.example?k#f]",
                "- [http://a.example/l?** https://*@b.example?****",
            ),
            ("https://a@b@c.example/@x", "https://***@c.example/@x"),
            ("://", "://"),
        ] {
            assert_eq!(without_secrets(text), shown);
            assert_eq!(text.len(), shown.len());
        }
    }

    #[test]
    fn a_line_is_found_with_and_without_the_starts_of_all_lines() {
        let path = Path::new("list.txt");
        for text in ["", "\n", "a\r\n\n  b # c\n#\n   \né", "a\n"] {
            let indexed = SourceFile::new(path, text.to_owned());
            let lines = indexed.line_of(text.len());
            for line in 1..=lines + 2 {
                let found = SourceFile::new(path, text.to_owned()).place_of_line(line, &['#']);
                assert_eq!(
                    found,
                    indexed.place_of_line(line, &['#']),
                    "{text:?} {line}"
                );
                assert_eq!(found.line(), Some(line.min(lines)));
            }
        }
    }
}
