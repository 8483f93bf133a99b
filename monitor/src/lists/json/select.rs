//! Reads the values that a path selects.

use std::collections::HashSet;

use super::{
    MAX_WEIGHT,
    documents::{Document, Others},
    path::{JsonPath, Place, Step},
    walk::{self, Kind, Visit},
    weight,
};
use crate::{
    lists::{InvalidLine, Line, List, dialect::family, plain, selection::Chooser},
    quoted::quoted,
};

/// The way in which the values of a document are selected.
#[derive(Debug)]
pub(super) enum Selector {
    /// By paths of names and `*`, while the document is read.
    Steps(Vec<Vec<Step>>, Others),
    /// By a path that needs the whole document.
    Query(JsonPath),
}

/// The list that gets the values.
pub(super) struct Chosen<'a, 's> {
    pub(super) chooser: &'a mut Chooser<'s>,
    pub(super) list: &'a mut List,
}

impl Selector {
    pub(super) fn of(path: &JsonPath) -> Self {
        match path.steps() {
            Some(steps) => Self::Steps(vec![steps], Others::Bad),
            None => Self::Query(path.clone()),
        }
    }

    pub(super) fn of_document(document: Document) -> Self {
        let steps = document
            .paths
            .iter()
            .filter_map(|path| path.parse::<JsonPath>().ok()?.steps());
        Self::Steps(steps.collect(), document.others)
    }

    /// Reads one document, whose first line has the number `line`.
    pub(super) fn read(
        &self,
        text: &str,
        line: u32,
        chosen: &mut Chosen<'_, '_>,
    ) -> Result<(), InvalidLine> {
        match self {
            Self::Steps(paths, others) => {
                let all = u64::MAX >> (64 - paths.len().clamp(1, 64));
                let mut visit = BySteps {
                    paths,
                    others: *others,
                    live: vec![all],
                    chosen,
                };
                walk::walk(text, line, &mut visit).map_err(InvalidLine::Json)
            }
            Self::Query(path) => {
                if weight(text) > MAX_WEIGHT {
                    return Err(InvalidLine::TooLargeForPath);
                }
                let value = serde_json::from_str(text).map_err(InvalidLine::Json)?;
                let places = path.places(&value);
                drop(value);
                let mut visit = ByPlaces {
                    places,
                    open: Vec::new(),
                    chosen,
                };
                walk::walk(text, line, &mut visit).map_err(InvalidLine::Json)
            }
        }
    }
}

impl Chosen<'_, '_> {
    fn text(&mut self, text: &str, line: u32, others: Others) {
        let text = text.trim();
        let read = match others {
            // An empty text stands for no address.
            _ if text.is_empty() => Ok(Line::LeftOut),
            Others::Bad => plain::entry(text, self.chooser),
            Others::LeftOut => indicator(text, self.chooser),
        };
        self.list.add(read, line);
    }

    fn other(&mut self, kind: Kind, line: u32) {
        let what = match kind {
            Kind::Null => return self.list.add(Ok(Line::LeftOut), line),
            Kind::Object => "an object",
            Kind::Array => "an array",
            Kind::Number => "a number",
            Kind::Bool => "a truth value",
        };
        self.list.add(Err(InvalidLine::JsonValue { what }), line);
    }
}

/// Reads a value of a threat report: an address, or a STIX pattern that compares one.
/// Values of another kind, such as names and hashes, are left out.
fn indicator(text: &str, chooser: &Chooser<'_>) -> Result<Line, InvalidLine> {
    if family(text).is_some() {
        return plain::entry(text, chooser);
    }
    if let Some((address, port)) = text.split_once('|')
        && family(address).is_some()
    {
        // MISP writes the port of `ip-dst|port` in this way.
        let text = if address.contains(':') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        };
        return plain::entry(&text, chooser);
    }
    if !text.contains("ipv4-addr:") && !text.contains("ipv6-addr:") {
        return Ok(Line::LeftOut);
    }
    let address =
        pattern(text).ok_or_else(|| InvalidLine::MoreThanAddress { text: quoted(text) })?;
    plain::entry(address, chooser)
}

/// Returns the address of `[ipv4-addr:value = '192.0.2.1']`.
fn pattern(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let (object, value) = inner.split_once('=')?;
    let is_address = matches!(object.trim(), "ipv4-addr:value" | "ipv6-addr:value");
    let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    (is_address && !value.contains('\'')).then_some(value)
}

struct BySteps<'p, 'a, 's> {
    paths: &'p [Vec<Step>],
    others: Others,
    /// For each open value: the paths that its place fits so far, one bit for each.
    live: Vec<u64>,
    chosen: &'p mut Chosen<'a, 's>,
}

impl BySteps<'_, '_, '_> {
    fn enter(&mut self, name: Option<&str>) {
        let depth = self.live.len() - 1;
        let before = self.live.last().copied().unwrap_or_default();
        let mut live = 0;
        for (at, path) in self.paths.iter().enumerate().take(64) {
            let fits = match (path.get(depth), name) {
                (Some(Step::Every), _) => true,
                (Some(Step::Name(wanted)), Some(name)) => wanted == name,
                (Some(Step::Name(_)), None) | (None, _) => false,
            };
            live |= u64::from(fits) << at;
        }
        self.live.push(before & live);
    }

    fn is_selected(&self) -> bool {
        let depth = self.live.len() - 1;
        let live = self.live.last().copied().unwrap_or_default();
        let mut paths = self.paths.iter().enumerate();
        live != 0 && paths.any(|(at, path)| live & 1 << at != 0 && path.len() == depth)
    }
}

impl Visit for BySteps<'_, '_, '_> {
    fn name(&mut self, name: &str) {
        self.enter(Some(name));
    }

    fn index(&mut self, _: usize) {
        self.enter(None);
    }

    fn leave(&mut self) {
        self.live.pop();
    }

    fn text(&mut self, text: &str, line: u32) {
        if self.is_selected() {
            self.chosen.text(text, line, self.others);
        }
    }

    fn other(&mut self, kind: Kind, line: u32) {
        if self.is_selected() {
            self.chosen.other(kind, line);
        }
    }
}

struct ByPlaces<'p, 'a, 's> {
    places: HashSet<Vec<Place>>,
    open: Vec<Place>,
    chosen: &'p mut Chosen<'a, 's>,
}

impl Visit for ByPlaces<'_, '_, '_> {
    fn name(&mut self, name: &str) {
        self.open.push(Place::Name(name.to_owned()));
    }

    fn index(&mut self, index: usize) {
        self.open.push(Place::Index(index));
    }

    fn leave(&mut self) {
        self.open.pop();
    }

    fn text(&mut self, text: &str, line: u32) {
        if self.places.contains(&self.open) {
            self.chosen.text(text, line, Others::Bad);
        }
    }

    fn other(&mut self, kind: Kind, line: u32) {
        if self.places.contains(&self.open) {
            self.chosen.other(kind, line);
        }
    }
}
