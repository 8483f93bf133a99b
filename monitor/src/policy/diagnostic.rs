//! Errors, warnings and notes on policy files: the message, the place, and the
//! fix.

use annotate_snippets::{Group, Level, Renderer};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{printable, quoted};

pub use super::place::{SourceFile, SourcePlace};

/// How serious a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policies cannot be used.
    Error,
    /// The policies can be used, but may not do what the author meant.
    Warning,
    /// The policies do what the author meant; the note explains a side effect.
    Note,
}

/// One error, warning or note.
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
    /// An error: `message` says what is wrong, `help` says how to fix it.
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

    /// A warning; the parameters are those of [`Self::error`].
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

    /// A note; the parameters are those of [`Self::error`].
    #[must_use]
    pub fn note(place: SourcePlace, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(place, message, help)
        }
    }

    /// Adds a second place; `label` says how it relates to the first.
    #[must_use]
    pub fn with_related(mut self, place: SourcePlace, label: &'static str) -> Self {
        self.related = Some((place, label));
        self
    }

    /// Marks this diagnostic as a summary of `count` diagnostics that are not
    /// shown.
    #[must_use]
    pub fn standing_for(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// How serious the diagnostic is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The place that the diagnostic points at.
    #[must_use]
    pub fn place(&self) -> &SourcePlace {
        &self.place
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How to fix it.
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

/// All diagnostics of a load, in the order of the files. Serialises as
/// `{"errors": […], "warnings": […], "notes": […]}`. A key `"more": N` is added
/// if `N` diagnostics are counted but not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    /// Number of kept diagnostics for each severity.
    kept_by: [usize; 3],
    /// Number of diagnostics that are counted but not kept, for each severity.
    more: [usize; 3],
}

impl Diagnostics {
    /// Largest number of diagnostics kept for each severity; further ones are
    /// only counted.
    pub const MAX_KEPT: usize = 1000;

    /// Size limit of [`Self::render_some`], in bytes. The first diagnostic is
    /// always shown; its own size is bounded too.
    pub const MAX_RENDERED: usize = 4096;

    /// Adds a diagnostic, or counts it if [`Self::MAX_KEPT`] is reached.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let severity = diagnostic.severity as usize;
        if self.kept_by[severity] < Self::MAX_KEPT {
            self.kept_by[severity] += 1;
            self.kept.push(diagnostic);
        } else {
            self.more[severity] += diagnostic.count;
        }
    }

    /// Adds all diagnostics of `other`.
    pub fn append(&mut self, other: Self) {
        for diagnostic in other.kept {
            self.push(diagnostic);
        }
        for (more, others) in self.more.iter_mut().zip(other.more) {
            *more += others;
        }
    }

    /// Sorts by file, line and column. A diagnostic about a whole file comes
    /// first.
    pub fn sort(&mut self) {
        self.kept.sort_by(|a, b| {
            let key = |place: &SourcePlace| (place.line(), place.column());
            let (a, b) = (a.place(), b.place());
            a.file().cmp(b.file()).then(key(a).cmp(&key(b)))
        });
    }

    /// The kept errors.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Error)
    }

    /// The kept warnings.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Warning)
    }

    /// The kept notes.
    pub fn notes(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Note)
    }

    /// Removes the notes: they help the author of the files, and clutter a log.
    #[must_use]
    pub fn without_notes(mut self) -> Self {
        self.kept
            .retain(|diagnostic| diagnostic.severity != Severity::Note);
        let note = Severity::Note as usize;
        (self.kept_by[note], self.more[note]) = (0, 0);
        self
    }

    /// True if there is an error, so the policies cannot be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// Number of all diagnostics, including those that are not kept.
    pub(super) fn total(&self) -> usize {
        let severities = [Severity::Error, Severity::Warning, Severity::Note];
        severities.map(|severity| self.count(severity)).iter().sum()
    }

    /// Number of all errors, including those that are not kept.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.count(Severity::Error)
    }

    /// Number of all warnings, including those that are not kept.
    #[must_use]
    pub fn warning_count(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// All kept diagnostics for a terminal, each with its source line, the
    /// place underlined, and the fix. Empty if there are no diagnostics.
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

    /// The diagnostics for the log and for replies of the daemon: without
    /// colour, errors first, limited to about [`Self::MAX_RENDERED`] bytes.
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

/// Adds the first few of many similar diagnostics, and counts the others.
#[derive(Debug)]
pub(super) struct Capped {
    shown: usize,
    hidden: usize,
}

impl Capped {
    /// Largest number of similar diagnostics that are added one by one.
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

    /// Counts `more` diagnostics that the caller did not construct.
    pub(super) const fn hide(&mut self, more: usize) {
        self.hidden += more;
    }

    /// Adds the diagnostic that `summary` makes from the number of hidden ones,
    /// if any.
    pub(super) fn finish(self, out: &mut Diagnostics, summary: impl FnOnce(usize) -> Diagnostic) {
        if self.hidden > 0 {
            out.push(summary(self.hidden).standing_for(self.hidden));
        }
    }
}

/// The candidate that `word` most likely misspells.
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
