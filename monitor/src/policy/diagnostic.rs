//! What is wrong with the policy files, where, and how to mend it.

use annotate_snippets::{Group, Level, Renderer};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{printable, quoted};

pub use super::place::{SourceFile, SourcePlace};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policies cannot be used.
    Error,
    /// The policies can be used, and may not mean what was meant.
    Warning,
    /// They mean what was meant, and something about it is worth knowing.
    Note,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    place: SourcePlace,
    message: String,
    help: String,
    related: Option<(SourcePlace, &'static str)>,
    count: usize,
}

impl Diagnostic {
    /// An error: why it is one (`message`) and how to mend it (`help`).
    #[must_use]
    pub fn error(place: SourcePlace, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place,
            message: quoted::message(message.into()),
            help: quoted::help(help.into()),
            related: None,
            count: 1,
        }
    }

    /// A warning, in the same words.
    #[must_use]
    pub fn warning(
        place: SourcePlace,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(place, message, help)
        }
    }

    /// A note, in the same words.
    #[must_use]
    pub fn note(place: SourcePlace, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(place, message, help)
        }
    }

    /// Shows a second place, and what it has to do with the first.
    #[must_use]
    pub fn with_related(mut self, place: SourcePlace, label: &'static str) -> Self {
        self.related = Some((place, label));
        self
    }

    /// Stands for `count` diagnostics that are not shown one by one.
    #[must_use]
    pub fn standing_for(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &SourcePlace {
        &self.place
    }

    /// Why it is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How to mend it.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let (message, help) = (
            printable::value(&self.message),
            printable::value(&self.help),
        );
        let title = level.primary_title(message);
        let mut report = vec![self.place.draw(Group::with_title(title), None)];
        if let Some((place, label)) = &self.related {
            let title = Level::NOTE.secondary_title(*label);
            report.push(place.draw(Group::with_title(title), None));
        }
        let help = Level::HELP.secondary_title(help);
        report.push(Group::with_title(help));
        renderer.render(&report)
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Diagnostic", 5)?;
        fields.serialize_field("file", &self.place.file().to_string_lossy())?;
        fields.serialize_field("line", &self.place.line())?;
        fields.serialize_field("column", &self.place.column())?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("help", &self.help)?;
        fields.end()
    }
}

/// Everything that is wrong, in the order of the files. Serialises as
/// `{"errors": […], "warnings": […], "notes": […]}`, with `"more": N` where `N`
/// are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    /// How many are kept, by severity.
    kept_by: [usize; 3],
    /// How many are not kept, by severity.
    more: [usize; 3],
}

impl Diagnostics {
    /// The most that are kept of one severity; the others are counted.
    pub const MAX_KEPT: usize = 1000;

    /// The size of what [`Self::render_some`] shows, in bytes. The first
    /// diagnostic is shown whatever its size, which is bounded too.
    pub const MAX_RENDERED: usize = 4096;

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let severity = diagnostic.severity as usize;
        if self.kept_by[severity] < Self::MAX_KEPT {
            self.kept_by[severity] += 1;
            self.kept.push(diagnostic);
        } else {
            self.more[severity] += diagnostic.count;
        }
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: Self) {
        for diagnostic in other.kept {
            self.push(diagnostic);
        }
        for (more, others) in self.more.iter_mut().zip(other.more) {
            *more += others;
        }
    }

    /// Sorts by file, line and column; what concerns a whole file comes first.
    pub fn sort(&mut self) {
        self.kept.sort_by(|a, b| {
            let key = |place: &SourcePlace| (place.line(), place.column());
            let (a, b) = (a.place(), b.place());
            a.file().cmp(b.file()).then(key(a).cmp(&key(b)))
        });
    }

    /// The errors that are shown.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Error)
    }

    /// The warnings that are shown.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Warning)
    }

    /// The notes.
    pub fn notes(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Note)
    }

    /// Leaves the notes out: they are for who writes the files.
    #[must_use]
    pub fn without_notes(mut self) -> Self {
        self.kept
            .retain(|diagnostic| diagnostic.severity != Severity::Note);
        let note = Severity::Note as usize;
        (self.kept_by[note], self.more[note]) = (0, 0);
        self
    }

    /// Whether the policies cannot be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// All errors, also those that are not shown one by one.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.count(Severity::Error)
    }

    /// All warnings, also those that are not shown one by one.
    #[must_use]
    pub fn warning_count(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// For a terminal: each with its line, the place underlined, why and how
    /// to mend it. Empty where nothing is wrong.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let each = self.kept.iter();
        let mut text: String = each
            .map(|diagnostic| diagnostic.render(&renderer) + "\n\n")
            .collect();
        text.push_str(&more_line(self.more.iter().sum(), ""));
        text
    }

    /// The same without colour, errors first, in about [`Self::MAX_RENDERED`]
    /// bytes: for the log and for answers of the daemon.
    #[must_use]
    pub fn render_some(&self) -> String {
        let renderer = Renderer::plain();
        let mut sorted: Vec<&Diagnostic> = self.kept.iter().collect();
        sorted.sort_by_key(|diagnostic| diagnostic.severity);
        let mut text = String::new();
        let mut shown = 0;
        for diagnostic in &sorted {
            let next = diagnostic.render(&renderer) + "\n\n";
            if shown > 0 && text.len() + next.len() > Self::MAX_RENDERED {
                break;
            }
            text.push_str(&next);
            shown += 1;
        }
        let hidden = sorted[shown..].iter().map(|diagnostic| diagnostic.count);
        let hidden = hidden.sum::<usize>() + self.more.iter().sum::<usize>();
        text.push_str(&more_line(hidden, ": `monitor check` shows them"));
        text
    }

    fn count(&self, severity: Severity) -> usize {
        let kept = self.of(severity).map(|diagnostic| diagnostic.count);
        kept.sum::<usize>() + self.more[severity as usize]
    }

    fn of(&self, severity: Severity) -> impl Iterator<Item = &Diagnostic> {
        self.kept
            .iter()
            .filter(move |diagnostic| diagnostic.severity == severity)
    }
}

