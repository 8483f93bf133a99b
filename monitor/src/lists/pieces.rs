//! Cuts the text of a list into pieces of some hundred lines, and reads them one by one.
//!
//! Where a piece ends depends only on the lines near its end. So a changed line changes the
//! piece that it is in, seldom the next one, and all other pieces stay the same. A load that
//! knows them from an earlier load reads only the others.

use std::{
    iter,
    net::{Ipv4Addr, Ipv6Addr},
    vec,
};

use super::{
    Format, Kind, Line, List, Reader, Selection, invalid::InvalidLine, lines::each_line, reader,
    selection::Chooser,
};
use crate::address::Interval;

/// The fewest bytes of a piece that is not the last. Few in tests, so that short lists have
/// several pieces.
const LEAST: usize = if cfg!(test) { 32 } else { 16 << 10 };

/// A piece of so many bytes ends with the next line.
const MOST: usize = 8 * LEAST;

/// One in so many lines may end a piece.
const LINES_PER_END: u64 = if cfg!(test) { 2 } else { 16 };

/// Reads the lines of one destination each that [`read`](super::read) would read together.
pub struct PieceReader<'a> {
    read: fn(&str, &Chooser<'_>) -> Result<Line, InvalidLine>,
    chooser: Chooser<'a>,
    list: List,
    /// Number of the next line, counted from 1.
    next: u32,
}

/// Destinations with their lines, in the order of the list.
type Lines<'a, A> = vec::Drain<'a, (Interval<A>, u32)>;

impl<'a> PieceReader<'a> {
    /// A reader at the first line. `None` if a line of this format may change how later
    /// lines are read.
    #[must_use]
    pub fn new(format: Format, selection: &'a Selection) -> Option<Self> {
        let Reader::Each(read) = reader(format) else {
            return None;
        };
        Some(Self {
            read,
            chooser: Chooser::new(selection),
            list: List::new(Kind::Lines(format)),
            next: 1,
        })
    }

    /// Number of the next line, counted from 1.
    #[must_use]
    pub fn next_line(&self) -> u32 {
        self.next
    }

    /// What was read so far, without the destinations.
    #[must_use]
    pub fn so_far(&self) -> &List {
        &self.list
    }

    /// Reads a piece of the list. Returns its destinations.
    pub fn read(&mut self, piece: &str) -> (Lines<'_, Ipv4Addr>, Lines<'_, Ipv6Addr>) {
        let Self {
            read,
            chooser,
            list,
            next,
        } = self;
        let first = *next;
        each_line(piece, first, list, |line, number, list| {
            list.add(read(line, chooser), number);
        });
        *next += u32::try_from(piece.lines().count()).unwrap_or(u32::MAX - first);
        (self.list.ipv4.drain(..), self.list.ipv6.drain(..))
    }

    /// Passes over `lines` lines. Of them, `left_out` are not selected, and `with_options`
    /// have options without a meaning.
    pub fn pass(&mut self, lines: u32, left_out: usize, with_options: usize) {
        self.next += lines;
        self.list.left_out += left_out;
        self.list.with_options += with_options;
    }

    /// All that was read, without the destinations.
    #[must_use]
    pub fn finish(mut self) -> List {
        self.list.conclude(&self.chooser);
        self.list
    }
}

/// Cuts `text` into pieces of whole lines.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    iter::from_fn(move || {
        let (piece, after) = rest.split_at(end_of_piece(rest));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Length of the first piece of `text`.
fn end_of_piece(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut end = LEAST;
    while let Some(line_end) = bytes
        .get(end..)
        .and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
    {
        end += line_end + 1;
        if end >= MOST || may_end(&bytes[..end]) {
            return end;
        }
    }
    bytes.len()
}

/// True if a piece may end behind `text`, which ends with a line: by chance, which the last
/// bytes decide.
fn may_end(text: &[u8]) -> bool {
    let hash = text.rchunks_exact(8).take(2).fold(0_u64, |hash, bytes| {
        let number = bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        // The odd number nearest to 2^64 divided by the golden ratio mixes all bits upwards.
        (hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    hash >> 32 & (LINES_PER_END - 1) == 0
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Write as _};

    use super::*;
    use crate::lists::read;

    fn lines(count: u32) -> String {
        let mut text = String::new();
        for number in 0..count {
            let address = Ipv4Addr::from(0x0100_0000 + number * 256);
            writeln!(text, "{address}/24").unwrap();
        }
        text
    }

    #[test]
    fn pieces_are_the_text_and_an_edit_changes_only_those_near_it() {
        let text = lines(1_000);
        let all: Vec<&str> = pieces(&text).collect();
        assert_eq!(all.concat(), text);
        assert!(all.len() > 20, "{}", all.len());
        assert!(all.iter().all(|piece| piece.ends_with('\n')));
        let before: BTreeSet<&str> = all.into_iter().collect();
        for (at, new) in [
            (0, "9.9.9.9\n"),
            (text.len() / 2, "x\n"),
            (text.len(), "1.1.1.1"),
        ] {
            let at = text[..at].rfind('\n').map_or(0, |end| end + 1);
            let changed = format!("{}{new}{}", &text[..at], &text[at..]);
            let others = pieces(&changed).filter(|piece| !before.contains(piece));
            assert!(others.count() <= 2);
        }
    }

    #[test]
    fn text_without_lines_and_equal_lines_are_cut_too() {
        for text in [String::new(), "x".repeat(3 * MOST), "8.8.8.8\n".repeat(500)] {
            let all: Vec<&str> = pieces(&text).collect();
            assert_eq!(all.concat(), text);
            let is_short = |piece: &&str| piece.len() <= MOST + 8 || !text.contains('\n');
            assert!(all.iter().all(is_short));
        }
    }

    #[test]
    fn pieces_are_read_as_the_whole_text() {
        let text = lines(100) + "nonsense\r\n\n192.0.2.1:443\n2001:db8::/32";
        let selection = Selection {
            ignore_ports: true,
            ..Selection::default()
        };
        let whole = read(&text, Format::Plain, &selection);
        let mut reader = PieceReader::new(Format::Plain, &selection).unwrap();
        let (mut ipv4, mut ipv6) = (vec![], vec![]);
        for piece in pieces(&text) {
            let (four, six) = reader.read(piece);
            ipv4.extend(four);
            ipv6.extend(six);
        }
        assert_eq!((ipv4, ipv6), (whole.ipv4, whole.ipv6));
        assert_eq!(reader.next_line(), 105);
        let rest = reader.finish();
        assert_eq!(rest.with_options, 1);
        let bad = [rest.bad, whole.bad].map(|bad| format!("{bad:?}"));
        assert_eq!(bad[0], bad[1]);
        let reads = Format::ALL.map(|format| PieceReader::new(format, &selection).is_some());
        assert_eq!(reads.iter().filter(|reads| **reads).count(), 4);
    }
}
