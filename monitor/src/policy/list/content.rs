//! What the file of a list holds, and how a policy asks to read it.

use std::path::PathBuf;

use crate::{
    lists::{Format, Kind, List, Refused, Selection, read, read_database, recognise},
    policy::{
        diagnostic::{Diagnostic, Diagnostics, SourceFile, SourcePlace},
        source::SourceList,
    },
};

/// What a file of a list holds.
pub(super) enum Content {
    Text(Text),
    Database(Vec<u8>),
}

/// A list of text.
pub(super) struct Text {
    pub(super) source: SourceFile,
    /// Unset until it is asked for.
    pub(super) recognised: Option<Result<Format, Refused>>,
}

/// One way to read one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reading {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) selection: Selection,
    pub(super) skip_bad_lines: bool,
}

/// What a policy asks for, and where.
pub(super) struct ListRequest<'a> {
    pub(super) typed: &'a SourceList,
    pub(super) file: &'a SourceFile,
    pub(super) named_at: SourcePlace,
}

/// A content that is known how to read.
pub(super) enum Readable<'a> {
    Lines(&'a SourceFile, Format),
    Database(&'a [u8]),
}

impl Content {
    /// `None` where `out` says why its format cannot be told.
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
                let format = given.or_else(|| text.recognise(named_at, out))?;
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

    /// What `reading` takes of it; `None` where `out` says why it cannot be used.
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
    /// Its format; says only the first time why it cannot be told.
    fn recognise(&mut self, named_at: &SourcePlace, out: &mut Diagnostics) -> Option<Format> {
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
