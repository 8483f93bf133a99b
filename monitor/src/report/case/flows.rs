//! Flows, claims about names, and statements about ranges.

use super::{Case, Iri, Node, relationship};
use crate::report::{
    claims,
    model::{Flow, Name},
    words::{bytes, list, plural},
};

impl Case<'_> {
    /// Adds each flow with its names and the statements about its range.
    pub(super) fn add_flows(&mut self) {
        for flow in &self.report.flows {
            let from = self.device(flow.device.as_deref());
            let to = flow.destination.as_deref().map(|to| self.address(to));
            let connection = self.graph.add(connection(flow, from, to));
            for name in &flow.names {
                self.add_name(name, connection);
            }
            let stated = flow.holder.iter().flat_map(claims::range_lines);
            for (kind, text) in stated {
                let about = to.unwrap_or(connection);
                self.annotate([about], &format!("{kind}: {text}"));
            }
        }
    }

    fn add_name(&mut self, name: &Name, connection: Iri) {
        let from = self.graph.add(named(&name.name));
        let mut description = vec![format!(
            "The name was seen {}. It is a claim, not a fact about the destination.",
            claims::how(&name.how)
        )];
        if let Some(server) = &name.from {
            description.push(format!("The DNS server {server} answered."));
        }
        if !name.chain.is_empty() {
            description.push(format!("The answer has the names {}.", list(&name.chain)));
        }
        if let Some(ech) = &name.ech {
            description.push(format!("Encrypted Client Hello: {ech}."));
        }
        let node = relationship(kind(&name.how), from, connection, description);
        self.graph.add(node.time("uco-core:startTime", &name.at));
    }
}

/// The kind of the relationship between a name and a connection.
fn kind(how: &str) -> &'static str {
    match how {
        "dns" => "Claimed_By_DNS_Answer",
        "dns-other" => "Claimed_By_DNS_Answer_To_Other_Device",
        "dns-hint" => "Claimed_By_Hint_In_DNS_Answer",
        "sni" => "Claimed_By_TLS_Hello",
        "sni-outer" => "Claimed_By_Public_Name_In_TLS_Hello",
        "quic" => "Claimed_By_QUIC_Hello",
        "http-host" => "Claimed_By_HTTP_Request",
        claims::ASKED => "Asked_For_In_Request",
        _ => "Claimed",
    }
}

/// The node of a name. An address, a pseudonym or another text is no domain name.
fn named(name: &str) -> Node {
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        !label.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let labels: Vec<_> = name.trim_end_matches('.').split('.').collect();
    let top = labels.last().copied().unwrap_or_default();
    let is_domain = labels.len() > 1
        && labels.iter().all(|label| is_label(label))
        && !top.bytes().all(|byte| byte.is_ascii_digit());
    if !is_domain {
        return Node::new("uco-observable:ObservableObject").put("uco-core:name", name);
    }
    let facet = Node::new("uco-observable:DomainNameFacet").put("uco-observable:value", name);
    Node::new("uco-observable:DomainName").parts("uco-core:hasFacet", [facet])
}

fn connection(flow: &Flow, from: Iri, to: Option<Iri>) -> Node {
    let mut facet = Node::new("uco-observable:NetworkConnectionFacet")
        .links("uco-observable:src", [from])
        .links("uco-observable:dst", to)
        .time("uco-observable:startTime", &flow.first)
        .time("uco-observable:endTime", &flow.last)
        .parts("uco-observable:protocols", [protocols(flow)]);
    if let Some(port) = flow.port {
        facet = facet.put("uco-observable:destinationPort", port);
    }
    let counts = Node::new("uco-observable:NetworkFlowFacet")
        .put("uco-observable:srcPackets", flow.packets)
        .put("uco-observable:srcBytes", flow.bytes);
    Node::new("uco-observable:NetworkConnection")
        .texts("uco-core:description", description(flow))
        .parts("uco-core:hasFacet", [facet, counts])
}

fn protocols(flow: &Flow) -> Node {
    let family = flow.destination.as_deref().and_then(|to| to.parse().ok());
    let network = family.map(|to: std::net::IpAddr| if to.is_ipv4() { "IPv4" } else { "IPv6" });
    let layers = [
        ("internet layer", network.map(str::to_owned)),
        ("transport layer", Some(flow.protocol.to_uppercase())),
    ];
    let entries = layers.into_iter().filter_map(|(key, value)| {
        let entry = Node::new("uco-types:ControlledDictionaryEntry").put("uco-types:key", key);
        Some(entry.put("uco-types:value", value?))
    });
    Node::new("uco-types:ControlledDictionary").parts("uco-types:entry", entries)
}

fn description(flow: &Flow) -> Vec<String> {
    let mut all = vec![
        format!(
            "The device sent {} ({}). The filter dropped {} of them. Answers are not counted.",
            plural(flow.packets, "packet", "packets"),
            bytes(flow.bytes),
            flow.dropped
        ),
        format!(
            "Interface {}. Policies that matched, the effective one first: {}.",
            flow.interface,
            list(&flow.policies)
        ),
    ];
    if let Some(why) = &flow.unreadable {
        all.push(format!("The port is not readable: {why}."));
    }
    if flow.destination.is_none() {
        all.push("All destinations beyond the limits of the store, as one sum.".to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_domain_names_are_domain_names() {
        let class = |name: &str| format!("{:?}", named(name)).contains("DomainName");
        for name in [
            "api.cloud.example",
            "_dns.resolver.arpa.",
            "name-12ab.dns.example",
        ] {
            assert!(class(name), "{name}");
        }
        for name in [
            "192.0.2.1",
            "192.0.2.1:80",
            "[2001:db8::1]",
            "name-12ab",
            "a b.example",
            "",
        ] {
            assert!(!class(name), "{name}");
        }
    }
}
