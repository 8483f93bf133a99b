//! The report as JSON-LD of CASE 1.4 and UCO 1.4, for tools of digital forensics
//! (<https://caseontology.org>, <https://unifiedcyberontology.org>).
//!
//! ```text
//! Tool ◄─instrument─ InvestigativeAction ─result─► ProvenanceRecord ─object─► all below
//! Device ◄─src─ NetworkConnection ─dst─► IPv4Address ◄─object─ Annotation: a stated holder
//!                     ▲ target
//! File: SHA-256 of a capture ◄─result─ InvestigativeAction: the capture
//! DomainName ◄─source─┴─ ObservableRelationship: how the name was learnt
//! ```
//!
//! A name is never a property of an address or of a connection: a relationship of its own says
//! how it was learnt. Statements of files, devices and the operator are annotations.

mod captures;
mod devices;
mod flows;
mod graph;
mod record;

use std::collections::BTreeMap;

use self::graph::{Graph, Iri, Node};
use super::model::Report;
use crate::printable;

/// The graph under construction.
struct Case<'a> {
    report: &'a Report,
    graph: Graph,
    /// The node of each device, by its MAC or pseudonym.
    devices: BTreeMap<Option<&'a str>, Iri>,
}

/// The report as one document of JSON-LD. Equal reports give equal bytes: the names of the
/// nodes are UUIDs of their content (version 5, RFC 9562).
///
/// # Errors
///
/// Returns an error if the document cannot be written as JSON.
pub fn case(report: &Report) -> serde_json::Result<String> {
    let mut case = Case {
        report,
        graph: Graph::default(),
        devices: BTreeMap::new(),
    };
    case.add_devices();
    case.add_flows();
    case.add_record();
    let text = serde_json::to_string_pretty(&case.graph.document())?;
    Ok(format!("{}\n", printable::json(&text)))
}

impl Case<'_> {
    /// Adds a statement about nodes. The statement itself names its source.
    fn annotate(&mut self, about: impl IntoIterator<Item = Iri>, statement: &str) -> Iri {
        let node = Node::new("uco-core:Annotation").put("uco-core:statement", statement);
        self.graph.add(node.links("uco-core:object", about))
    }

    /// The node of an address, or of the pseudonym of one.
    fn address(&mut self, text: &str) -> Iri {
        let class = match text.parse() {
            Ok(std::net::IpAddr::V4(_)) => "IPv4Address",
            Ok(std::net::IpAddr::V6(_)) => "IPv6Address",
            // A pseudonym is the name of an address, and not its value.
            Err(_) => {
                let node = Node::new("uco-observable:IPAddress").put("uco-core:name", text);
                return self.graph.add(node);
            }
        };
        let facet = Node::new(&format!("uco-observable:{class}Facet"))
            .put("uco-observable:addressValue", text);
        let node = Node::new(&format!("uco-observable:{class}"));
        self.graph.add(node.parts("uco-core:hasFacet", [facet]))
    }
}

/// A relationship that a source states.
fn relationship(kind: &str, from: Iri, to: Iri, description: Vec<String>) -> Node {
    Node::new("uco-observable:ObservableRelationship")
        .put("uco-core:kindOfRelationship", kind)
        .put("uco-core:isDirectional", true)
        .links("uco-core:source", [from])
        .links("uco-core:target", [to])
        .texts("uco-core:description", description)
}
