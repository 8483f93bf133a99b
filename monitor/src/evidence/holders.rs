//! What is stated about the ranges of the destinations of flows.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::Serialize;

use super::{FlowView, FlowsView};
use crate::{
    data::{Author, FailedSource, Statement, Statements},
    policy::PolicyName,
};

/// The most that all flows of an answer say about ranges, as JSON, in bytes.
pub const MAX_HOLDERS: usize = 16 << 20;

const NO_ROOM: &str = "the answer would be too large; narrow the question, or lower --limit";

impl FlowsView {
    /// Adds to each flow what is stated about the range of its destination. `about` is called
    /// once for each destination. `authors` has what the authors of policies state; a flow
    /// gets the statements of the policies that matched it. Beyond [`MAX_HOLDERS`], flows get
    /// nothing, and `failed_sources` says so.
    #[must_use]
    pub fn with_holders(
        mut self,
        about: impl Fn(IpAddr) -> Statements,
        authors: impl IntoIterator<Item = (PolicyName, Statement<Author>)>,
    ) -> Self {
        let authors = authors.into_iter().map(|(policy, author)| {
            let size = json_size(&author);
            (policy, (author, size))
        });
        let authors: BTreeMap<_, _> = authors.collect();
        let mut ranges = Ranges {
            about,
            known: BTreeMap::new(),
            failed: BTreeSet::new(),
        };
        let mut room = MAX_HOLDERS;
        for flow in &mut self.flows {
            let Some(destination) = flow.destination else {
                continue;
            };
            let (mut stated, mut size) = ranges.of(destination).clone();
            let matched = flow.policies.iter();
            for (author, author_size) in matched.filter_map(|policy| authors.get(policy)) {
                stated.list_author.push(author.clone());
                size += author_size;
            }
            if stated.is_empty() {
                continue;
            }
            let Some(left) = room.checked_sub(size) else {
                let some = ("some flows".to_owned(), NO_ROOM.to_owned());
                ranges.failed.insert(some);
                break;
            };
            room = left;
            flow.holder = Some(Box::new(stated));
        }
        let failed = ranges.failed.into_iter();
        self.failed_sources = failed
            .map(|(name, error)| FailedSource { name, error })
            .collect();
        self
    }
}

/// What is stated about the destinations so far.
struct Ranges<F> {
    about: F,
    /// Statements with their size as JSON, in bytes.
    known: BTreeMap<IpAddr, (Statements, usize)>,
    /// Name and error of sources that cannot be used.
    failed: BTreeSet<(String, String)>,
}

impl<F: Fn(IpAddr) -> Statements> Ranges<F> {
    fn of(&mut self, destination: IpAddr) -> &(Statements, usize) {
        let Self {
            about,
            known,
            failed,
        } = self;
        known.entry(destination).or_insert_with(|| {
            let mut stated = about(destination);
            let sources = std::mem::take(&mut stated.failed).into_iter();
            failed.extend(sources.map(|FailedSource { name, error }| (name, error)));
            let size = json_size(&stated);
            (stated, size)
        })
    }
}

/// Size of a value as JSON, in bytes.
fn json_size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |json| json.len())
}

impl FlowView {
    /// One short line about the range of the destination, without sources and dates. `None`
    /// if nothing is stated.
    pub(super) fn range_line(&self) -> Option<String> {
        let stated = self.holder.as_deref()?;
        let holders = stated.holder.iter();
        let holders = holders.map(|holder| holder.value.name.clone());
        let countries = stated.country.iter();
        let countries = countries.map(|country| country.value.country.to_string());
        let registries = stated.registry.iter();
        let registries = registries.map(|registry| registry.value.registry.to_string());
        let authors = stated.list_author.iter();
        let authors = authors.map(|author| author.value.holder.clone());
        let parts = [
            Some(format!(
                "holder {}",
                joined(holders).unwrap_or_else(|| "unknown".to_owned())
            )),
            joined(origins(stated)).map(|origins| format!("origin {origins}")),
            joined(countries).map(|countries| format!("country {countries}")),
            joined(registries).map(|registries| format!("registry {registries}")),
            joined(authors).map(|authors| format!("policy author says: {authors}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        Some(format!("range: {}", parts.join("; ")))
    }
}

/// The origins, each number once: with its name, if a source states one.
fn origins(stated: &Statements) -> Vec<String> {
    let mut names: BTreeMap<u32, Option<&str>> = BTreeMap::new();
    for origin in &stated.origin_as {
        let name = names.entry(origin.value.number).or_default();
        *name = name.or(origin.value.name.as_deref());
    }
    let names = names.into_iter().map(|(number, name)| match name {
        Some(name) => format!("AS{number} {name}"),
        None => format!("AS{number}"),
    });
    names.collect()
}

/// The different texts, with ` or ` between them. `None` if there are none.
fn joined(texts: impl IntoIterator<Item = String>) -> Option<String> {
    let mut different: Vec<String> = Vec::new();
    for text in texts {
        if !different.contains(&text) {
            different.push(text);
        }
    }
    (!different.is_empty()).then(|| different.join(" or "))
}
