//! A list that changed is read in pieces. A load takes over the pieces that an earlier load
//! read, and reads only the others.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
    sync::Arc,
};

use super::known::ReadList;
use crate::{
    address::{Address, Interval},
    lists::{Format, List, PieceReader, Selection, pieces},
    policy::destinations::Written,
};

/// Consecutive lines of a list, all of which could be read.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// BLAKE3 hash of the lines.
    hash: [u8; 32],
    /// Number of lines.
    lines: u32,
    /// Number of the first line, counted from 1.
    first_line: u32,
    /// The part of [`ReadList::ipv4`] that is written in these lines.
    ipv4: Range<usize>,
    /// The part of [`ReadList::ipv6`] that is written in these lines.
    ipv6: Range<usize>,
    destinations: usize,
    left_out: usize,
    with_options: usize,
}

/// The pieces of lists that are all read in the same way, by their hash.
#[derive(Default)]
pub(super) struct KnownPieces<'a>(HashMap<[u8; 32], (&'a ReadList, &'a Piece)>);

impl<'a> FromIterator<&'a ReadList> for KnownPieces<'a> {
    fn from_iter<T: IntoIterator<Item = &'a ReadList>>(lists: T) -> Self {
        let each = lists.into_iter().flat_map(|list| {
            let pieces = list.pieces.iter();
            pieces.map(move |piece| (piece.hash, (list, piece)))
        });
        Self(each.collect())
    }
}

/// Reads `text` piece by piece, without the pieces that are `known`. Returns the
/// destinations, and what else there is to say about the list. `None` if lists of this
/// format are not read in pieces.
pub(super) fn read_pieces(
    text: &str,
    format: Format,
    selection: &Selection,
    known: &KnownPieces<'_>,
) -> Option<(ReadList, List)> {
    let mut reader = PieceReader::new(format, selection)?;
    let mut growing = Growing::default();
    for piece in pieces(text) {
        let hash = *blake3::hash(piece.as_bytes()).as_bytes();
        match known.0.get(&hash) {
            Some((list, piece)) => {
                growing.take_over(list, piece, reader.next_line());
                reader.pass(piece.lines, piece.left_out, piece.with_options);
            }
            None => growing.read(piece, hash, &mut reader),
        }
    }
    let list = reader.finish();
    Some((growing.finish(&list), list))
}

/// The destinations of the pieces so far.
#[derive(Default)]
struct Growing {
    ipv4: Vec<Written<Ipv4Addr>>,
    ipv6: Vec<Written<Ipv6Addr>>,
    destinations: usize,
    pieces: Vec<Piece>,
}

impl Growing {
    /// Adds a piece of an earlier load, whose first line is now `first_line`.
    fn take_over(&mut self, list: &ReadList, piece: &Piece, first_line: u32) {
        let shift = first_line.wrapping_sub(piece.first_line);
        let piece = Piece {
            first_line,
            ipv4: add_shifted(&mut self.ipv4, &list.ipv4[piece.ipv4.clone()], shift),
            ipv6: add_shifted(&mut self.ipv6, &list.ipv6[piece.ipv6.clone()], shift),
            ..*piece
        };
        self.destinations += piece.destinations;
        self.pieces.push(piece);
    }

    /// Reads a piece. A later load does not take it over if a line of it is bad.
    fn read(&mut self, piece: &str, hash: [u8; 32], reader: &mut PieceReader<'_>) {
        let counts = |list: &List| [list.bad.count(), list.left_out, list.with_options];
        let (first_line, before) = (reader.next_line(), counts(reader.so_far()));
        let (ipv4, ipv6) = reader.read(piece);
        let destinations = ipv4.len() + ipv6.len();
        let ipv4 = add(&mut self.ipv4, ipv4);
        let ipv6 = add(&mut self.ipv6, ipv6);
        self.destinations += destinations;
        let after = counts(reader.so_far());
        if before[0] == after[0] {
            self.pieces.push(Piece {
                hash,
                lines: reader.next_line() - first_line,
                first_line,
                ipv4,
                ipv6,
                destinations,
                left_out: after[1] - before[1],
                with_options: after[2] - before[2],
            });
        }
    }

    /// The whole list; `list` is what else there is to say about it.
    fn finish(self, list: &List) -> ReadList {
        let Self {
            mut ipv4,
            mut ipv6,
            destinations,
            mut pieces,
        } = self;
        ipv4.shrink_to_fit();
        ipv6.shrink_to_fit();
        pieces.shrink_to_fit();
        ReadList {
            kind: list.kind,
            ipv4: Arc::new(ipv4),
            ipv6: Arc::new(ipv6),
            how: list.how.clone(),
            destinations,
            left_out: list.left_out,
            with_options: list.with_options,
            bad: list.bad.count(),
            pieces,
        }
    }
}

/// Adds the networks of `intervals`. Returns the part of `all` that they are.
fn add<A: Address>(
    all: &mut Vec<Written<A>>,
    intervals: impl Iterator<Item = (Interval<A>, u32)>,
) -> Range<usize> {
    let start = all.len();
    all.extend(intervals.flat_map(|(interval, line)| Written::of(interval, line)));
    start..all.len()
}

/// Adds `written` with line numbers that are higher by `shift`. Returns the part of `all`
/// that they are.
fn add_shifted<A: Address>(
    all: &mut Vec<Written<A>>,
    written: &[Written<A>],
    shift: u32,
) -> Range<usize> {
    let start = all.len();
    all.extend(written.iter().map(|one| Written {
        line: one.line.wrapping_add(shift),
        ..*one
    }));
    start..all.len()
}
