//! JSONPath (RFC 9535): the text that a policy gives, and the places that it selects.

use std::{collections::HashSet, fmt, str::FromStr};

use serde_json_path::PathElement;

/// A valid JSONPath. Compared by its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonPath(String);

/// A text is not a JSONPath, or its evaluation could take too much time and memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this JSONPath (RFC 9535) cannot be used: {why} (character {position})")]
pub struct InvalidJsonPath {
    why: String,
    /// Position of the error, counted from 1.
    position: usize,
}

/// Maximum length of a path in bytes.
const MAX_PATH: usize = 1024;

impl FromStr for JsonPath {
    type Err = InvalidJsonPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_PATH {
            let why = format!("it has more than {MAX_PATH} bytes");
            return Err(InvalidJsonPath {
                why,
                position: MAX_PATH,
            });
        }
        match serde_json_path::JsonPath::parse(text) {
            Ok(_) => match Cost::of(text).excess() {
                None => Ok(Self(text.to_owned())),
                Some((why, position)) => Err(InvalidJsonPath {
                    why: why.to_owned(),
                    position,
                }),
            },
            Err(error) => Err(InvalidJsonPath {
                why: crate::quoted::quoted(error.message()),
                position: error.position(),
            }),
        }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Maximum number of times that a path may select one value.
const MAX_RESULTS: usize = 4;

/// What makes the evaluation of a path expensive.
#[derive(Debug)]
struct Cost {
    /// Position of the second `..`, counted from 1.
    second_descent: Option<usize>,
    /// Position of a `..` or `$` within a filter.
    within_filter: Option<usize>,
    /// Product of the numbers of selectors in each pair of brackets.
    results: usize,
    /// Number of `..` so far.
    descents: usize,
    /// Number of open brackets and parentheses.
    depth: usize,
    /// The depth at which the open filter began.
    filter: Option<usize>,
    /// Number of selectors in the open brackets.
    selectors: usize,
}

impl Cost {
    /// Reads a valid path.
    fn of(text: &str) -> Self {
        let mut cost = Self {
            second_descent: None,
            within_filter: None,
            results: 1,
            descents: 0,
            depth: 0,
            filter: None,
            selectors: 1,
        };
        let (mut quote, mut before) = (None, ' ');
        for (position, c) in (1..).zip(text.chars()) {
            match quote {
                Some(mark) if mark == c && before != '\\' => quote = None,
                Some(_) => {}
                None if matches!(c, '\'' | '"') => quote = Some(c),
                None => cost.read(c, before, position),
            }
            // The second of two backslashes does not escape what follows it.
            before = if c == '\\' && before == '\\' { ' ' } else { c };
        }
        cost
    }

    /// Reads a character that is not in quotation marks.
    fn read(&mut self, c: char, before: char, position: usize) {
        match c {
            '[' | '(' => self.depth += 1,
            ']' | ')' => {
                self.depth = self.depth.saturating_sub(1);
                self.filter = self.filter.filter(|opened| *opened <= self.depth);
                if self.depth == 0 {
                    self.results = self.results.saturating_mul(self.selectors);
                    self.selectors = 1;
                }
            }
            '?' => self.filter = self.filter.or(Some(self.depth)),
            ',' if self.depth == 1 => {
                self.selectors += 1;
                self.filter = None;
            }
            '$' if self.filter.is_some() => self.within_filter = Some(position),
            '.' if before == '.' => {
                self.descents += 1;
                if self.filter.is_some() {
                    self.within_filter = Some(position);
                } else if self.descents > 1 {
                    self.second_descent = Some(position);
                }
            }
            _ => {}
        }
    }

    /// Returns the reason and the position of what is too expensive.
    fn excess(&self) -> Option<(&'static str, usize)> {
        if let Some(position) = self.within_filter {
            return Some(("a filter may have neither `..` nor `$`", position));
        }
        if let Some(position) = self.second_descent {
            return Some(("it may have one `..` only", position));
        }
        let why = "its brackets may select a value at most 4 times; write fewer names or numbers";
        (self.results > MAX_RESULTS).then_some((why, 1))
    }
}

/// A step of a path that needs nothing but the walk: `.name`, `['name']`, `[*]`, `.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Every,
}

