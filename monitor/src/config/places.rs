//! Lines of the keys of a config file.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

/// Line, from 1, of each key of a YAML mapping, by its path, such as `store.keep`. The first
/// document only. Stops at the first error, which the reader of the values reports.
pub(super) fn lines_of_keys(text: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        let name = match &event {
            Event::Scalar(text, ..) => Some(text.as_ref()),
            Event::Alias(_) => None,
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                let is_mapping = matches!(event, Event::MappingStart(..));
                open.push(Open {
                    is_mapping,
                    key: None,
                });
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                None
            }
            Event::DocumentEnd => break,
            _ => continue,
        };
        let is_new_key = open
            .last()
            .is_some_and(|last| last.is_mapping && last.key.is_none());
        if !is_new_key {
            // A value is complete: the next scalar is a key.
            if let Some(last) = open.last_mut() {
                last.key = None;
            }
            continue;
        }
        if let Some(last) = open.last_mut() {
            last.key = Some(name.unwrap_or_default().to_owned());
        }
        if open.iter().all(|open| open.is_mapping) {
            let path: Vec<_> = open.iter().filter_map(|open| open.key.as_deref()).collect();
            lines.insert(path.join("."), span.start.line());
        }
    }
    lines
}

/// A mapping or sequence that is not complete.
struct Open {
    is_mapping: bool,
    /// The key whose value comes next.
    key: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_line() {
        let text = "# c\ninterface: [a, {b: c}]\nstore:\n  keep: 7d\n  size: 1GiB\nlan: {resolvers: [::1], dhcp: []}\nmode: auto\n";
        let lines = lines_of_keys(text);
        let expected = [
            ("interface", 2),
            ("store", 3),
            ("store.keep", 4),
            ("store.size", 5),
            ("lan", 6),
            ("lan.resolvers", 6),
            ("lan.dhcp", 6),
            ("mode", 7),
        ];
        assert_eq!(
            lines,
            expected.map(|(key, line)| (key.to_owned(), line)).into()
        );
        assert!(lines_of_keys("a: [b\n").contains_key("a"));
    }
}
