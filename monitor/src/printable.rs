//! Escapes untrusted text (from feeds, policy files, file names, interface names) for
//! a terminal, the log or a page.
//!
//! [`escape`] does the work. Each of the other functions is named after the place for
//! which it escapes a text.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    io,
    path::Path,
};

/// Returns true if a terminal or a browser would act on `c` instead of showing it. These
/// are the control characters C0, DEL and C1, line and paragraph separators, and the
/// controls of the bidirectional algorithm (Unicode UAX #9, section 2.0).
#[must_use]
pub const fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// Returns `text` with each character for which [`acts`] is true written as `\u{1b}`.
/// Characters in `kept` stay as they are.
#[must_use]
pub fn escape<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let raw = |c: char| acts(c) && !kept.contains(&c);
    let shown = |byte: &u8| matches!(byte, b' '..=b'~') || kept.contains(&char::from(*byte));
    if text.as_bytes().iter().all(shown) || !text.contains(raw) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if raw(c) {
            let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Escapes a value within a line. It cannot begin a new line.
#[must_use]
pub fn value(text: &str) -> Cow<'_, str> {
    escape(text, &['\t'])
}

/// Escapes a whole text of this program. Keeps its line breaks.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    escape(text, &['\n', '\t'])
}

/// Escapes a value of several lines. Indents every line after the first, so that no line
/// looks like a line of this program.
#[must_use]
pub fn block(text: &str) -> Cow<'_, str> {
    let escaped = self::text(text);
    if escaped.contains('\n') {
        Cow::Owned(escaped.replace('\n', "\n    "))
    } else {
        escaped
    }
}

/// Escapes a path within a line.
#[must_use]
pub fn path(path: &Path) -> impl fmt::Display + '_ {
    ShownPath(path)
}

struct ShownPath<'a>(&'a Path);

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&value(&self.0.to_string_lossy()))
    }
}

/// Escapes a text of this program, except its colours (`ESC [ … m`). The caller must
/// escape the values in it before it adds the colours.
#[must_use]
pub fn coloured(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "\u{1b}[";
    let mut parts = text.split(BEGIN);
    let mut shown = self::text(parts.next().unwrap_or_default()).into_owned();
    for part in parts {
        let numbers = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        let begin = if numbers.starts_with('m') {
            BEGIN.into()
        } else {
            self::text(BEGIN)
        };
        shown.push_str(&begin);
        shown.push_str(&self::text(part));
    }
    Cow::Owned(shown)
}

/// Escapes a JSON document with JSON's own escapes, so its values stay the same. Keeps
/// `\n`, which occurs only between values, because JSON escapes it within strings.
#[must_use]
pub fn json(document: &str) -> Cow<'_, str> {
    let raw = |c: char| acts(c) && c != '\n';
    if !document.contains(raw) {
        return Cow::Borrowed(document);
    }
    let mut escaped = String::with_capacity(document.len() + 16);
    for c in document.chars() {
        if raw(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// A writer that escapes log records. Each write must hold one whole record. Indents
/// every line of a record after the first, so that no record can imitate another.
#[derive(Debug)]
pub struct LogWriter<W> {
    inner: W,
    colours: bool,
}

impl<W: io::Write> LogWriter<W> {
    /// Creates a writer in front of `inner`. If `colours` is true, keeps the colours of
    /// the log itself.
    pub const fn new(inner: W, colours: bool) -> Self {
        Self { inner, colours }
    }
}

impl<W: io::Write> io::Write for LogWriter<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let record_text = String::from_utf8_lossy(record);
        let body = record_text.strip_suffix('\n').unwrap_or(&record_text);
        let mut shown = if self.colours {
            coloured(body).replace('\n', "\n    ")
        } else {
            block(body).into_owned()
        };
        shown.push('\n');
        self.inner.write_all(shown.as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Returns every character that this module must escape.
    fn acting() -> impl Iterator<Item = char> {
        let ranges = [
            '\0'..='\u{1f}',
            '\u{7f}'..='\u{9f}',
            '\u{200e}'..='\u{200f}',
            '\u{2028}'..='\u{202e}',
            '\u{2066}'..='\u{2069}',
            '\u{61c}'..='\u{61c}',
        ];
        ranges.into_iter().flatten()
    }

    #[test]
    fn every_character_that_acts_is_escaped_and_no_other() {
        for c in acting() {
            let text = format!("a{c}b");
            assert_eq!(escape(&text, &[]), format!("a\\u{{{:x}}}b", u32::from(c)));
            let document = serde_json::to_string(&text).unwrap();
            let shown = json(&document);
            assert!(!shown.contains(acts), "{shown:?}");
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
        let all = acting().count();
        let found = ('\0'..=char::MAX).filter(|c| acts(*c)).count();
        assert_eq!(found, all);
        for text in ["", "Ünïcode ☃ 中文 עברית", "C:\\u{1b}"] {
            assert!(matches!(escape(text, &[]), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn a_value_cannot_begin_a_line() {
        assert_eq!(value("a\nerror: b\tc"), "a\\u{a}error: b\tc");
        assert_eq!(text("a\nb\r"), "a\nb\\u{d}");
        assert_eq!(block("a\nerror: b"), "a\n    error: b");
        let shown = path(Path::new("p\n\u{1b}[2J.yaml")).to_string();
        assert_eq!(shown, "p\\u{a}\\u{1b}[2J.yaml");
    }

    #[test]
    fn only_escape_sequences_for_colours_are_kept() {
        let colours = "\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: x\n";
        assert_eq!(coloured(colours), colours);
        assert_eq!(
            coloured("\u{1b}[2J\u{1b}]0;x\u{7}\u{1b}[1;m"),
            "\\u{1b}[2J\\u{1b}]0;x\\u{7}\u{1b}[1;m"
        );
    }

    #[test]
    fn a_log_record_cannot_imitate_another() {
        let mut log = LogWriter::new(Vec::new(), false);
        log.write_all(b"2026 WARN a\n2026 INFO b\x1b[m\xff\n")
            .unwrap();
        let shown = String::from_utf8(log.inner).unwrap();
        assert_eq!(shown, "2026 WARN a\n    2026 INFO b\\u{1b}[m\u{fffd}\n");
    }
}
