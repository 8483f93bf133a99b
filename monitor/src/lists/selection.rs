//! Selects the entries of a list by score, AS number or country, and records which
//! keys were found.

use std::{collections::BTreeSet, fmt};

use super::{ColumnSelection, Country, Format, JsonPath, Locations};

/// A value by which the entries of a table are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The number of the autonomous system that announces a prefix.
    Asn(u32),
    /// The country that a list gives for a range.
    Country(Country),
}

impl fmt::Display for Key {
    /// Writes `AS24406` or `CN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asn(asn) => write!(f, "AS{asn}"),
            Self::Country(country) => country.fmt(f),
        }
    }
}

/// The entries of a list that a policy uses. The default includes all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selection {
    /// The minimum score. An entry with this score is included.
    pub min_score: Option<u32>,
    /// Includes the entries that have one of these keys. If empty, includes entries with
    /// any key or none.
    pub keys: BTreeSet<Key>,
    /// True if `192.0.2.1:443` means its address with every port. Otherwise it is an
    /// error.
    pub ignore_ports: bool,
    /// The columns of a CSV to read.
    pub columns: Option<ColumnSelection>,
    /// The path of the addresses in a JSON document.
    pub path: Option<JsonPath>,
    /// The countries of a table that names them by number.
    pub locations: Option<Locations>,
}

impl Selection {
    /// Returns the format that the selection needs.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        let csv = self.columns.as_ref().map(|_| Format::Csv);
        csv.or_else(|| self.path.as_ref().map(|_| Format::Json))
    }

    /// Returns the first AS number among the keys.
    pub(super) fn asn(&self) -> Option<u32> {
        self.keys.iter().find_map(|key| match key {
            Key::Asn(asn) => Some(*asn),
            Key::Country(_) => None,
        })
    }

    /// Returns the first country among the keys.
    pub(crate) fn country(&self) -> Option<Country> {
        self.keys.iter().find_map(|key| match key {
            Key::Asn(_) => None,
            Key::Country(country) => Some(*country),
        })
    }
}

/// Applies a selection to one list, and records the keys that were found.
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

    /// Returns true if the selection includes an entry with `key`, and records the key.
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

    /// Returns true if the selection includes an entry with this score.
    pub(super) fn takes_score(&self, score: u32) -> bool {
        self.selection.min_score.is_none_or(|least| score >= least)
    }

    /// Returns the keys of the selection that no entry had.
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
    fn one_of_several_keys_is_enough_and_missing_keys_are_reported() {
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
