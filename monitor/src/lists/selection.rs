//! What is asked of a list, and what of that was found in it.

use std::{collections::BTreeSet, fmt};

use super::Country;

/// What the entries of a table are selected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The number of the autonomous system that announces a prefix.
    Asn(u32),
    /// The country that a list gives for a range.
    Country(Country),
}

impl fmt::Display for Key {
    /// `AS24406` or `CN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asn(asn) => write!(f, "AS{asn}"),
            Self::Country(country) => country.fmt(f),
        }
    }
}

/// Which of a list's entries are asked for; all of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selection {
    /// The least score, itself included.
    pub min_score: Option<u32>,
    /// Any of them is taken; none: whatever the key.
    pub keys: BTreeSet<Key>,
}

impl Selection {
    /// The first number of an autonomous system that is asked for.
    pub(super) fn asn(&self) -> Option<u32> {
        self.keys.iter().find_map(|key| match key {
            Key::Asn(asn) => Some(*asn),
            Key::Country(_) => None,
        })
    }

    /// The first country that is asked for.
    pub(super) fn country(&self) -> Option<Country> {
        self.keys.iter().find_map(|key| match key {
            Key::Asn(_) => None,
            Key::Country(country) => Some(*country),
        })
    }
}

/// A selection at work on one list.
#[derive(Debug)]
pub(super) struct Chooser<'a> {
    pub(super) selection: &'a Selection,
    found: BTreeSet<Key>,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(selection: &'a Selection) -> Self {
        Self {
            selection,
            found: BTreeSet::new(),
        }
    }

    /// Whether an entry with `key` is asked for.
    pub(super) fn takes(&mut self, key: Option<Key>) -> bool {
        let keys = &self.selection.keys;
        if keys.is_empty() {
            return true;
        }
        let Some(key) = key.filter(|key| keys.contains(key)) else {
            return false;
        };
        self.found.insert(key);
        true
    }

    /// Whether an entry with this score is asked for.
    pub(super) fn takes_score(&self, score: u32) -> bool {
        self.selection.min_score.is_none_or(|least| score >= least)
    }

    /// What is asked for and was not found.
    pub(super) fn missing(&self) -> Vec<Key> {
        self.selection
            .keys
            .difference(&self.found)
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_keys_is_enough_and_what_was_not_found_is_known() {
        let selection = Selection {
            keys: [24406, 24409, 64500].map(Key::Asn).into(),
            ..Selection::default()
        };
        let mut chooser = Chooser::new(&selection);
        assert!(chooser.takes(Some(Key::Asn(24409))));
        assert!(!chooser.takes(Some(Key::Asn(13335))));
        assert!(!chooser.takes(None));
        assert_eq!(chooser.missing(), [Key::Asn(24406), Key::Asn(64500)]);
        let all = Selection::default();
        let mut chooser = Chooser::new(&all);
        assert!(chooser.takes(None));
        assert_eq!(chooser.missing(), []);
    }
}
