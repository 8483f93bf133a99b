//! The content of a list file, and the ways in which a policy reads it.

use std::{
    cell::{Cell, OnceCell},
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{
    known::ReadList,
    pieces::{KnownPieces, read_pieces},
};
use crate::{
    lists::{
        Format, Kind, List, Refused, Selection, is_database, list_text, read, read_database,
        recognise, unpack,
    },
    policy::{
        diagnostic::{Diagnostic, Diagnostics, SourceFile, SourcePlace},
        files::Files,
        source::SourceList,
    },
    regular_file::Purpose,
};

/// A list file that was read.
pub(super) struct ListFile {
    path: PathBuf,
    /// True if a policy names it as a `table`.
    is_table: bool,
    /// BLAKE3 hash of its bytes.
    pub(super) hash: [u8; 32],
    /// Its bytes; empty after it was decoded.
    bytes: Cell<Vec<u8>>,
    /// Decoded when it is needed; `None` if it cannot be decoded. Nothing needs the
    /// content of a file whose lists are known, unless a message quotes it.
    content: OnceCell<Option<Content>>,
}

/// The content of a list file.
pub(super) enum Content {
    Text(Text),
    Database(Vec<u8>),
}

/// A list that is a text file.
pub(super) struct Text {
    pub(super) source: SourceFile,
    /// The format found in the text; empty until it is needed.
    recognised: OnceCell<Result<Format, Refused>>,
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

impl ListFile {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path, is_table: bool, files: &dyn Files) -> io::Result<Self> {
        let hash = OnceLock::new();
        let work = |bytes: &[u8]| {
            let _ = hash.set(*blake3::hash(bytes).as_bytes());
        };
        let bytes = files.read_and(path, Purpose::List, &work)?;
        Ok(Self {
            path: path.to_owned(),
            is_table,
            hash: hash.into_inner().expect("`read_and` calls `work`"),
            bytes: Cell::new(bytes),
            content: OnceCell::new(),
        })
    }

    /// Decodes the file, if that was not done yet.
    ///
    /// # Errors
    ///
    /// Returns message and help if the bytes cannot be decoded. Later calls return no error.
    pub(super) fn decode(&self) -> Result<(), (String, &'static str)> {
        if self.content.get().is_some() {
            return Ok(());
        }
        let decoded = Content::decode(&self.path, self.bytes.take(), self.is_table);
        let (content, result) = match decoded {
            Ok(content) => (Some(content), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let _ = self.content.set(content);
        result
    }

    pub(super) fn content(&self) -> Option<&Content> {
        // The caller of `decode` reports its error.
        let _ = self.decode();
        self.content.get()?.as_ref()
    }

    /// The text; `None` if it is a database.
    pub(super) fn text(&self) -> Option<&SourceFile> {
        match self.content()? {
            Content::Text(text) => Some(&text.source),
            Content::Database(_) => None,
        }
    }

    /// Takes the text; `None` if it is a database.
    pub(super) fn into_text(self) -> Option<SourceFile> {
        let _ = self.decode();
        match self.content.into_inner().flatten()? {
            Content::Text(text) => Some(text.source),
            Content::Database(_) => None,
        }
    }
}

impl Content {
    fn decode(path: &Path, bytes: Vec<u8>, is_table: bool) -> Result<Self, (String, &'static str)> {
        let shown = crate::printable::path(path);
        let bytes = unpack(bytes).map_err(|error| {
            let message = format!("the list {shown}: {error}");
            (message, "fetch the list again, or unpack it by hand")
        })?;
        if is_database(&bytes) {
            return Ok(Self::Database(bytes));
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
        Ok(Self::Text(Text {
            source: SourceFile::new(path, text),
            recognised: OnceCell::new(),
        }))
    }

    /// Determines the format. Returns `None` if that fails; `out` then has the
    /// error.
    pub(super) fn readable(
        &self,
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

    /// Reads the selected part. Takes pieces that an earlier load read from `known`. Returns
    /// the destinations, and what else there is to say about the list. Returns `None` if the
    /// list cannot be used; `out` then has the error.
    pub(super) fn read(
        &self,
        reading: &Reading,
        known: &KnownPieces<'_>,
        asked: &ListRequest<'_>,
        out: &mut Diagnostics,
    ) -> Option<(ReadList, List)> {
        let whole = |mut list: List| (ReadList::take(&mut list), list);
        match self {
            Self::Lines(source, format) => {
                let (text, selection) = (source.text(), &reading.selection);
                let in_pieces = read_pieces(text, *format, selection, known);
                Some(in_pieces.unwrap_or_else(|| whole(read(text, *format, selection))))
            }
            Self::Database(bytes) => match read_database(bytes, &reading.selection) {
                Ok(list) => Some(whole(list)),
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
        &self,
        typed: &SourceList,
        named_at: &SourcePlace,
        out: &mut Diagnostics,
    ) -> Option<Format> {
        if let Some(known) = self.recognised.get() {
            return known.as_ref().ok().copied();
        }
        let found = self
            .recognised
            .get_or_init(|| recognise(self.source.text()));
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
