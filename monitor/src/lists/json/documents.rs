//! The documents that providers publish, and where their addresses stand.

use super::{reports::Report, shape::Shape};

/// A published document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document {
    /// The publishers, for messages.
    pub(super) name: &'static str,
    /// Every path with addresses, or with objects that have addresses.
    pub(super) paths: &'static [&'static str],
    /// The format of the objects at these paths, if they are objects.
    pub(super) report: Option<Report>,
}

/// A bundle of STIX 2 objects. Its standard says where addresses stand, so other paths
/// with addresses, such as the name of an object, are ignored.
const STIX: Document = Document {
    name: "the valid indicators of a STIX bundle",
    paths: &["$.objects[*]"],
    report: None,
};

/// An event of MISP. Its format says where addresses stand.
const MISP: Document = Document {
    name: "the attributes of MISP events with type `ip-*`",
    paths: &[
        "$.Event.Attribute[*]",
        "$.Event.Object[*].Attribute[*]",
        "$.response[*].Event.Attribute[*]",
        "$.response[*].Event.Object[*].Attribute[*]",
        "$.response.Attribute[*]",
    ],
    report: Some(Report::Misp),
};

/// The known documents.
const DOCUMENTS: [Document; 12] = [
    Document {
        name: "an array of addresses",
        paths: &["$[*]"],
        report: None,
    },
    Document {
        name: "ranges as Google, Bing and OpenAI publish them",
        paths: &["$.prefixes[*].ipv4Prefix", "$.prefixes[*].ipv6Prefix"],
        report: None,
    },
    Document {
        name: "the ranges of Amazon Web Services",
        paths: &["$.prefixes[*].ip_prefix", "$.ipv6_prefixes[*].ipv6_prefix"],
        report: None,
    },
    Document {
        name: "the service tags of Azure",
        paths: &["$.values[*].properties.addressPrefixes[*]"],
        report: None,
    },
    Document {
        name: "the endpoints of Microsoft 365",
        paths: &["$[*].ips[*]"],
        report: None,
    },
    Document {
        name: "the ranges of Oracle Cloud",
        paths: &["$.regions[*].cidrs[*].cidr"],
        report: None,
    },
    Document {
        name: "the ranges of Fastly",
        paths: &["$.addresses[*]", "$.ipv6_addresses[*]"],
        report: None,
    },
    Document {
        name: "the ranges of Cloudflare",
        paths: &["$.result.ipv4_cidrs[*]", "$.result.ipv6_cidrs[*]"],
        report: None,
    },
    Document {
        name: "the ranges of a country or network (ipverse)",
        paths: &[
            "$.subnets.ipv4[*]",
            "$.subnets.ipv6[*]",
            "$.prefixes.ipv4[*]",
            "$.prefixes.ipv6[*]",
        ],
        report: None,
    },
    Document {
        name: "the ranges of GitHub",
        paths: &[
            "$.hooks[*]",
            "$.web[*]",
            "$.api[*]",
            "$.git[*]",
            "$.github_enterprise_importer[*]",
            "$.packages[*]",
            "$.pages[*]",
            "$.importer[*]",
            "$.actions[*]",
            "$.actions_macos[*]",
            "$.codespaces[*]",
            "$.copilot[*]",
            "$.dependabot[*]",
        ],
        report: None,
    },
    Document {
        name: "the announced prefixes of RIPEstat",
        paths: &["$.data.prefixes[*].prefix"],
        report: None,
    },
    Document {
        name: "the country resources of RIPEstat",
        paths: &["$.data.resources.ipv4[*]", "$.data.resources.ipv6[*]"],
        report: None,
    },
];

/// Returns the document all of whose paths with addresses are known. Returns `None` if
/// there is another path with addresses: the document can then be read in several ways.
pub(super) fn document(shape: &Shape) -> Option<Document> {
    if shape.is_bundle && shape.has(STIX.paths) {
        let has_indicators = shape.has_indicators;
        let report = Some(Report::Stix { has_indicators });
        return Some(Document { report, ..STIX });
    }
    let has_values = |path: &&str| shape.has(&[&format!("{path}.value")]);
    if MISP.paths.iter().any(has_values) {
        return Some(MISP);
    }
    let found = shape.found();
    let is_it = |document: &Document| {
        let is_known = |found: &super::shape::Found| document.paths.contains(&found.path.as_str());
        !found.is_empty() && found.iter().all(is_known)
    };
    DOCUMENTS.into_iter().find(is_it)
}
