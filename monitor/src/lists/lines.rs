//! The lines of a text, for readers of forms whose entries span lines.

use super::{InvalidLine, List, MAX_LINE};

/// Calls `each` with every line of `text` and its number, counted from `first`. A line of
/// more than [`MAX_LINE`] bytes becomes a bad line of `list` instead.
pub(super) fn each_line<'a>(
    text: &'a str,
    first: u32,
    list: &mut List,
    mut each: impl FnMut(&'a str, u32, &mut List),
) {
    for (line, number) in text.lines().zip(first..) {
        if line.len() > MAX_LINE {
            list.add(Err(InvalidLine::TooLong { bytes: line.len() }), number);
        } else {
            each(line, number, list);
        }
    }
}
