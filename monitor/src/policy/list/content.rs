//! The content of a list file, and the ways in which a policy reads it.

use std::path::PathBuf;

use crate::{
    lists::{Format, Kind, List, Refused, Selection, read, read_database, recognise},
    policy::{
        diagnostic::{Diagnostic, Diagnostics, SourceFile, SourcePlace},
        source::SourceList,
    },
};

/// The content of a list file.
pub(super) enum Content {
    Text(Text),
    Database(Vec<u8>),
}

/// A list that is a text file.
pub(super) struct Text {
    pub(super) source: SourceFile,
    /// The format found in the text; `None` until it is needed.
    pub(super) recognised: Option<Result<Format, Refused>>,
}

/// One way to read one file; the same reading is done once for all policies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reading {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) selection: Selection,
    pub(super) skip_bad_lines: bool,
}

/// The list that a policy names, and where it names it.
pub(super) struct ListRequest<'a> {
    pub(super) typed: &'a SourceList,
    pub(super) file: &'a SourceFile,
    pub(super) named_at: SourcePlace,
}

/// A content whose format is known.
pub(super) enum Readable<'a> {
    Lines(&'a SourceFile, Format),
    Database(&'a [u8]),
}

impl Content {
    /// Determines the format. Returns `None` if that fails; `out` then has the
    /// error.
    pub(super) fn readable(
        &mut self,
        typed: &SourceList,
        named_at: &SourcePlace,
        out: &mut Diagnostics,
    ) -> Option<Readable<'_>> {
        match self {
            Self::Database(bytes) => Some(Readable::Database(bytes)),
            Self::Text(text) => {
                let given = typed.format.as_ref().map(|format| format.value);
                let given = given.or_else(|| typed.selection().format());
                let format = given.or_else(|| text.recognise(typed, named_at, out))?;
                Some(Readable::Lines(&text.source, format))
            }
        }
    }
}

impl Readable<'_> {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Lines(_, format) => Kind::Lines(*format),
            Self::Database(_) => Kind::Database,
        }
    }

    /// Reads the selected part. Returns `None` if it cannot be used; `out` then
    /// has the error.
    pub(super) fn read(
        &self,
        reading: &Reading,
        asked: &ListRequest<'_>,
        out: &mut Diagnostics,
    ) -> Option<List> {
        match self {
            Self::Lines(source, format) => Some(read(source.text(), *format, &reading.selection)),
            Self::Database(bytes) => match read_database(bytes, &reading.selection) {
                Ok(list) => Some(list),
                Err(error) => {
                    let message = format!(
                        "the table {}: {error}",
                        crate::printable::path(&reading.path)
                    );
                    let place = asked.named_at.clone();
                    out.push(Diagnostic::error(place, message, error.help()));
                    None
                }
            },
        }
    }
}

impl Text {
    /// The format of the text. Reports only once that it cannot be determined.
    fn recognise(
        &mut self,
        typed: &SourceList,
        named_at: &SourcePlace,
        out: &mut Diagnostics,
    ) -> Option<Format> {
        if let Some(known) = &self.recognised {
            return known.as_ref().ok().copied();
        }
        let found = self.recognised.insert(recognise(self.source.text()));
        if let Err(Refused { line, why }) = found {
            let place = self.source.place_of_line(*line, &[]);
            let name = crate::printable::path(&typed.path.value).to_string();
            out.push(
                Diagnostic::error(place, why.to_string(), why.help_for(&name))
                    .with_related(named_at.clone(), "the list is named here"),
            );
        }
        found.as_ref().ok().copied()
    }
}
