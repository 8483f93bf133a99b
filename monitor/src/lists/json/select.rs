//! Reads the values that a path selects.

use std::collections::HashSet;

use super::{
    MAX_WEIGHT,
    documents::Document,
    path::{JsonPath, Place, Step},
    reports::{Report, Reports},
    walk::{self, Kind, Visit},
    weight,
};
use crate::lists::{InvalidLine, Line, List, plain, selection::Chooser};

/// The way in which the values of a document are selected.
#[derive(Debug)]
pub(super) enum Selector {
    /// By paths of names and `*`, while the document is read.
    Steps(Vec<Vec<Step>>),
    /// By paths of the objects of a threat report, while the document is read.
    Report(Vec<Vec<Step>>, Report),
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
            Some(steps) => Self::Steps(vec![steps]),
            None => Self::Query(path.clone()),
        }
    }

    pub(super) fn of_document(document: Document) -> Self {
        let steps = document
            .paths
            .iter()
            .filter_map(|path| path.parse::<JsonPath>().ok()?.steps());
        let steps = steps.collect();
        match document.report {
            Some(report) => Self::Report(steps, report),
            None => Self::Steps(steps),
        }
    }

    /// Reads one document, whose first line has the number `line`.
    pub(super) fn read(
        &self,
        text: &str,
        line: u32,
        chosen: &mut Chosen<'_, '_>,
    ) -> Result<(), InvalidLine> {
        let walked = match self {
            Self::Steps(paths) => {
                let paths = Paths::new(paths);
                walk::walk(text, line, &mut BySteps { paths, chosen })
            }
            Self::Report(paths, report) => {
                let mut reports = Reports::new(Paths::new(paths), *report, chosen);
                walk::walk(text, line, &mut reports)
            }
            Self::Query(path) => {
                if weight(text).saturating_mul(path.most_results()) > MAX_WEIGHT {
                    return Err(InvalidLine::TooLargeForPath);
                }
                let value = serde_json::from_str(text).map_err(InvalidLine::Json)?;
                let places = path.places(&value);
                drop(value);
                let open = Vec::new();
                walk::walk(
                    text,
                    line,
                    &mut ByPlaces {
                        places,
                        open,
                        chosen,
                    },
                )
            }
        };
        walked.map_err(InvalidLine::Json)
    }
}

impl Chosen<'_, '_> {
    fn text(&mut self, text: &str, line: u32) {
        let text = text.trim();
        // An empty text stands for no address.
        let read = if text.is_empty() {
            Ok(Line::LeftOut)
        } else {
            plain::entry(text, self.chooser)
        };
        self.list.add(read, line);
    }

    fn other(&mut self, kind: Kind, line: u32) {
        let what = match kind {
            Kind::Null => return self.list.add(Ok(Line::LeftOut), line),
            Kind::Object => "an object",
            Kind::Array => "an array",
            Kind::Number => "a number",
            Kind::Bool(_) => "a truth value",
        };
        self.list.add(Err(InvalidLine::JsonValue { what }), line);
    }
}

/// The place of the open value, compared with several paths.
pub(super) struct Paths<'p> {
    paths: &'p [Vec<Step>],
    /// For each open value: the paths that its place fits so far, one bit for each.
    live: Vec<u64>,
}

impl<'p> Paths<'p> {
    pub(super) fn new(paths: &'p [Vec<Step>]) -> Self {
        let all = u64::MAX >> (64 - paths.len().clamp(1, 64));
        let live = vec![all];
        Self { paths, live }
    }

    pub(super) fn enter(&mut self, name: Option<&str>) {
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

    pub(super) fn leave(&mut self) {
        self.live.pop();
    }

    pub(super) fn is_selected(&self) -> bool {
        let depth = self.live.len() - 1;
        let live = self.live.last().copied().unwrap_or_default();
        let mut paths = self.paths.iter().enumerate();
        live != 0 && paths.any(|(at, path)| live & 1 << at != 0 && path.len() == depth)
    }
}

struct BySteps<'p, 'a, 's> {
    paths: Paths<'p>,
    chosen: &'p mut Chosen<'a, 's>,
}

impl Visit for BySteps<'_, '_, '_> {
    fn name(&mut self, name: &str) {
        self.paths.enter(Some(name));
    }

    fn index(&mut self, _: usize) {
        self.paths.enter(None);
    }

    fn leave(&mut self) {
        self.paths.leave();
    }

    fn text(&mut self, text: &str, line: u32) {
        if self.paths.is_selected() {
            self.chosen.text(text, line);
        }
    }

    fn other(&mut self, kind: Kind, line: u32) {
        if self.paths.is_selected() {
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
            self.chosen.text(text, line);
        }
    }

    fn other(&mut self, kind: Kind, line: u32) {
        if self.places.contains(&self.open) {
            self.chosen.other(kind, line);
        }
    }
}
