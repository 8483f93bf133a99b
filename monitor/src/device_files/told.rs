//! Messages about files: each problem of a file is told once, until a reading finds it gone.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{devices::lines::Skipped, printable};

/// A kind of problem. The text of a message can change with each reading, for example its
/// line number, so a problem is known by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The file cannot be read, or it is missing.
    Read,
    /// The content is of another kind.
    Format,
    /// Lines are skipped.
    Lines,
    /// Not everything found room.
    Room,
    /// Only the end of the file is read.
    Cut,
    /// The last line has no end.
    Unfinished,
}

/// A problem, as a text that follows the name of the file.
pub(super) type Problem = (Kind, String);

/// The problems that were told. Their number is bounded by the number of files.
#[derive(Debug, Default)]
pub(super) struct Told {
    told: BTreeSet<(&'static str, PathBuf, Kind)>,
    warnings: Vec<String>,
}

impl Told {
    /// Takes in all problems that a reading of a file found. `what` says what the file is
    /// for.
    pub(super) fn reading(&mut self, what: &'static str, path: &Path, problems: &[Problem]) {
        let is_gone = |kind: Kind| problems.iter().all(|(found, _)| *found != kind);
        self.told.retain(|(for_what, of, kind)| {
            (*for_what, of.as_path()) != (what, path) || !is_gone(*kind)
        });
        for (kind, text) in problems {
            if self.told.insert((what, path.to_owned(), *kind)) {
                let path = printable::path(path);
                self.warnings.push(format!("{what} {path}{text}"));
            }
        }
    }

    /// Adds a message that is about no reading.
    pub(super) fn add(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

/// The problem of lines that are skipped, if there are any.
pub(super) fn skipped(skipped: &Skipped) -> Option<Problem> {
    let first = skipped.first.first()?;
    let more = match skipped.count {
        1 => String::new(),
        count => format!(" ({count} lines are skipped)"),
    };
    Some((Kind::Lines, format!(", {first}{more}")))
}
