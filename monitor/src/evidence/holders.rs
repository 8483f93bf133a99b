//! What is stated about the ranges of the destinations of flows.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use serde::Serialize;

use super::{FlowView, FlowsView};
use crate::{
    data::{Author, CountryMeaning, FailedSource, Statement, Statements},
    policy::PolicyName,
    registry::Registry,
};

/// The most that all flows of an answer say about ranges, as JSON, in bytes.
pub const MAX_HOLDERS: usize = 16 << 20;

const NO_ROOM: &str = "the answer would be too large; narrow the question, or lower --limit";

impl FlowsView {
    /// Adds to each flow what is stated about the range of its destination. `about` is called
    /// once for each destination. `authors` has what the authors of policies state, and
    /// whether the policy covers an address now. A flow gets the statements of the policies
    /// that matched it and still cover its destination: a policy that was edited since is
    /// about another range. Beyond [`MAX_HOLDERS`], flows get nothing, and `failed_sources`
    /// says so.
    #[must_use]
    pub fn with_holders<C: Fn(IpAddr) -> bool>(
        mut self,
        about: impl Fn(IpAddr) -> Statements,
        authors: impl IntoIterator<Item = (PolicyName, Statement<Author>, C)>,
    ) -> Self {
        let authors = authors.into_iter();
        let authors = authors.map(|(policy, author, covers)| (policy, (author, covers)));
        let mut ranges = Ranges {
            about,
            authors: authors.collect(),
            known: BTreeMap::new(),
            with_authors: BTreeMap::new(),
            failed: BTreeSet::new(),
        };
        let mut room = MAX_HOLDERS;
        for flow in &mut self.flows {
            let Some(destination) = flow.destination else {
                continue;
            };
            let (stated, size) = ranges.of(destination, &flow.policies);
            if stated.is_empty() {
                continue;
            }
            let Some(left) = room.checked_sub(size) else {
                let some = ("some flows".to_owned(), NO_ROOM.to_owned());
                ranges.failed.insert(some);
                break;
            };
            room = left;
            flow.holder = Some(stated);
        }
        let failed = ranges.failed.into_iter();
        self.failed_sources = failed
            .map(|(name, error)| FailedSource { name, error })
            .collect();
        self
    }
}

/// Statements with their size as JSON, in bytes. Flows share them.
type Sized = (Arc<Statements>, usize);

/// What is stated about the destinations so far.
struct Ranges<F, C> {
    about: F,
    /// What the author of each policy states, and whether the policy covers an address.
    authors: BTreeMap<PolicyName, (Statement<Author>, C)>,
    /// What the data states.
    known: BTreeMap<IpAddr, Sized>,
    /// What the data and the authors of these policies state.
    with_authors: BTreeMap<(IpAddr, Vec<PolicyName>), Sized>,
    /// Name and error of sources that cannot be used.
    failed: BTreeSet<(String, String)>,
}

impl<F: Fn(IpAddr) -> Statements, C: Fn(IpAddr) -> bool> Ranges<F, C> {
    /// What is stated about the destination of a flow that matched `policies`.
    fn of(&mut self, destination: IpAddr, policies: &[PolicyName]) -> Sized {
        let (stated, size) = self.by_data(destination);
        let applies = |policy: &&PolicyName| {
            let author = self.authors.get(*policy);
            author.is_some_and(|(_, covers)| covers(destination))
        };
        let authors: Vec<PolicyName> = policies.iter().filter(applies).cloned().collect();
        if authors.is_empty() {
            return (stated, size);
        }
        let known = self.with_authors.entry((destination, authors));
        let authors = &self.authors;
        let (stated, size) = known.or_insert_with_key(|(_, names)| {
            let authors = names.iter().filter_map(|name| authors.get(name));
            let mut all = Statements::clone(&stated);
            let authors = authors.map(|(author, _)| author.clone());
            all.list_author.extend(authors);
            let size = json_size(&all);
            (Arc::new(all), size)
        });
        (Arc::clone(stated), *size)
    }

