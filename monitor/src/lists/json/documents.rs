//! The documents that providers publish, and where their addresses stand.

use super::shape::Shape;

/// A published document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document {
    /// The publishers, for messages.
    pub(super) name: &'static str,
    /// Every path with addresses.
    pub(super) paths: &'static [&'static str],
    /// What a value at these paths is that is not an address.
    pub(super) others: Others,
}

/// What a selected value is that is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// A bad line.
    Bad,
    /// A value of another kind, such as a name, which is left out.
    LeftOut,
}

/// A bundle of STIX 2 objects. Its standard says where addresses stand, so other paths
/// with addresses, such as the name of an object, are ignored.
const STIX: Document = Document {
    name: "a STIX bundle",
    paths: &["$.objects[*].value", "$.objects[*].pattern"],
    others: Others::LeftOut,
};

/// An event of MISP. Its format says where addresses stand.
const MISP: Document = Document {
    name: "events of MISP",
    paths: &[
        "$.Event.Attribute[*].value",
        "$.Event.Object[*].Attribute[*].value",
        "$.response[*].Event.Attribute[*].value",
        "$.response[*].Event.Object[*].Attribute[*].value",
    ],
    others: Others::LeftOut,
};

/// The known documents.
const DOCUMENTS: [Document; 12] = [
    Document {
        name: "an array of addresses",
        paths: &["$[*]"],
        others: Others::Bad,
    },
    Document {
        name: "ranges as Google, Bing and OpenAI publish them",
        paths: &["$.prefixes[*].ipv4Prefix", "$.prefixes[*].ipv6Prefix"],
        others: Others::Bad,
    },
    Document {
        name: "the ranges of Amazon Web Services",
        paths: &["$.prefixes[*].ip_prefix", "$.ipv6_prefixes[*].ipv6_prefix"],
        others: Others::Bad,
    },
    Document {
        name: "the service tags of Azure",
        paths: &["$.values[*].properties.addressPrefixes[*]"],
        others: Others::Bad,
    },
    Document {
        name: "the endpoints of Microsoft 365",
        paths: &["$[*].ips[*]"],
        others: Others::Bad,
    },
    Document {
        name: "the ranges of Oracle Cloud",
        paths: &["$.regions[*].cidrs[*].cidr"],
        others: Others::Bad,
    },
    Document {
        name: "the ranges of Fastly",
        paths: &["$.addresses[*]", "$.ipv6_addresses[*]"],
        others: Others::Bad,
    },
    Document {
        name: "the ranges of Cloudflare",
        paths: &["$.result.ipv4_cidrs[*]", "$.result.ipv6_cidrs[*]"],
        others: Others::Bad,
    },
    Document {
        name: "the ranges of a country or network (ipverse)",
        paths: &[
            "$.subnets.ipv4[*]",
            "$.subnets.ipv6[*]",
            "$.prefixes.ipv4[*]",
            "$.prefixes.ipv6[*]",
        ],
        others: Others::Bad,
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
        others: Others::Bad,
    },
    Document {
        name: "the announced prefixes of RIPEstat",
        paths: &["$.data.prefixes[*].prefix"],
        others: Others::Bad,
    },
    Document {
        name: "the country resources of RIPEstat",
        paths: &["$.data.resources.ipv4[*]", "$.data.resources.ipv6[*]"],
        others: Others::Bad,
    },
];

/// Returns the document all of whose paths with addresses are known. Returns `None` if
/// there is another path with addresses: the document can then be read in several ways.
pub(super) fn document(shape: &Shape) -> Option<Document> {
    if shape.is_bundle && shape.has(STIX.paths) {
        return Some(STIX);
    }
    if shape.has(MISP.paths) {
        return Some(MISP);
    }
    let found = shape.found();
    let is_it = |document: &Document| {
        let is_known = |found: &super::shape::Found| document.paths.contains(&found.path.as_str());
        !found.is_empty() && found.iter().all(is_known)
    };
    DOCUMENTS.into_iter().find(is_it)
}