impl JsonPath {
    /// Returns the steps if the path has only names and `*`.
    pub(super) fn steps(&self) -> Option<Vec<Step>> {
        let mut rest = self.0.trim().strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest)?;
            steps.push(step);
            rest = after;
        }
        Some(steps)
    }

    /// Returns how many times the path may select one value.
    pub(super) fn most_results(&self) -> usize {
        Cost::of(&self.0).results
    }

    /// Returns the places in `value` that the path selects.
    pub(super) fn places(&self, value: &serde_json::Value) -> HashSet<Vec<Place>> {
        // The text was parsed when the path was made.
        let Ok(path) = serde_json_path::JsonPath::parse(&self.0) else {
            return HashSet::new();
        };
        let found = path.query_located(value);
        let each = found.locations().map(|location| {
            let place = |element: &PathElement<'_>| match element {
                PathElement::Name(name) => Place::Name((*name).to_owned()),
                PathElement::Index(index) => Place::Index(*index),
            };
            location.iter().map(place).collect()
        });
        each.collect()
    }
}

/// One part of the place of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Name(String),
    Index(usize),
}

/// Splits the first step off `rest`.
fn step(rest: &str) -> Option<(Step, &str)> {
    for every in ["[*]", ".*"] {
        if let Some(after) = rest.strip_prefix(every) {
            return Some((Step::Every, after));
        }
    }
    for (begin, end) in [("['", "']"), ("[\"", "\"]")] {
        if let Some(after) = rest.strip_prefix(begin) {
            let (name, after) = after.split_once(end)?;
            let is_plain = !name.contains(['\\', '\'', '"']);
            return is_plain.then(|| (Step::Name(name.to_owned()), after));
        }
    }
    let name = rest.strip_prefix('.')?;
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (name, after) = name.split_at(end);
    let is_plain = |c: char| c.is_alphanumeric() || c == '_';
    let is_name = !name.is_empty() && name.chars().all(is_plain);
    is_name.then(|| (Step::Name(name.to_owned()), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_paths_are_split_and_others_are_left_to_the_query() {
        let steps = |text: &str| text.parse::<JsonPath>().unwrap().steps();
        let name = |name: &str| Step::Name(name.to_owned());
        assert_eq!(
            steps("$.a[*]['b-c'].*"),
            Some(vec![name("a"), Step::Every, name("b-c"), Step::Every])
        );
        assert_eq!(steps("$"), Some(vec![]));
        for text in [
            "$..a",
            "$.a[0]",
            "$.a[?@.x=='y'].b",
            "$.a[1:2]",
            "$['a','b']",
        ] {
            assert_eq!(steps(text), None, "{text}");
        }
        for text in ["", "a.b", "$.a[", "$[?", "$.a b"] {
            assert!(text.parse::<JsonPath>().is_err(), "{text}");
        }
    }

    #[test]
    fn paths_that_could_select_without_bound_are_refused() {
        for (text, why) in [
            ("$..a..a", "one `..` only"),
            ("$..a..a..a", "one `..` only"),
            ("$.r[?count($..*)>1].ip", "a filter may have neither"),
            ("$.r[?count(@..*)>1].ip", "a filter may have neither"),
            ("$.r[?@.a[?@..b]].ip", "a filter may have neither"),
            ("$[0,0,0][0,0,0]", "at most 4 times"),
            ("$['a','a','a','a','a']", "at most 4 times"),
            ("$[*,*,*,*,*].a", "at most 4 times"),
        ] {
            let error = text.parse::<JsonPath>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        for text in [
            "$..a",
            "$['a','b'].c",
            "$.r[?@.kind == '..$'].ip",
            "$['a..b..c'].d",
            "$.r[?@.a == 'x,y' && @.b == 1].ip",
            "$['\\\\']..a",
        ] {
            assert!(text.parse::<JsonPath>().is_ok(), "{text}");
        }
    }
}
