//! YAML text → values with their positions.
//!
//! The text is parsed twice. `serde_yaml` defines the values, but it keeps no
//! positions of valid values. `saphyr_parser` provides the positions, as a tree
//! of the same shape. Where the two trees differ, a value gets the position of
//! its nearest ancestor in both trees.

use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, Span};
use serde::Deserialize as _;
use serde_yaml::Value;

use super::{
    diagnostic::{Diagnostic, SourceFile},
    yaml_limits::{Excess, Limits, check_unread},
};

/// A parsed file: exactly one YAML document.
#[derive(Debug)]
pub(super) struct Document {
    value: Value,
    root: YamlPosition,
}

/// The position of a node, and its children in the order in which they are
/// written.
#[derive(Debug, Default)]
struct YamlPosition {
    span: Range<usize>,
    /// For a mapping: first key, first value, second key, and so on.
    children: Vec<Self>,
    text: Option<String>,
    kind: NodeKind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum NodeKind {
    #[default]
    Leaf,
    Sequence,
    Mapping,
}

/// A value of the document, and its position.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    pub(super) span: Range<usize>,
    spot: Option<&'a YamlPosition>,
}

impl<'a> Node<'a> {
    /// Keys and values of a mapping; `None` for other nodes.
    pub(super) fn entries(&self) -> Option<Vec<(Self, Self)>> {
        let Value::Mapping(mapping) = self.value else {
            return None;
        };
        let entries = mapping.iter().enumerate().map(|(index, (key, value))| {
            let key = self.child(key, 2 * index, NodeKind::Mapping);
            let value = self.child(value, 2 * index + 1, NodeKind::Mapping);
            (key, value)
        });
        Some(entries.collect())
    }

    /// Elements of a sequence; `None` for other nodes.
    pub(super) fn elements(&self) -> Option<Vec<Self>> {
        let Value::Sequence(sequence) = self.value else {
            return None;
        };
        let elements = sequence.iter().enumerate();
        Some(
            elements
                .map(|(index, value)| self.child(value, index, NodeKind::Sequence))
                .collect(),
        )
    }

    fn child(&self, value: &'a Value, index: usize, kind: NodeKind) -> Self {
        let spot = self
            .spot
            .filter(|spot| spot.kind == kind)
            .and_then(|spot| spot.children.get(index));
        Self {
            value,
            span: spot.map_or_else(|| self.span.clone(), |spot| spot.span.clone()),
            spot,
        }
    }
}

impl Document {
    /// Parses `file`. A syntax error is the only error reported, because the
    /// text after it cannot be interpreted. `key` is the top-level key that
    /// such a file must have, for messages.
    pub(super) fn parse(file: &SourceFile, key: &str) -> Result<Self, Box<Diagnostic>> {
        let positions = Positions::read(file.text());
        if let Some((excess, span)) = positions.excess {
            let place = file.place(span);
            let error = Diagnostic::error(place, excess.to_string(), excess.help());
            return Err(Box::new(error));
        }
        let mut documents = serde_yaml::Deserializer::from_str(file.text());
        let empty = || {
            Box::new(Diagnostic::error(
                file.place(0..0),
                "the file is empty",
                format!("write `version: 1` and `{key}:`, or remove the file"),
            ))
        };
        let first = documents.next().ok_or_else(empty)?;
        let value = Value::deserialize(first).map_err(|error| syntax(file, &positions, &error))?;
        if value.is_null() {
            return Err(empty());
        }
        if documents.next().is_some() {
            return Err(second_document(file, &positions));
        }
        Ok(Self {
            value,
            root: positions.root.unwrap_or_default(),
        })
    }

    pub(super) fn root(&self) -> Node<'_> {
        Node {
            value: &self.value,
            span: self.root.span.clone(),
            spot: Some(&self.root),
        }
    }
}

fn second_document(file: &SourceFile, positions: &Positions) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(
        file.place(positions.second_document.clone().unwrap_or_default()),
        "a second YAML document begins here: a policy file holds one",
        "put what follows into a file of its own, or remove the line `---`",
    ))
}

fn syntax(file: &SourceFile, positions: &Positions, error: &serde_yaml::Error) -> Box<Diagnostic> {
    let twice = positions
        .root
        .as_ref()
        .and_then(YamlPosition::duplicate_key);
    if let Some((first, second)) = twice {
        let key = &file.text()[second.clone()];
        let error = Diagnostic::error(
            file.place(second),
            format!("the key `{key}` is written twice in one mapping"),
            "keep one of the two; a second policy begins with `- ` at the start of its first line",
        )
        .with_related(file.place(first), "it is written here first");
        return Box::new(error);
    }
    let offset = error.location().map_or(0, |location| {
        file.offset_of(location.line(), location.column())
    });
    if let Some((message, help)) = alias_error(file, offset, error) {
        return Box::new(Diagnostic::error(file.place(offset..offset), message, help));
    }
    let line = file.text()[..offset]
        .rsplit('\n')
        .next()
        .unwrap_or_default();
    let tab = line.trim().is_empty()
        && file.text()[line_start(file, offset)..]
            .trim_start_matches(' ')
            .starts_with('\t');
    let help = if tab {
        "YAML is indented with spaces: put spaces in place of the tab"
    } else {
        "look at this line and the one above it: indentation, a missing `:` or `- `, an open quote or bracket"
    };
    let end = file.text()[offset..]
        .chars()
        .next()
        .map_or(0, char::len_utf8);
    Box::new(Diagnostic::error(
        file.place(offset..offset + end),
        format!("this is not valid YAML: {error}"),
        help,
    ))
}

