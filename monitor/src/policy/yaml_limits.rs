//! Limits on the shape of a YAML text, checked before `serde_yaml` reads it.
//!
//! The run time of `serde_yaml` grows with the square of the nesting depth, and
//! each alias copies its anchor's node. So the depth is limited, and so is the
//! size of the text with all aliases replaced.

use std::{collections::HashMap, ops::Range};

use saphyr_parser::{Event, Parser, ScanError, Span};

/// Largest nesting depth of sequences and mappings. A policy file needs about
/// six.
const MAX_DEPTH: usize = 64;

/// Largest weight: bytes of scalars plus number of nodes, with all aliases
/// replaced.
const MAX_EXPANDED: u64 = 64 << 20;

/// Largest number of steps that `serde_yaml` may need for text that the event
/// parser cannot read. They take about a second.
const MAX_STEPS: usize = 1 << 31;

/// Why a YAML text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// The text is nested too deeply.
    #[error("this is nested more than {MAX_DEPTH} levels deep")]
    Depth,
    /// The text is too large with its aliases replaced.
    #[error("with its aliases (`*name`) replaced, the file is larger than {} MiB", MAX_EXPANDED >> 20)]
    Expanded,
    /// An alias stands within the node of its own anchor.
    #[error("this alias stands within its own anchor, so its value would have no end")]
    Recursive,
    /// The event parser refuses the text, and it may be too deeply nested to
    /// try `serde_yaml`.
    #[error("this is not valid YAML: {0}")]
    Invalid(String),
}

impl Excess {
    /// How to fix it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Depth => "close the brackets before this one, or indent less",
            Self::Recursive => "write the value out in place of the alias",
            Self::Expanded => "write the values out, or put the addresses into a list",
            Self::Invalid(_) => {
                "look at this line and the one above it: indentation, a missing `:` or `- `, an open quote or bracket"
            }
        }
    }
}

/// Checks the events of one text.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// For each open collection: its anchor, and the weight before it.
    open: Vec<(usize, u64)>,
    /// Weights of anchored nodes, by the parser's number of the anchor.
    anchors: HashMap<usize, u64>,
    weight: u64,
}

impl Limits {
    /// Processes the next event. Returns an error if the text exceeds a limit.
    pub(super) fn take(&mut self, event: &Event<'_>) -> Result<(), Excess> {
        match event {
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                self.open.push((*anchor, self.weight));
                self.add(1);
                if self.open.len() > MAX_DEPTH {
                    return Err(Excess::Depth);
                }
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((anchor, before)) = self.open.pop() {
                    self.name(anchor, before);
                }
            }
            Event::Scalar(text, _, anchor, _) => {
                let before = self.weight;
                self.add(text.len() as u64 + 1);
                self.name(*anchor, before);
            }
            Event::Alias(anchor) => {
                if *anchor != 0 && self.open.iter().any(|(open, _)| open == anchor) {
                    return Err(Excess::Recursive);
                }
                let weight = self.anchors.get(anchor).copied().unwrap_or(1);
                self.add(weight);
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        if self.weight > MAX_EXPANDED {
            return Err(Excess::Expanded);
        }
        Ok(())
    }

    fn add(&mut self, weight: u64) {
        self.weight = self.weight.saturating_add(weight);
    }

    /// Stores the weight of the node that began at weight `before` under its
    /// anchor. Anchor 0 means that there is none.
    fn name(&mut self, anchor: usize, before: u64) {
        if anchor != 0 {
            self.anchors.insert(anchor, self.weight - before);
        }
    }
}

/// Estimates the steps of `serde_yaml` for the text after `offset`, where the
/// event parser stopped. Each token costs one step for each bracket that may be
/// open. Each alias may copy the whole text.
pub(super) fn check_unread(text: &str, offset: usize, error: &ScanError) -> Result<(), Excess> {
    // The event parser stops by itself at 255 levels of brackets. Because it
    // reads ahead, it may stop before it emits the event of the level that
    // exceeds the limit.
    if error.info().contains("recursion limit") {
        return Err(Excess::Depth);
    }
    let rest = &text.as_bytes()[offset..];
    let count = |of: &[u8]| rest.iter().filter(|byte| of.contains(byte)).count();
    let steps = count(b"[{").saturating_mul(rest.len());
    let expanded = count(b"*").saturating_mul(text.len());
    if steps > MAX_STEPS || expanded as u64 > MAX_EXPANDED {
        return Err(Excess::Invalid(error.info().to_owned()));
    }
    Ok(())
}

/// Checks a whole text. The range of an error counts characters.
pub(crate) fn check(text: &str) -> Result<(), (Excess, Range<usize>)> {
    let characters = |span: Span| span.start.index()..span.end.index();
    let mut limits = Limits::default();
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => limits
                .take(&event)
                .map_err(|excess| (excess, characters(span)))?,
            Err(error) => {
                let at = error.marker().index();
                let offset = text.char_indices().nth(at).map_or(text.len(), |(at, _)| at);
                return check_unread(text, offset, &error).map_err(|excess| (excess, at..at));
            }
        }
    }
    Ok(())
}
