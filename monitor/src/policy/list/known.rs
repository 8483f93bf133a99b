//! Lists that an earlier load read. A load takes over a list whose file has the same
//! bytes, so that a reload reads only the lists that changed.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use super::pieces::{KnownPieces, Piece};
use crate::{
    address::Address,
    lists::{Format, Kind, List, Selection},
    policy::{destinations::Written, lines::Lines, source::SourceList},
};

/// The lists that a load read without an error or a warning.
#[derive(Clone, Debug, Default)]
pub struct KnownLists(BTreeMap<KnownAs, Arc<ReadList>>);

/// Everything that decides what a list holds: the bytes of its file, and how they are read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KnownAs {
    /// BLAKE3 hash of the file.
    content: [u8; 32],
    /// The format that the policy states; `None` if it is recognised.
    format: Option<Format>,
    selection: Selection,
    skip_bad_lines: bool,
}

/// A list in the form that policies share.
#[derive(Debug)]
pub(in crate::policy) struct ReadList {
    pub(in crate::policy) kind: Kind,
    pub(in crate::policy) ipv4: Vec<Lines<Ipv4Addr>>,
    pub(in crate::policy) ipv6: Vec<Lines<Ipv6Addr>>,
    /// The path of a JSON document, with the name of a known document.
    pub(super) how: Option<String>,
    /// Number of intervals that were selected.
    pub(super) destinations: usize,
    pub(super) left_out: usize,
    pub(super) with_options: usize,
    /// Number of lines that could not be read.
    pub(super) bad: usize,
    /// The pieces that were read one by one; empty if the list was read as a whole.
    pub(super) pieces: Vec<Piece>,
}

impl KnownLists {
    pub(super) fn get(&self, known_as: &KnownAs) -> Option<&Arc<ReadList>> {
        self.0.get(known_as)
    }

    /// True if a file with these bytes was decoded before.
    pub(super) fn has(&self, content: [u8; 32]) -> bool {
        // The derived order compares the content first.
        let from = KnownAs {
            content,
            format: None,
            selection: Selection::default(),
            skip_bad_lines: false,
        };
        let mut rest = self.0.range(from..);
        rest.next()
            .is_some_and(|(found, _)| found.content == content)
    }

    /// The pieces of all lists of `kind` that are read as `known_as` says.
    pub(super) fn pieces(&self, known_as: &KnownAs, kind: Kind) -> KnownPieces<'_> {
        let lists = self.0.iter().filter(|(one, list)| {
            list.kind == kind
                && (one.format, one.skip_bad_lines) == (known_as.format, known_as.skip_bad_lines)
                && one.selection == known_as.selection
        });
        lists.map(|(_, list)| &**list).collect()
    }

    pub(super) fn insert(&mut self, known_as: KnownAs, list: Arc<ReadList>) {
        self.0.insert(known_as, list);
    }
}

impl KnownAs {
    /// The list in a file of this `content`, as `typed` reads it. `None` if a second file
    /// decides too: the countries beside a table that names them by number.
    pub(super) fn new(content: [u8; 32], typed: &SourceList) -> Option<Self> {
        let selection = typed.selection();
        let given = typed.format.as_ref().map(|format| format.value);
        selection.country().is_none().then(|| Self {
            content,
            format: given.or_else(|| selection.format()),
            selection,
            skip_bad_lines: typed.skip_bad_lines,
        })
    }
}

impl From<List> for ReadList {
    fn from(mut list: List) -> Self {
        Self::take(&mut list)
    }
}

impl ReadList {
    /// Takes the destinations out of `list`.
    pub(super) fn take(list: &mut List) -> Self {
        let (ipv4, ipv6) = (
            std::mem::take(&mut list.ipv4),
            std::mem::take(&mut list.ipv6),
        );
        Self {
            kind: list.kind,
            destinations: ipv4.len() + ipv6.len(),
            ipv4: lines(&ipv4),
            ipv6: lines(&ipv6),
            how: list.how.clone(),
            left_out: list.left_out,
            with_options: list.with_options,
            bad: list.bad.count(),
            pieces: Vec::new(),
        }
    }
}

fn lines<A: Address>(intervals: &[(crate::address::Interval<A>, u32)]) -> Vec<Lines<A>> {
    let each = intervals.iter();
    let written = each.flat_map(|(interval, line)| Written::of(*interval, *line));
    Lines::new(written.collect(), 0).into_iter().collect()
}
