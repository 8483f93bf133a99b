//! What the last change of the policies changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use similar::{ChangeTag, TextDiff};

use crate::{
    report::StatedPolicy,
    store::{StatedPolicies, StoredGeneration},
};

/// The most lines of a difference.
const MOST_LINES: usize = 200;

/// The last change of the policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastChange {
    /// When the new policies came into force.
    pub at: Timestamp,
    /// Number of their generation.
    pub generation: u32,
    /// New policies, with their texts.
    pub added: Vec<(String, Vec<DiffLine>)>,
    /// Policies that are gone, with their texts.
    pub removed: Vec<(String, Vec<DiffLine>)>,
    /// Policies that differ, with the lines that do.
    pub changed: Vec<(String, Vec<DiffLine>)>,
    /// True if lines were left out.
    pub more: bool,
}

/// A line that was removed or added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffLine {
    /// True if the line is new.
    pub is_new: bool,
    /// The line.
    pub text: String,
}

/// Compares the rulesets of the last two generations that differ. `generations` are sorted by
/// begin. Returns `None` if there is one ruleset only, or if a text is missing.
#[must_use]
pub fn last_change(
    generations: &[StoredGeneration],
    texts: &[StatedPolicies],
) -> Option<LastChange> {
    let last = generations.last()?;
    let is_other = |generation: &&StoredGeneration| generation.ruleset != last.ruleset;
    let before = generations.iter().rev().find(is_other)?;
    let first = generations
        .iter()
        .rev()
        .take_while(|generation| generation.ruleset == last.ruleset)
        .last()?;
    let text = |ruleset: &[u8]| {
        // The store has the hash of a generation as the bytes of its text.
        let own = texts.iter().find(|text| text.hash.as_bytes() == ruleset)?;
        serde_json::from_str::<Vec<StatedPolicy>>(&own.policies).ok()
    };
    let mut change = compared(text(&before.ruleset)?, text(&last.ruleset)?);
    change.at = first.since;
    change.generation = first.number;
    Some(change)
}

fn compared(before: Vec<StatedPolicy>, after: Vec<StatedPolicy>) -> LastChange {
    let by_name = |policies: Vec<StatedPolicy>| -> BTreeMap<String, String> {
        let texts = policies.into_iter().map(|mut policy| {
            // A line number changes whenever a line is added before it.
            policy.source.clear();
            let name = std::mem::take(&mut policy.name);
            (name, shown(&policy))
        });
        texts.collect()
    };
    let (before, after) = (by_name(before), by_name(after));
    let mut change = LastChange::default();
    let mut room = MOST_LINES;
    for (name, text) in &before {
        match after.get(name) {
            Some(other) if other == text => {}
            Some(other) => {
                let lines = lines(text, other, &mut room, &mut change.more);
                change.changed.push((name.clone(), lines));
            }
            None => {
                let lines = lines(text, "", &mut room, &mut change.more);
                change.removed.push((name.clone(), lines));
            }
        }
    }
    for (name, text) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
        let lines = lines("", text, &mut room, &mut change.more);
        change.added.push((name.clone(), lines));
    }
    change
}

/// The text of a policy without empty values.
fn shown(policy: &StatedPolicy) -> String {
    let text = policy.text();
    let lines = text
        .lines()
        .filter(|line| !line.ends_with(": ''") && !line.ends_with(": []"));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

fn lines(before: &str, after: &str, room: &mut usize, more: &mut bool) -> Vec<DiffLine> {
    let difference = TextDiff::from_lines(before, after);
    let changes = difference.iter_all_changes();
    let mut lines: Vec<_> = changes
        .filter(|change| change.tag() != ChangeTag::Equal)
        .map(|change| DiffLine {
            is_new: change.tag() == ChangeTag::Insert,
            text: change.value().trim_end().to_owned(),
        })
        .collect();
    if lines.len() > *room {
        lines.truncate(*room);
        *more = true;
    }
    *room -= lines.len();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, action: &str, destinations: &[&str]) -> StatedPolicy {
        StatedPolicy {
            name: name.to_owned(),
            action: action.to_owned(),
            source: format!("p.yaml:{}", name.len()),
            destinations: destinations.iter().map(|&own| own.to_owned()).collect(),
            ..StatedPolicy::default()
        }
    }

    #[test]
    fn a_change_has_only_the_lines_that_differ() {
        let before = vec![
            policy("gone", "count", &["192.0.2.0/24"]),
            policy("same", "drop", &["198.51.100.0/24"]),
            policy("telemetry", "count", &["203.0.113.0/24", "203.0.112.0/24"]),
        ];
        let mut moved = policy("same", "drop", &["198.51.100.0/24"]);
        moved.source = "other.yaml:99".to_owned();
        let after = vec![
            moved,
            policy("telemetry", "drop", &["203.0.113.0/24", "203.0.114.0/24"]),
            policy("xnew", "allow", &["10.0.0.1"]),
        ];
        let change = compared(before, after);
        let names = |of: &[(String, Vec<DiffLine>)]| -> Vec<String> {
            of.iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(names(&change.added), ["xnew"]);
        assert_eq!(names(&change.removed), ["gone"]);
        assert_eq!(names(&change.changed), ["telemetry"]);
        let lines = change.changed[0].1.iter();
        let lines: Vec<_> = lines
            .map(|line| format!("{}{}", if line.is_new { '+' } else { '-' }, line.text))
            .collect();
        assert_eq!(
            lines,
            [
                "-action: count",
                "+action: drop",
                "-- 203.0.112.0/24",
                "+- 203.0.114.0/24"
            ]
        );
        assert!(!change.more);
    }

    #[test]
    fn a_long_change_is_cut_and_says_so() {
        let networks: Vec<String> = (0..300)
            .map(|n| format!("10.{}.{}.0/24", n / 256, n % 256))
            .collect();
        let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
        let change = compared(vec![], vec![policy("long", "count", &networks)]);
        assert_eq!(change.added[0].1.len(), MOST_LINES);
        assert!(change.more);
    }
}