    /// What the data states about a destination.
    fn by_data(&mut self, destination: IpAddr) -> Sized {
        let Self {
            about,
            known,
            failed,
            ..
        } = self;
        let (stated, size) = known.entry(destination).or_insert_with(|| {
            let mut stated = about(destination);
            let sources = std::mem::take(&mut stated.failed).into_iter();
            failed.extend(sources.map(|FailedSource { name, error }| (name, error)));
            let size = json_size(&stated);
            (Arc::new(stated), size)
        });
        (Arc::clone(stated), *size)
    }
}

/// The form of shared statements in JSON.
pub(super) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::data::Statements;

    #[expect(clippy::ref_option, reason = "serde calls it with this type")]
    pub(in crate::evidence) fn serialize<S: Serializer>(
        stated: &Option<Arc<Statements>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        stated.as_deref().serialize(serializer)
    }

    pub(in crate::evidence) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<Statements>>, D::Error> {
        let stated: Option<Statements> = Option::deserialize(deserializer)?;
        Ok(stated.map(Arc::new))
    }
}

/// Size of a value as JSON, in bytes.
fn json_size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |json| json.len())
}

impl FlowView {
    /// One short line about the range of the destination, without sources and dates. `None`
    /// if nothing is stated.
    pub(crate) fn range_line(&self) -> Option<String> {
        let stated = self.holder.as_deref()?;
        let holders = stated.holder.iter();
        let holders = holders.map(|holder| holder.value.name.clone());
        let countries = countries(stated);
        let registries = stated.registry.iter();
        let registries = registries.map(|registry| registry.value.registry.to_string());
        let authors = stated.list_author.iter();
        let authors = authors.map(|author| {
            let holder = &author.value.holder;
            match Registry::only_in(holder) {
                Some(registry) => format!("{holder} [{registry} is a registry, not a holder]"),
                None => holder.clone(),
            }
        });
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

/// The countries of delegation. If none is stated, the others with their meaning.
fn countries(stated: &Statements) -> Vec<String> {
    let countries = || stated.country.iter().map(|country| &country.value);
    let delegated = countries().filter(|of| of.meaning == CountryMeaning::Delegation);
    let delegated: Vec<String> = delegated.map(|of| of.country.to_string()).collect();
    if !delegated.is_empty() {
        return delegated;
    }
    let other = countries().map(|of| format!("{} ({})", of.country, of.meaning.words()));
    other.collect()
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;
    use crate::data::{Holder, HolderField, RangeCountry, Source, SourceKind};

    fn view(destinations: &[&str]) -> FlowsView {
        let flows = destinations.iter().map(|destination| {
            json!({
                "device": null, "interface": "wlan0", "direction": "out",
                "destination": destination, "protocol": "tcp", "port": 443,
                "policies": ["a"], "packets": 1, "bytes": 60, "dropped": 0,
                "first": "2026-11-29T00:00:00Z", "last": "2026-11-29T00:00:00Z",
                "names": [], "holder": null,
            })
        });
        let flows: Vec<_> = flows.collect();
        let view = json!({"flows": flows, "not_recorded": {"packets": 0, "reasons": {}}});
        serde_json::from_value(view).unwrap()
    }

    fn statement<T>(value: T) -> Statement<T> {
        let source = Source {
            name: "x".into(),
            kind: SourceKind::Table,
            as_of: None,
        };
        Statement { value, source }
    }

    type Authored = (PolicyName, Statement<Author>, fn(IpAddr) -> bool);

    const NO_AUTHORS: [Authored; 0] = [];

    fn held_by(name: &str) -> Statements {
        Statements {
            holder: vec![statement(Holder {
                name: name.to_owned(),
                field: HolderField::Holder,
            })],
            ..Statements::default()
        }
    }

    #[test]
    fn each_destination_is_looked_up_once() {
        let view = view(&["192.0.2.1", "192.0.2.2", "192.0.2.1"]);
        let calls = Cell::new(0);
        let about = |address: IpAddr| {
            calls.set(calls.get() + 1);
            held_by(&address.to_string())
        };
        let view = view.with_holders(about, NO_AUTHORS);
        assert_eq!(calls.get(), 2);
        let lines: Vec<_> = view.flows.iter().map(FlowView::range_line).collect();
        assert_eq!(lines[0].as_deref(), Some("range: holder 192.0.2.1"));
        assert_eq!(lines[0], lines[2]);
        assert!(view.failed_sources.is_empty());
        let text = view.to_string();
        assert_eq!(
            text.matches("range: holder 192.0.2.1\n").count(),
            1,
            "{text}"
        );
        let again: FlowsView =
            serde_json::from_value(serde_json::to_value(&view).unwrap()).unwrap();
        assert_eq!(again, view);
    }

    #[test]
    fn an_author_that_names_a_registry_is_corrected_and_nothing_stated_is_null() {
        let author = |holder: &str| Author {
            holder: holder.to_owned(),
            policy: "a".to_owned(),
            resting: false,
            stated_as_of: None,
            stated_source: None,
        };
        let nothing = |_| Statements::default();
        let authors = [("a".parse().unwrap(), statement(author("CNNIC")), |_| true)];
        let flows = view(&["192.0.2.1"]).with_holders(nothing, authors).flows;
        let line = flows[0].range_line();
        assert_eq!(
            line.as_deref(),
            Some(
                "range: holder unknown; policy author says: CNNIC [CNNIC is a registry, not a holder]"
            )
        );
        let authors = [(
            "other".parse().unwrap(),
            statement(author("Example")),
            |_| true,
        )];
        let flows = view(&["192.0.2.1"]).with_holders(nothing, authors).flows;
        assert_eq!(flows[0].holder, None);
        assert_eq!(flows[0].range_line(), None);
    }

    #[test]
    fn an_author_states_nothing_about_a_range_that_the_policy_no_longer_covers() {
        let author = Author {
            holder: "Example".to_owned(),
            policy: "a".to_owned(),
            resting: false,
            stated_as_of: None,
            stated_source: None,
        };
        let covered: IpAddr = "192.0.2.1".parse().unwrap();
        let covers = move |address| address == covered;
        let authors = [("a".parse().unwrap(), statement(author), covers)];
        let view = view(&["192.0.2.1", "192.0.2.2"]);
        let flows = view.with_holders(|_| held_by("X"), authors).flows;
        let authors = flows.iter().map(|flow| flow.holder.as_ref().unwrap());
        let authors: Vec<usize> = authors.map(|stated| stated.list_author.len()).collect();
        assert_eq!(authors, [1, 0]);
    }

    #[test]
    fn flows_to_one_destination_share_its_statements() {
        let view = view(&["192.0.2.1", "192.0.2.1"]);
        let flows = view.with_holders(|_| held_by("X"), NO_AUTHORS).flows;
        let [first, second] = [0, 1].map(|at| flows[at].holder.as_ref().unwrap());
        assert!(Arc::ptr_eq(first, second));
    }

    #[test]
    fn the_short_line_tells_a_delegation_from_another_country() {
        let country = |code: &str, meaning| {
            let country = code.parse().unwrap();
            statement(RangeCountry { country, meaning })
        };
        let mut stated = Statements {
            country: vec![country("SG", CountryMeaning::Location)],
            ..Statements::default()
        };
        let line = |stated: &Statements| {
            let flows = view(&["192.0.2.1"]).with_holders(|_| stated.clone(), NO_AUTHORS);
            flows.flows[0].range_line().unwrap()
        };
        let expected = "range: holder unknown; country SG (estimated place of use)";
        assert_eq!(line(&stated), expected);
        stated
            .country
            .push(country("CN", CountryMeaning::Delegation));
        assert_eq!(line(&stated), "range: holder unknown; country CN");
    }

    #[test]
    fn an_answer_has_a_limit_and_says_so() {
        let destinations: Vec<String> = (0..20).map(|last| format!("192.0.2.{last}")).collect();
        let destinations: Vec<&str> = destinations.iter().map(String::as_str).collect();
        let large = held_by(&"x".repeat(MAX_HOLDERS / 10));
        let view = view(&destinations).with_holders(|_| large.clone(), NO_AUTHORS);
        let stated = view.flows.iter().filter(|flow| flow.holder.is_some());
        assert_eq!(stated.count(), 9);
        assert!(view.to_string().contains("lower --limit"));
    }
}
