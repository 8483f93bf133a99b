//! Describes how a list is read, for `monitor list`: its format, its destinations, its
//! first lines beside their meaning, and the policies that it overlaps.

mod overlaps;

use std::{collections::BTreeMap, path::Path};

pub use self::overlaps::Overlap;

use serde::Serialize;

use crate::{
    address::{Address, Destination, Interval, IntervalSet},
    compile::Ruleset,
    lists::{
        DatabaseError, Format, Kind, List, Locations, NotText, Refused, Selection, UnpackError,
        is_database, list_text, needs_locations, read, read_database, recognise,
    },
    quoted::quoted,
};

/// Number of lines that are shown beside their destinations.
const SHOWN: usize = 8;

/// The reason why a list cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// The content cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The content is not text.
    #[error("this is {0}")]
    NotText(#[from] NotText),
    /// The database cannot be read.
    #[error("{source}; {}", source.help())]
    Database {
        /// The error of the reader.
        #[from]
        source: DatabaseError,
    },
    /// A key of the selection does not apply to the list.
    #[error("`{key}` does not apply to a list in the format `{kind}`; remove this option")]
    Option {
        /// Name of the key, as in a policy.
        key: &'static str,
        /// Kind of the list.
        kind: Kind,
    },
    /// The file with the countries is not beside the table.
    #[error(
        "this table names countries by number; put the file with `Locations-en` in its name beside it"
    )]
    NoLocations,
    /// The format cannot be recognised.
    #[error("line {line}: {why}; {help}")]
    Refused {
        /// Line number, counted from 1.
        line: u32,
        /// The reason.
        why: String,
        /// The fix.
        help: String,
    },
}

/// A list that was read, and how.
#[derive(Debug)]
pub struct Reading {
    /// The content.
    pub list: List,
    /// The reason why it was read in its format.
    pub why: &'static str,
    /// The text; `None` for a database.
    text: Option<String>,
}

/// What to read, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// The list's path or URL, for errors.
    pub name: &'a str,
    /// The path, if the list is a file. Another file of the table may be beside it.
    pub path: Option<&'a Path>,
    /// The format, if it is given.
    pub format: Option<Format>,
    /// The entries to use.
    pub selection: Selection,
}

/// Reads a list from its unpacked bytes.
pub fn read_list(bytes: Vec<u8>, mut request: Request<'_>) -> Result<Reading, ListingError> {
    if is_database(&bytes) {
        fits(&request.selection, Kind::Database)?;
        return Ok(Reading {
            list: read_database(&bytes, &request.selection)?,
            why: "it has the marker of an MMDB database",
            text: None,
        });
    }
    let text = list_text(bytes)?;
    let (format, why) = match (request.format, request.selection.format()) {
        (Some(format), _) => (format, "`--format` names it"),
        (None, Some(format)) => (format, "an option names the place of its addresses"),
        (None, None) => {
            let found = recognise(&text);
            let format = found.map_err(|Refused { line, why }| ListingError::Refused {
                line,
                help: why.help_here(request.name),
                why: why.to_string(),
            })?;
            (format, "most of the first lines match this format")
        }
    };
    fits(&request.selection, Kind::Lines(format))?;
    if request.selection.country().is_some() && needs_locations(&text) {
        let found = request.path.and_then(Locations::beside);
        request.selection.locations = Some(found.ok_or(ListingError::NoLocations)?);
    }
    Ok(Reading {
        list: read(&text, format, &request.selection),
        why,
        text: Some(text),
    })
}

fn fits(selection: &Selection, kind: Kind) -> Result<(), ListingError> {
    match selection.foreign_key(kind) {
        Some(key) => Err(ListingError::Option { key, kind }),
        None => Ok(()),
    }
}

/// The description of a list. Serializes as the output of `monitor list --json`.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// The file or the URL.
    pub list: String,
    /// The format, as `format:` in a policy names it.
    pub format: &'static str,
    /// The reason why it was read in this format.
    pub why: &'static str,
    /// The path of a JSON document, with the name of a known document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_by: Option<String>,
    /// Destinations and addresses of IPv4.
    pub ipv4: FamilyCounts,
    /// Destinations and addresses of IPv6.
    pub ipv6: FamilyCounts,
    /// Number of entries that are not selected.
    pub left_out: usize,
    /// Number of entries whose options are ignored.
    pub with_options: usize,
    /// Number of lines that cannot be read.
    pub bad_lines: usize,
    /// The first lines that cannot be read.
    pub first_bad: Vec<BadLine>,
    /// Number of destinations in reserved ranges. A feed loses them.
    pub reserved: usize,
    /// The reserved ranges, each with its number of destinations.
    pub reserved_by: BTreeMap<String, usize>,
    /// The first lines with destinations.
    pub first_lines: Vec<ShownLine>,
    /// Number of the other lines with destinations.
    pub more_lines: usize,
    /// The policies with a prefix that the list overlaps.
    pub overlaps: Vec<Overlap>,
    /// Why the list, read in this way, is probably not what was meant.
    pub notes: Vec<String>,
}

/// The size of one family.
#[derive(Debug, Serialize)]
pub struct FamilyCounts {
    /// Number of destinations.
    pub destinations: usize,
    /// Number of distinct addresses, as a decimal number.
    pub addresses: String,
}

/// A line that cannot be read.
#[derive(Debug, Serialize)]
pub struct BadLine {
    /// Line number, counted from 1.
    pub line: u32,
    /// The error.
    pub message: String,
    /// The fix.
    pub help: String,
}

