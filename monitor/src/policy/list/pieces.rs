//! A list that changed is read in pieces. A load takes over the pieces that an earlier load
//! read, and reads only the others.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::known::ReadList;
use crate::{
    address::{Address, Interval},
    at_once::at_once,
    lists::{Format, List, PieceReader, Selection, pieces},
    policy::{destinations::Written, lines::Lines},
};

/// A piece has at least about so many lines.
const LINES_OF_A_PIECE: usize = 1_000;

/// Consecutive lines of a list, all of which could be read.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// BLAKE3 hash of the lines.
    hash: [u8; 32],
    /// Number of lines.
    lines: u32,
    /// The IPv4 networks in these lines, if there are any.
    ipv4: Option<Lines<Ipv4Addr>>,
    /// The IPv6 networks in these lines, if there are any.
    ipv6: Option<Lines<Ipv6Addr>>,
    destinations: usize,
    left_out: usize,
    with_options: usize,
}

/// The pieces of lists that are all read in the same way, by their hash.
#[derive(Default)]
pub(super) struct KnownPieces<'a>(HashMap<[u8; 32], &'a Piece>);

impl<'a> FromIterator<&'a ReadList> for KnownPieces<'a> {
    fn from_iter<T: IntoIterator<Item = &'a ReadList>>(lists: T) -> Self {
        let pieces = lists.into_iter().flat_map(|list| &list.pieces);
        Self(pieces.map(|piece| (piece.hash, piece)).collect())
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
    let pieces: Vec<&str> = pieces(text).collect();
    for (piece, hash) in pieces.iter().zip(hashes(&pieces)) {
        match known.0.get(&hash) {
            Some(piece) => {
                growing.take_over(piece, reader.next_line() - 1);
                reader.pass(piece.lines, piece.left_out, piece.with_options);
            }
            None => growing.read(piece, hash, &mut reader),
        }
    }
    let list = reader.finish();
    Some((growing.finish(&list), list))
}

/// BLAKE3 hash of each piece.
fn hashes(pieces: &[&str]) -> impl Iterator<Item = [u8; 32]> {
    let of = |pieces: &[&str]| -> Vec<[u8; 32]> {
        let each = pieces.iter();
        each.map(|piece| *blake3::hash(piece.as_bytes()).as_bytes())
            .collect()
    };
    let (one, other) = pieces.split_at(pieces.len() / 2);
    let lines = pieces.len() * LINES_OF_A_PIECE;
    let (one, other) = at_once(lines, || of(one), || of(other));
    one.into_iter().chain(other)
}

/// The destinations of the pieces so far.
#[derive(Default)]
struct Growing {
    ipv4: Vec<Lines<Ipv4Addr>>,
    ipv6: Vec<Lines<Ipv6Addr>>,
    destinations: usize,
    pieces: Vec<Piece>,
}

impl Growing {
    /// Adds a piece of an earlier load. It is now behind `before` lines.
    fn take_over(&mut self, piece: &Piece, before: u32) {
        self.ipv4
            .extend(piece.ipv4.as_ref().map(|lines| lines.behind(before)));
        self.ipv6
            .extend(piece.ipv6.as_ref().map(|lines| lines.behind(before)));
        self.destinations += piece.destinations;
        self.pieces.push(piece.clone());
    }

    /// Reads a piece. A later load does not take it over if a line of it is bad.
    fn read(&mut self, piece: &str, hash: [u8; 32], reader: &mut PieceReader<'_>) {
        let counts = |list: &List| [list.bad.count(), list.left_out, list.with_options];
        let (first_line, before) = (reader.next_line(), counts(reader.so_far()));
        let (ipv4, ipv6) = reader.read(piece);
        let destinations = ipv4.len() + ipv6.len();
        let ipv4 = lines(ipv4, first_line - 1);
        let ipv6 = lines(ipv6, first_line - 1);
        self.ipv4.extend(ipv4.clone());
        self.ipv6.extend(ipv6.clone());
        self.destinations += destinations;
        let after = counts(reader.so_far());
        if before[0] == after[0] {
            self.pieces.push(Piece {
                hash,
                lines: reader.next_line() - first_line,
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
            ipv4,
            ipv6,
            how: list.how.clone(),
            destinations,
            left_out: list.left_out,
            with_options: list.with_options,
            bad: list.bad.count(),
            pieces,
        }
    }
}

/// The networks of `intervals`, whose lines are behind `before` others.
fn lines<A: Address>(
    intervals: impl Iterator<Item = (Interval<A>, u32)>,
    before: u32,
) -> Option<Lines<A>> {
    let written = intervals.flat_map(|(interval, line)| Written::of(interval, line - before));
    Lines::new(written.collect(), before)
}
