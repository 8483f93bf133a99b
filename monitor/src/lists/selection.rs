//! Selects the entries of a list by score, AS number or country, and records which
//! keys were found.

use std::{collections::BTreeSet, fmt};

use super::{
    ColumnSelection, Country, Format, InvalidLine, JsonPath, Kind, Line, Locations, sets::Sets,
};
use crate::quoted::quoted;

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
    /// The names of the sets to use. If empty, the list must have one set.
    pub sets: BTreeSet<String>,
}

impl Selection {
    /// Returns the format that the selection needs.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        let csv = self.columns.as_ref().map(|_| Format::Csv);
        csv.or_else(|| self.path.as_ref().map(|_| Format::Json))
    }

    /// Returns the first key of the selection that does not apply to a list of this kind,
    /// as it is written in a policy.
    #[must_use]
    pub fn foreign_key(&self, kind: Kind) -> Option<&'static str> {
        let Kind::Lines(format) = kind else {
            let keys = [
                (self.min_score.is_some(), "min_score"),
                (self.ignore_ports, "ports"),
                (self.columns.is_some(), "column"),
                (self.path.is_some(), "path"),
                (!self.sets.is_empty(), "set"),
            ];
            return keys.iter().find(|(is_given, _)| *is_given).map(|key| key.1);
        };
        let keys = [
            (
                self.min_score.is_some() && !format.has_scores(),
                "min_score",
            ),
            (
                self.country().is_some() && !format.has_countries(),
                "country",
            ),
            (self.asn().is_some() && !format.has_asns(), "asn"),
            (!self.sets.is_empty() && !format.has_sets(), "set"),
            (self.columns.is_some() && format != Format::Csv, "column"),
            (self.path.is_some() && format != Format::Json, "path"),
        ];
        keys.iter().find(|(is_given, _)| *is_given).map(|key| key.1)
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
    sets: Sets,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(selection: &'a Selection) -> Self {
        Self {
            selection,
            found: BTreeSet::new(),
            sets: Sets::default(),
        }
    }

    /// Counts an entry of the set `name` in line `line`. Returns true if the selection
    /// includes the set.
    pub(super) fn takes_set(&mut self, name: &str, line: u32) -> bool {
        self.sets.count(name, line);
        self.has_set(name)
    }

    /// Reads a command that removes entries, from the set `name` or from any. Nothing is
    /// removed if no entry stands before it.
    pub(super) fn removes(&self, name: Option<&str>, command: &str) -> Result<Line, InvalidLine> {
        if name.is_some_and(|name| !self.has_set(name)) {
            return Ok(Line::LeftOut);
        }
        if self.sets.has_entries(name) {
            let text = quoted(command.trim());
            return Err(InvalidLine::Removal { text });
        }
        Ok(Line::Nothing)
    }

    /// Returns the error, with its line, if the selection and the sets do not fit.
    pub(super) fn wrong_sets(&self) -> Option<(u32, InvalidLine)> {
        self.sets.error(&self.selection.sets)
    }

    fn has_set(&self, name: &str) -> bool {
        let wanted = &self.selection.sets;
        wanted.is_empty() || wanted.contains(name)
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
