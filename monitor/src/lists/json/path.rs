//! JSONPath (RFC 9535): the text that a policy gives, and the places that it selects.

use std::{collections::HashSet, fmt, str::FromStr};

use serde_json_path::PathElement;

/// A valid JSONPath. Compared by its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonPath(String);

/// A text is not a JSONPath.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a JSONPath (RFC 9535): {why} (character {position})")]
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
            Ok(_) => Ok(Self(text.to_owned())),
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
}
