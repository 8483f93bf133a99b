//! A graph of JSON-LD, whose nodes are named by their content.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Namespace of the UUIDs of all nodes (UUID version 5, RFC 9562). It has no meaning.
const NAMESPACE: Uuid = Uuid::from_u128(0x4f0d_1c2e_6a53_4b7b_9d26_0e5c_83a1_7f94);

/// Prefixes of the ontologies.
const PREFIXES: [(&str, &str); 7] = [
    (
        "case-investigation",
        "https://ontology.caseontology.org/case/investigation/",
    ),
    (
        "uco-action",
        "https://ontology.unifiedcyberontology.org/uco/action/",
    ),
    (
        "uco-core",
        "https://ontology.unifiedcyberontology.org/uco/core/",
    ),
    (
        "uco-observable",
        "https://ontology.unifiedcyberontology.org/uco/observable/",
    ),
    (
        "uco-tool",
        "https://ontology.unifiedcyberontology.org/uco/tool/",
    ),
    (
        "uco-types",
        "https://ontology.unifiedcyberontology.org/uco/types/",
    ),
    ("xsd", "http://www.w3.org/2001/XMLSchema#"),
];

/// The name of a node: `urn:uuid:` and the UUID of its content. Equal nodes have equal names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Iri(Uuid);

impl Iri {
    fn of(within: Uuid, content: &Value) -> Self {
        Self(Uuid::new_v5(&within, content.to_string().as_bytes()))
    }

    fn text(self) -> String {
        self.0.urn().to_string()
    }
}

/// A node of the graph, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Node(Map<String, Value>);

impl Node {
    /// A node of a class.
    pub(super) fn new(class: &str) -> Self {
        Self(Map::from_iter([("@type".to_owned(), class.into())]))
    }

    /// Sets a property.
    pub(super) fn put(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Sets a property to several texts, if there are any.
    pub(super) fn texts(self, key: &str, texts: Vec<String>) -> Self {
        if texts.is_empty() {
            return self;
        }
        self.put(key, texts)
    }

    /// Sets a property to a time (RFC 3339).
    pub(super) fn time(self, key: &str, time: &str) -> Self {
        self.put(key, json!({"@type": "xsd:dateTime", "@value": time}))
    }

    /// Sets a property to other nodes, if there are any.
    pub(super) fn links(self, key: &str, nodes: impl IntoIterator<Item = Iri>) -> Self {
        let links = nodes.into_iter().map(|node| json!({"@id": node.text()}));
        let links: Vec<Value> = links.collect();
        if links.is_empty() {
            return self;
        }
        self.put(key, links)
    }

    /// Adds parts, which belong to this node alone.
    pub(super) fn parts(self, key: &str, parts: impl IntoIterator<Item = Self>) -> Self {
        let parts: Vec<Value> = parts.into_iter().map(|part| part.0.into()).collect();
        self.put(key, parts)
    }
}

/// Nodes, each once.
#[derive(Debug, Default)]
pub(super) struct Graph(BTreeMap<Iri, Value>);

impl Graph {
    /// Adds a node, and names it and its parts.
    pub(super) fn add(&mut self, node: Node) -> Iri {
        let mut value = Value::from(node.0);
        let iri = Iri::of(NAMESPACE, &value);
        name_parts(&mut value, iri.0);
        value["@id"] = iri.text().into();
        self.0.insert(iri, value);
        iri
    }

    /// The names of all nodes, sorted.
    pub(super) fn iris(&self) -> Vec<Iri> {
        self.0.keys().copied().collect()
    }

    /// The graph as a document of JSON-LD.
    pub(super) fn document(self) -> Value {
        let prefixes = PREFIXES.map(|(prefix, iri)| (prefix.to_owned(), iri.into()));
        json!({
            "@context": Map::from_iter(prefixes),
            "@graph": self.0.into_values().collect::<Vec<_>>(),
        })
    }
}

/// Names the parts of a node. The name depends on the node too, so that two nodes never share a part.
fn name_parts(value: &mut Value, within: Uuid) {
    match value {
        Value::Array(values) => {
            for value in values {
                name_part(value, within);
            }
        }
        Value::Object(fields) => {
            for value in fields.values_mut() {
                name_part(value, within);
            }
        }
        _ => {}
    }
}

fn name_part(value: &mut Value, within: Uuid) {
    let is_part = value.get("@type").is_some() && value.get("@value").is_none();
    if !is_part {
        return name_parts(value, within);
    }
    let iri = Iri::of(within, value);
    name_parts(value, iri.0);
    value["@id"] = iri.text().into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_content_has_one_name_and_parts_belong_to_one_node() {
        let facet = || Node::new("uco-observable:DeviceFacet").put("uco-observable:model", "x");
        let node = |name: &str| {
            Node::new("uco-observable:Device")
                .put("uco-core:name", name)
                .parts("uco-core:hasFacet", [facet()])
        };
        let mut graph = Graph::default();
        let first = graph.add(node("a"));
        assert_eq!(graph.add(node("a")), first);
        let second = graph.add(node("b"));
        assert_ne!(first, second);
        let part = |iri: Iri| graph.0[&iri]["uco-core:hasFacet"][0]["@id"].clone();
        assert!(part(first).as_str().unwrap().starts_with("urn:uuid:"));
        assert_ne!(part(first), part(second));
        assert_eq!(graph.document()["@graph"].as_array().unwrap().len(), 2);
    }
}