fn more_line(count: usize, how: &str) -> String {
    match count {
        0 => String::new(),
        count => format!("and {count} more{how}\n\n"),
    }
}

impl Serialize for Diagnostics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Diagnostics", 4)?;
        fields.serialize_field("errors", &self.errors().collect::<Vec<_>>())?;
        fields.serialize_field("warnings", &self.warnings().collect::<Vec<_>>())?;
        fields.serialize_field("notes", &self.notes().collect::<Vec<_>>())?;
        let more: usize = self.more.iter().sum();
        if more > 0 {
            fields.serialize_field("more", &more)?;
        }
        fields.end()
    }
}

/// Shows the first few of many alike, and counts the rest.
#[derive(Debug)]
pub(super) struct Capped {
    shown: usize,
    hidden: usize,
}

impl Capped {
    /// Diagnostics of one file that are shown one by one.
    const MAX_SHOWN: usize = 20;

    pub(super) const fn new() -> Self {
        Self {
            shown: 0,
            hidden: 0,
        }
    }

    pub(super) fn push(&mut self, out: &mut Diagnostics, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.shown < Self::MAX_SHOWN {
            self.shown += 1;
            out.push(diagnostic());
        } else {
            self.hidden += 1;
        }
    }

    /// Counts `more` that nobody made a diagnostic of.
    pub(super) const fn hide(&mut self, more: usize) {
        self.hidden += more;
    }

    /// Adds what stands for the rest; `summary` is given their number.
    pub(super) fn finish(self, out: &mut Diagnostics, summary: impl FnOnce(usize) -> Diagnostic) {
        if self.hidden > 0 {
            out.push(summary(self.hidden).standing_for(self.hidden));
        }
    }
}

/// The candidate that `word` is most likely a slip of.
pub(super) fn near_miss<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> Diagnostic {
        let file = SourceFile::new("p.yaml".as_ref(), "x: y\n".to_owned());
        Diagnostic::error(file.place(3..4), message, "fix it")
    }

    #[test]
    fn so_many_are_kept_and_all_are_counted() {
        let mut found = Diagnostics::default();
        for _ in 0..1_000_000 {
            found.push(error("wrong"));
        }
        let mut all = Diagnostics::default();
        all.push(error("first"));
        all.append(found);
        assert_eq!(all.errors().count(), Diagnostics::MAX_KEPT);
        assert_eq!(all.error_count(), 1_000_001);
        assert!(all.has_errors());
        assert!(all.render(false).ends_with("and 999001 more\n\n"));
        let json = serde_json::to_value(&all).unwrap();
        assert_eq!(json["more"], 999_001);
    }

    #[test]
    fn what_is_rendered_for_an_answer_is_small_and_begins_with_an_error() {
        let long = "`é".repeat(1 << 20);
        let mut found = Diagnostics::default();
        for message in [&long, "second"] {
            let place = error("").place().clone();
            found.push(Diagnostic::warning(place, message, long.as_str()));
        }
        found.push(error(&long).standing_for(7));
        let text = found.render_some();
        assert!(text.starts_with("error: "), "{text}");
        assert!(text.len() < 3 * Diagnostics::MAX_RENDERED, "{}", text.len());
        assert!(
            text.ends_with("and 2 more: `monitor check` shows them\n\n"),
            "{text}"
        );
        let mut one = Diagnostics::default();
        one.push(error("wrong"));
        assert_eq!(one.render_some(), one.render(false));
    }
}
