//! Reads the addresses of a JSON document, or of lines each of which is a document.
//!
//! A path says where the addresses stand. Without one, the document must be known.

mod documents;
mod path;
mod reports;
mod select;
mod shape;
mod walk;

pub use path::{InvalidJsonPath, JsonPath};

use self::{
    documents::{Document, document},
    select::{Chosen, Selector},
    shape::{Found, Shape},
};
use super::{
    InvalidLine, List,
    describe::{Description, families},
    selection::Chooser,
};

/// Maximum estimated memory of a document that is read by a path with more than names
/// and `*`, in bytes.
const MAX_WEIGHT: usize = 96 * 1024 * 1024;

/// What a JSON text is.
#[derive(Debug)]
pub(super) enum Seen {
    /// A document that can be read in one way.
    Known,
    /// A document with addresses at these paths, possibly none.
    Unknown(Description),
    /// The text is not JSON. The error names its line, counted from 1.
    Damaged(serde_json::Error),
}

/// Recognises the document in `text`.
pub(super) fn recognise(text: &str) -> Seen {
    let mut shape = Shape::new();
    let mut damaged = None;
    each_document(text, |document, line| {
        if let Err(error) = walk::walk(document, line, &mut shape) {
            damaged.get_or_insert(error);
        }
    });
    if let Some(error) = damaged {
        return Seen::Damaged(error);
    }
    let found = shape.found();
    match document(&shape) {
        Some(_) => Seen::Known,
        None => Seen::Unknown(describe(&found, shape.is_cut)),
    }
}

/// Reads `text` by the path of the selection, or as the known document that it is.
/// Returns how it was read.
pub(super) fn read(text: &str, chooser: &mut Chooser<'_>, list: &mut List) -> Option<String> {
    let (selector, how) = match chooser.selection.path.as_ref() {
        Some(path) => (Selector::of(path), path.to_string()),
        None => match known(text) {
            Ok(known) => (Selector::of_document(known), how(known)),
            Err(error) => {
                list.add(Err(error), 1);
                return None;
            }
        },
    };
    let is_lines = is_lines(text);
    each_document(text, |document, line| {
        let mut chosen = Chosen { chooser, list };
        let Err(error) = selector.read(document, line, &mut chosen) else {
            return;
        };
        if !is_lines {
            // A part of a document is not used: its end may be missing.
            forget(list);
        }
        let line = error_line(&error, line);
        list.add(Err(error), line);
    });
    Some(how)
}

fn how(known: Document) -> String {
    format!("{}: {}", known.name, known.paths.join(", "))
}

fn known(text: &str) -> Result<Document, InvalidLine> {
    let mut shape = Shape::new();
    let mut result = Ok(());
    each_document(text, |document, line| {
        if result.is_ok() {
            result = walk::walk(document, line, &mut shape);
        }
    });
    result.map_err(InvalidLine::Json)?;
    document(&shape).ok_or(InvalidLine::NoPath)
}

fn forget(list: &mut List) {
    list.ipv4.clear();
    list.ipv6.clear();
    list.left_out = 0;
    list.with_options = 0;
}

fn error_line(error: &InvalidLine, line: u32) -> u32 {
    match error {
        InvalidLine::Json(error) => {
            let before = u32::try_from(error.line()).unwrap_or(u32::MAX);
            line.saturating_add(before.saturating_sub(1))
        }
        _ => line,
    }
}

/// Calls `each` with every document in `text` and the number of its first line.
fn each_document<'a>(text: &'a str, mut each: impl FnMut(&'a str, u32)) {
    if !is_lines(text) {
        each(text, 1);
        return;
    }
    for (line, number) in text.lines().zip(1_u32..) {
        if !line.trim().is_empty() {
            each(line, number);
        }
    }
}

/// Returns true if the first line is a whole document, and another one follows.
fn is_lines(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
        return false;
    };
    let is_whole = |line: &str| serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
    second.trim_start().starts_with(['{', '[', '"']) && is_whole(first)
}

/// Describes a document that is not known.
fn describe(found: &[Found], is_cut: bool) -> Description {
    let mut seen = "this is a JSON document".to_owned();
    let shown = found.iter().take(8).map(|found| {
        let path = crate::quoted::quoted(&found.path);
        format!("{} at `{path}`", families(found.ipv4, found.ipv6))
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() {
        seen.push_str(" without an address at any path");
    } else {
        seen.push_str(" with ");
        seen.push_str(&shown.join(", "));
    }
    if found.len() > 8 || is_cut {
        seen.push_str(", and others");
    }
    // The path with the most addresses comes first.
    let mut paths: Vec<&Found> = found.iter().filter(|found| !found.is_part).collect();
    paths.sort_by_key(|found| std::cmp::Reverse(found.ipv4 + found.ipv6));
    if paths.len() < found.len() {
        seen.push_str("; some are the ends of ranges or have their length beside them");
    }
    let keys = paths.iter().take(3).filter(|found| found.path.len() <= 120);
    let keys = keys.map(|found| format!("path: '{}'", found.path.replace('\'', "''")));
    Description {
        seen,
        keys: keys.collect(),
    }
}

/// Returns the estimated memory of the values in `text` and of their places, from above.
fn weight(text: &str) -> usize {
    let (mut depth, mut deepest, mut values, mut memory) = (0_usize, 1, 1_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
                values += 1;
                // An object takes a node of a tree.
                memory += if byte == b'{' { 704 } else { 32 };
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            // Each further member takes at most half of a node.
            b',' => {
                values += 1;
                memory += 128;
            }
            _ => memory += 3,
        }
    }
    // The parser refuses deeper documents.
    let place = 48 * deepest.min(128);
    memory.saturating_add(values.saturating_mul(place))
}

#[cfg(test)]
mod tests;
