//! Names and holders of destinations, in words.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Flow, Name};
use crate::{data::Statements, registry::Registry};

/// The word of a name that was only asked for.
pub(super) const ASKED: &str = "asked";

/// How a name was learnt, in words.
pub(super) fn how(word: &str) -> &'static str {
    match word {
        "dns" => "in a DNS answer to this device",
        "dns-other" => "in a DNS answer to another device",
        "dns-hint" => "as a hint in a DNS answer to this device",
        "sni" => "in the device's TLS hello",
        "sni-outer" => "as the public name in the device's encrypted TLS hello",
        "quic" => "in the device's QUIC hello",
        "http-host" => "in the device's HTTP request",
        ASKED => "only asked for in a request to this address",
        _ => "from another source",
    }
}

impl Flow {
    /// True if a claim states a name of the destination. A name that was only asked for is
    /// not one.
    pub(super) fn has_name(&self) -> bool {
        self.names.iter().any(Name::is_of_destination)
    }

    /// Address and service, such as `192.0.2.1 tcp/443`.
    pub(super) fn end(&self) -> String {
        let address = self.destination.as_deref().unwrap_or("other destinations");
        format!("{address} {}", self.service())
    }

    /// Protocol and port.
    pub(super) fn service(&self) -> String {
        match (self.port, &self.unreadable) {
            (Some(port), _) => format!("{}/{port}", self.protocol),
            (None, Some(why)) => format!("{} (port not readable: {why})", self.protocol),
            (None, None) => self.protocol.clone(),
        }
    }
}

impl Name {
    /// True if the name is stated for the destination itself.
    pub(super) fn is_of_destination(&self) -> bool {
        self.how != ASKED
    }
}

/// The different names of flows, those of the most packets first.
pub(super) fn names<'a>(flows: impl Iterator<Item = &'a Flow>) -> Vec<String> {
    let mut packets: BTreeMap<&str, u64> = BTreeMap::new();
    for flow in flows {
        let names: BTreeSet<&str> = flow
            .names
            .iter()
            .filter(|name| name.is_of_destination())
            .map(|name| name.name.as_str())
            .collect();
        for name in names {
            *packets.entry(name).or_default() += flow.packets;
        }
    }
    let mut sorted: Vec<_> = packets.into_iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    sorted
        .into_iter()
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The different holders that sources name for the ranges of flows, sorted. A registry is
/// never among them.
pub(super) fn holders<'a>(flows: impl Iterator<Item = &'a Flow>) -> Vec<String> {
    let stated = flows.filter_map(|flow| flow.holder.as_ref());
    let holders = stated.flat_map(|stated| &stated.holder);
    let names: BTreeSet<_> = holders
        .filter(|holder| Registry::only_in(&holder.value.name).is_none())
        .map(|holder| holder.value.name.clone())
        .collect();
    names.into_iter().collect()
}

/// The different registries of the ranges of flows, sorted.
pub(super) fn registries<'a>(flows: impl Iterator<Item = &'a Flow>) -> Vec<String> {
    let stated = flows.filter_map(|flow| flow.holder.as_ref());
    let registries = stated.flat_map(|stated| &stated.registry);
    let names: BTreeSet<_> = registries
        .map(|registry| registry.value.registry.to_string())
        .collect();
    names.into_iter().collect()
}

/// One line for each kind of statement about a range: kind, value, source with its date.
pub(super) fn range_lines(stated: &Statements) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for one in &stated.holder {
        lines.push(("holder", sourced(&one.value.name, &one.source)));
    }
    if stated.holder.is_empty() {
        lines.push(("holder", "unknown: no source names one".to_owned()));
    }
    for one in &stated.registry {
        let registry = format!("{} (a registry, not the holder)", one.value.registry);
        lines.push(("registry", sourced(&registry, &one.source)));
    }
    for one in &stated.origin_as {
        let name = one.value.name.as_deref().map(|name| format!(" {name}"));
        let origin = format!("AS{}{}", one.value.number, name.unwrap_or_default());
        lines.push(("origin", sourced(&origin, &one.source)));
    }
    for one in &stated.country {
        let country = format!("{} ({})", one.value.country, one.value.meaning.words());
        lines.push(("country", sourced(&country, &one.source)));
    }
    for one in &stated.list_author {
        let holder = &one.value.holder;
        let author = match Registry::only_in(holder) {
            Some(registry) => format!("{holder} ({registry} is a registry, not a holder)"),
            None => holder.clone(),
        };
        lines.push(("policy author says", sourced(&author, &one.source)));
    }
    lines
}

fn sourced(value: &str, source: &crate::data::Source) -> String {
    let name = short(&source.name);
    match &source.as_of {
        Some(as_of) => format!("{value} — {name}, {}", as_of.date),
        None => format!("{value} — {name}"),
    }
}

/// The name of a source: a URL whole, a path without its directories.
pub(super) fn short(name: &str) -> &str {
    let last = name.rsplit('/').next().filter(|_| !name.contains("://"));
    last.unwrap_or(name)
}