/// A line, and its destinations.
#[derive(Debug, Serialize)]
pub struct ShownLine {
    /// Line number, counted from 1; 0 in a database.
    pub line: u32,
    /// The beginning of the line.
    pub text: String,
    /// Its first destinations.
    pub destinations: Vec<String>,
    /// Number of its other destinations.
    pub more: usize,
}

impl Listing {
    /// Describes `reading`, a list of this name. The caller sets what is reserved.
    #[must_use]
    pub fn new(name: &str, reading: &Reading, ruleset: &Ruleset) -> Self {
        let list = &reading.list;
        let (ipv4, ipv6) = (set(&list.ipv4), set(&list.ipv6));
        let bad = list.bad.first().iter().map(|(line, error)| BadLine {
            line: *line,
            message: error.to_string(),
            help: error.help().replace("`ports: ignore`", "`--ignore-ports`"),
        });
        let overlaps = overlaps::overlaps(ruleset, (&ipv4, &ruleset.ipv4), (&ipv6, &ruleset.ipv6));
        Self {
            list: name.to_owned(),
            format: list.kind.name(),
            why: reading.why,
            read_by: list.how.clone(),
            ipv4: FamilyCounts {
                destinations: list.ipv4.len(),
                addresses: ipv4.size_text(),
            },
            ipv6: FamilyCounts {
                destinations: list.ipv6.len(),
                addresses: ipv6.size_text(),
            },
            left_out: list.left_out,
            with_options: list.with_options,
            bad_lines: list.bad.count(),
            first_bad: bad.collect(),
            reserved: 0,
            reserved_by: BTreeMap::new(),
            first_lines: reading.first_lines(),
            more_lines: list.lines().saturating_sub(SHOWN),
            overlaps,
            notes: notes(list),
        }
    }
}

impl Reading {
    fn first_lines(&self) -> Vec<ShownLine> {
        let mut shown: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let ipv4 = self.list.ipv4.iter().take(SHOWN);
        let ipv6 = self.list.ipv6.iter().take(SHOWN);
        let ipv4 = ipv4.map(|(interval, line)| (*line, Destination::Ipv4(*interval)));
        let ipv6 = ipv6.map(|(interval, line)| (*line, Destination::Ipv6(*interval)));
        for (line, destination) in ipv4.chain(ipv6) {
            shown.entry(line).or_default().push(destination.to_string());
        }
        let wanted: Vec<u32> = shown.keys().copied().take(SHOWN).collect();
        let lines = self
            .text
            .as_deref()
            .unwrap_or_default()
            .lines()
            .zip(1_u32..);
        let texts: BTreeMap<u32, String> = lines
            .filter(|(_, line)| wanted.binary_search(line).is_ok())
            .map(|(text, line)| (line, quoted(text.trim())))
            .collect();
        let each = shown
            .into_iter()
            .take(SHOWN)
            .map(|(line, destinations)| ShownLine {
                line,
                text: texts.get(&line).cloned().unwrap_or_default(),
                more: self.count_of(line) - destinations.len(),
                destinations,
            });
        each.collect()
    }

    /// Returns the number of destinations of a line.
    fn count_of(&self, line: u32) -> usize {
        let ipv4 = self.list.ipv4.iter().filter(|(_, number)| *number == line);
        let ipv6 = self.list.ipv6.iter().filter(|(_, number)| *number == line);
        ipv4.count() + ipv6.count()
    }

    /// Returns the prefixes of the list, sorted, joined and without duplicates.
    #[must_use]
    pub fn prefixes(&self) -> Vec<String> {
        let mut prefixes = texts(&set(&self.list.ipv4));
        prefixes.extend(texts(&set(&self.list.ipv6)));
        prefixes
    }
}

fn set<A: Address>(intervals: &[(Interval<A>, u32)]) -> IntervalSet<A> {
    intervals.iter().map(|(interval, _)| *interval).collect()
}

/// Returns the prefixes of a set. Adjacent intervals are joined first, so that the
/// prefixes are as few as possible.
fn texts<A: Address>(set: &IntervalSet<A>) -> Vec<String> {
    let mut joined: Vec<Interval<A>> = Vec::new();
    for interval in set.intervals() {
        let is_adjacent = |before: &&Interval<A>| {
            let next = before.last().to_number().checked_add(1);
            next == Some(interval.first().to_number())
        };
        let before = joined.last().filter(is_adjacent);
        let both = before.and_then(|before| Interval::new(before.first(), interval.last()));
        if both.is_some() {
            joined.pop();
        }
        joined.push(both.unwrap_or(*interval));
    }
    let networks = joined.iter().flat_map(|interval| interval.networks());
    networks.map(|network| network.to_string()).collect()
}

/// Returns what is probably not meant.
fn notes(list: &List) -> Vec<String> {
    let mut notes = Vec::new();
    if list.several_countries {
        notes.push("the list names several countries; `--country` selects one".to_owned());
    }
    if list.kind == Kind::Lines(Format::Rir) {
        notes.push("a policy must select a country of a delegated file".to_owned());
    }
    for key in &list.missing {
        notes.push(format!("no entry of the list has `{key}`"));
    }
    if list.is_empty() {
        notes.push(match list.left_out {
            0 => "the list has no destination".to_owned(),
            _ => "the options select no entry".to_owned(),
        });
    }
    notes
}
