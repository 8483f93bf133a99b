//! The named sets of a list, such as the sets of nftables and the prefix lists of routers.
//! A file may have a set of addresses to block and another of addresses to allow, so a list
//! is one set unless the policy names more.

use std::collections::{BTreeMap, BTreeSet};

use super::{InvalidLine, by_column::yaml_word};
use crate::quoted::quoted;

/// Maximum number of names that are stored. More are counted.
const MAX_NAMES: usize = 64;

/// Number of names that an error shows.
const SHOWN: usize = 8;

/// The sets of a list that were seen so far.
#[derive(Debug, Default)]
pub(super) struct Sets {
    /// For each name: the number of entries, and the line of the first.
    entries: BTreeMap<String, (usize, u32)>,
    /// Number of entries in sets beyond the limit.
    others: usize,
}

impl Sets {
    /// Counts an entry of the set `name` in line `line`.
    pub(super) fn count(&mut self, name: &str, line: u32) {
        if let Some((count, _)) = self.entries.get_mut(name) {
            *count += 1;
        } else if self.entries.len() < MAX_NAMES {
            self.entries.insert(name.to_owned(), (1, line));
        } else {
            self.others += 1;
        }
    }

    /// Returns true if the set `name`, or any set, has an entry.
    pub(super) fn has_entries(&self, name: Option<&str>) -> bool {
        match name {
            Some(name) => self.entries.contains_key(name) || self.others > 0,
            None => !self.entries.is_empty(),
        }
    }

    /// Returns an error, with its line, if a name in `wanted` is missing, or if `wanted`
    /// is empty and there are several sets.
    pub(super) fn error(&self, wanted: &BTreeSet<String>) -> Option<(u32, InvalidLine)> {
        let found = || self.shown();
        if wanted.is_empty() {
            let mut lines: Vec<u32> = self.entries.values().map(|(_, line)| *line).collect();
            lines.sort_unstable();
            let line = *lines.get(1)?;
            let names = self.entries.keys().take(SHOWN);
            let names = names.map(|name| yaml_word(&quoted(name))).collect();
            let found = found();
            return Some((line, InvalidLine::SeveralSets { found, names }));
        }
        let is_missing = |name: &&String| !self.entries.contains_key(*name) && self.others == 0;
        let name = quoted(wanted.iter().find(is_missing)?);
        let found = found();
        Some((1, InvalidLine::NoSet { name, found }))
    }

    fn shown(&self) -> String {
        let each = self.entries.iter().take(SHOWN);
        let each = each.map(|(name, (count, _))| {
            let entries = if *count == 1 { "entry" } else { "entries" };
            format!("`{}` ({count} {entries})", quoted(name))
        });
        let mut each: Vec<String> = each.collect();
        if self.entries.len() > SHOWN {
            each.push("others".to_owned());
        }
        if each.is_empty() {
            return "no set".to_owned();
        }
        each.join(", ")
    }
}
