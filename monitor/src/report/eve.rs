//! The flows of a report as lines of EVE JSON, in the form of `monitor events --format eve`.

use serde_json::{Value, json};

use super::model::{Flow, Name, Report};
use crate::{
    evidence::event::{Contact, EventView, Happening, Named},
    policy::MacAddress,
    printable,
};

/// One line for the first contact of each flow, and one for each of its names, in the order of
/// the flows. Rows for all other destinations have no line.
#[must_use]
pub fn eve(report: &Report) -> String {
    let mut text = String::new();
    for flow in &report.flows {
        for (at, what) in happenings(flow) {
            text.push_str(&printable::json(&line(flow, at, what).to_string()));
            text.push('\n');
        }
    }
    text
}

fn happenings(flow: &Flow) -> Vec<(&str, Happening)> {
    let Some(destination) = flow
        .destination
        .as_deref()
        .and_then(|text| text.parse().ok())
    else {
        return Vec::new();
    };
    let contact = Happening::FirstContact(Contact {
        interface: flow.interface.clone(),
        direction: flow.direction.clone(),
        destination,
        protocol: flow.protocol.clone(),
        port: flow.port,
        policies: flow
            .policies
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect(),
        packets: flow.packets,
        dropped: flow.dropped,
    });
    let named = |name: &Name| {
        Happening::Name(Named {
            destination,
            protocol: flow.protocol.clone(),
            port: flow.port.unwrap_or(0),
            name: name.name.clone(),
            how: name.how.clone(),
            from: name.from.as_deref().and_then(|text| text.parse().ok()),
            ech: name.ech.clone(),
        })
    };
    let claims = flow
        .names
        .iter()
        .map(|name| (name.at.as_str(), named(name)));
    std::iter::once((flow.first.as_str(), contact))
        .chain(claims)
        .collect()
}

fn line(flow: &Flow, at: &str, what: Happening) -> Value {
    let device: Option<MacAddress> = flow.device.as_deref().and_then(|text| text.parse().ok());
    let view = EventView {
        id: 0,
        at: at.to_owned(),
        device,
        what,
    };
    let mut eve = view.to_eve();
    // A pseudonym is no MAC.
    if let (None, Some(label)) = (device, &flow.device)
        && let Some(object) = eve.as_object_mut()
    {
        object.insert("ether".to_owned(), json!({"src_mac": label}));
    }
    eve
}
