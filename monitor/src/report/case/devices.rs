//! Devices, and what is stated about them.

use super::{Case, Iri, Node, relationship};
use crate::{
    evidence::FactView,
    policy::MacAddress,
    report::{
        model::{Device, OTHER_DEVICES},
        words::utc,
    },
};

impl<'a> Case<'a> {
    /// Adds the devices of the report, then the statements about them.
    pub(super) fn add_devices(&mut self) {
        let report = self.report;
        for device in &report.devices {
            let node = described(device);
            let iri = self.graph.add(node);
            self.devices.insert(device.device.as_deref(), iri);
        }
        for device in &report.devices {
            let iri = self.device(device.device.as_deref());
            self.add_facts(device, iri);
            self.add_statements(device, iri);
        }
    }

    /// The node of a device. A device without a place in the report has only its label.
    pub(super) fn device(&mut self, label: Option<&'a str>) -> Iri {
        if let Some(iri) = self.devices.get(&label) {
            return *iri;
        }
        let iri = self.graph.add(labelled(label));
        self.devices.insert(label, iri);
        iri
    }

    fn add_facts(&mut self, device: &Device, iri: Iri) {
        for fact in &device.addresses {
            let to = self.address(&fact.value);
            let node = relationship("Used", iri, to, vec![seen("The device's address", fact)]);
            let node = match &fact.first {
                Some(first) => node.time("uco-core:startTime", first),
                None => node,
            };
            self.graph.add(node);
        }
        for fact in &device.host_names {
            self.annotate([iri], &seen("A host name", fact));
        }
        for fact in &device.models {
            self.annotate([iri], &seen("A model that the device stated", fact));
        }
    }

    fn add_statements(&mut self, device: &'a Device, iri: Iri) {
        for reason in &device.possibly_several {
            let text = format!("Several devices possibly share the MAC: {}", reason.text);
            self.annotate([iri], &text);
        }
        for stated in &device.stated_same {
            let other = self.device(Some(&stated.device));
            let text = format!(
                "The operator states that this is the same device: it had the other MAC {} {}. No packet shows this.",
                stated.had, stated.since
            );
            self.annotate([iri, other], &text);
        }
        for dns in &device.encrypted_dns {
            let server = dns.server.as_deref().unwrap_or("an unknown address");
            let text = format!(
                "Encrypted DNS ({}) with the server \"{}\" at {server} was seen from {} to {} (UTC), so names may be missing.",
                dns.kind,
                dns.name,
                utc(&dns.first),
                utc(&dns.last)
            );
            self.annotate([iri], &text);
        }
        let others = device.policies.iter().flat_map(|policy| &policy.others);
        for other in others {
            if let Some(why) = &other.possibly_same {
                let other = self.device(other.device.as_deref());
                let text = format!("The two MACs possibly belong to the same device: {why}");
                self.annotate([iri, other], &text);
            }
        }
    }
}

fn labelled(label: Option<&str>) -> Node {
    let Some(label) = label else {
        return Node::new("uco-observable:ObservableObject").put("uco-core:name", OTHER_DEVICES);
    };
    let node = Node::new("uco-observable:Device").put("uco-core:name", label);
    // A pseudonym is no MAC.
    if label.parse::<MacAddress>().is_err() {
        return node;
    }
    let facet =
        Node::new("uco-observable:MACAddressFacet").put("uco-observable:addressValue", label);
    node.parts("uco-core:hasFacet", [facet])
}

fn described(device: &Device) -> Node {
    let mut description = Vec::new();
    if device.device.is_some() {
        description.push(
            "A device is a source MAC on a filtered interface. A MAC can be copied, and one MAC may stand for several devices."
                .to_owned(),
        );
    }
    if let Some(name) = &device.name {
        let source = device.name_source.as_deref().unwrap_or("the operator");
        description.push(format!("Name \"{name}\", stated by: {source}."));
    }
    if let Some(vendor) = &device.vendor {
        let date = device.vendor_as_of.as_deref().unwrap_or("an unknown date");
        description.push(format!(
            "The registry of MACs assigned this MAC to {vendor} (list of {date}). This does not prove the maker of the device."
        ));
    }
    if device.randomised {
        description.push("The MAC is locally administered, possibly randomised.".to_owned());
    }
    labelled(device.device.as_deref()).texts("uco-core:description", description)
}

/// A fact with its source and times.
fn seen(what: &str, fact: &FactView) -> String {
    let times = match (&fact.first, &fact.last) {
        (Some(first), Some(last)) => format!(", from {} to {} (UTC)", utc(first), utc(last)),
        _ => String::new(),
    };
    format!(
        "{what}: \"{}\". Source: {}{times}.",
        fact.value, fact.source
    )
}