/// Returns message and help of an error about an alias.
fn alias_error(
    file: &SourceFile,
    offset: usize,
    error: &serde_yaml::Error,
) -> Option<(String, &'static str)> {
    let error = error.to_string();
    if error.contains("unknown anchor") {
        let rest = &file.text()[offset..];
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        let name = rest.strip_prefix('*').map_or("", |rest| {
            &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]
        });
        let message = format!("no anchor `&{name}` stands before this alias in the file");
        let help = "write the anchor before the value that is meant, above this line";
        return Some((message, help));
    }
    let help = "write the values out, or put the addresses into a list";
    if error.contains("repetition limit") {
        let message = "the aliases (`*name`) of this file repeat too many values";
        return Some((message.to_owned(), help));
    }
    if error.contains("recursion limit") {
        let message = "this value, with its aliases (`*name`) replaced, is nested too deeply";
        return Some((message.to_owned(), help));
    }
    None
}

fn line_start(file: &SourceFile, offset: usize) -> usize {
    file.text()[..offset].rfind('\n').map_or(0, |at| at + 1)
}

impl YamlPosition {
    /// The places of two keys with the same text in one mapping, if there are
    /// any.
    fn duplicate_key(&self) -> Option<(Range<usize>, Range<usize>)> {
        let keys = || {
            self.children
                .iter()
                .step_by(2)
                .filter(|key| key.text.is_some())
        };
        if self.kind == NodeKind::Mapping {
            let mut seen = std::collections::HashMap::new();
            for key in keys() {
                if let Some(first) = seen.insert(&key.text, key.span.clone()) {
                    return Some((first, key.span.clone()));
                }
            }
        }
        self.children.iter().find_map(Self::duplicate_key)
    }
}

/// The result of the second parser.
#[derive(Debug, Default)]
struct Positions {
    root: Option<YamlPosition>,
    second_document: Option<Range<usize>>,
    /// The limit that the text exceeds, and where. The text must not be parsed
    /// by `serde_yaml` then.
    excess: Option<(Excess, Range<usize>)>,
}

impl Positions {
    /// Reads until the first error. Nodes that are still open then are kept.
    fn read(text: &str) -> Self {
        let offsets = Offsets::new(text);
        let mut positions = Self::default();
        let mut open: Vec<YamlPosition> = Vec::new();
        let mut limits = Limits::default();
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    let at = offsets.byte(*error.marker());
                    let checked = check_unread(text, at, &error);
                    positions.excess = checked.err().map(|excess| (excess, at..at));
                    break;
                }
            };
            if let Err(excess) = limits.take(&event) {
                positions.excess = Some((excess, offsets.span(span)));
                break;
            }
            if matches!(event, Event::DocumentStart(_)) && positions.root.is_some() {
                positions.second_document = Some(offsets.span(span));
                break;
            }
            if let Some(spot) = YamlPosition::of_event(event, span, &offsets, &mut open) {
                positions.attach(spot, &mut open);
            }
        }
        while let Some(spot) = open.pop() {
            positions.attach(spot, &mut open);
        }
        positions
    }

    fn attach(&mut self, spot: YamlPosition, open: &mut [YamlPosition]) {
        match open.last_mut() {
            Some(parent) => parent.children.push(spot),
            None => self.root = Some(spot),
        }
    }
}

impl YamlPosition {
    /// Returns the node that `event` completes. If `event` begins a node, adds
    /// it to `open`.
    fn of_event(
        event: Event<'_>,
        span: Span,
        offsets: &Offsets<'_>,
        open: &mut Vec<Self>,
    ) -> Option<Self> {
        match event {
            Event::SequenceStart(..) => {
                open.push(Self::open(NodeKind::Sequence, offsets.span(span)));
            }
            Event::MappingStart(..) => open.push(Self::open(NodeKind::Mapping, offsets.span(span))),
            Event::SequenceEnd | Event::MappingEnd => {
                return open.pop().map(|spot| spot.close(offsets.span(span)));
            }
            Event::Scalar(text, ..) => {
                return Some(Self::leaf(offsets.scalar(span), Some(text.into_owned())));
            }
            Event::Alias(_) => return Some(Self::leaf(offsets.span(span), None)),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        None
    }

    fn open(kind: NodeKind, span: Range<usize>) -> Self {
        Self {
            span,
            kind,
            ..Self::default()
        }
    }

    fn leaf(span: Range<usize>, text: Option<String>) -> Self {
        Self {
            span,
            text,
            ..Self::default()
        }
    }

    /// Sets the end of a collection: the closing bracket in flow style, or the
    /// end of the last child in block style.
    fn close(mut self, end: Range<usize>) -> Self {
        let last = self
            .children
            .last()
            .map_or(self.span.end, |child| child.span.end);
        let bracket = if end.is_empty() { last } else { end.end };
        self.span.end = bracket.max(last);
        self
    }
}

/// Converts character offsets to byte offsets.
struct Offsets<'a> {
    text: &'a str,
    /// Byte offset of each character; `None` if the text is ASCII.
    characters: Option<Vec<usize>>,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        let characters = || text.char_indices().map(|(offset, _)| offset).collect();
        Self {
            characters: (!text.is_ascii()).then(characters),
            text,
        }
    }

    fn byte(&self, marker: Marker) -> usize {
        let index = marker.index();
        match &self.characters {
            None => index.min(self.text.len()),
            Some(offsets) => offsets.get(index).copied().unwrap_or(self.text.len()),
        }
    }

    fn span(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start);
        start..self.byte(span.end).max(start)
    }

    /// The range of a scalar. For an empty scalar, the range of the `-` or `:`
    /// before it: the parser reports the position of the next token instead.
    fn scalar(&self, span: Span) -> Range<usize> {
        let span = self.span(span);
        if !span.is_empty() {
            return span;
        }
        let before = self.text[..span.start].trim_end().len();
        before.saturating_sub(1)..before
    }
}
