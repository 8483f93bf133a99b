//! The flows of a report as lines of EVE JSON, in the form of `monitor events --format eve`.

use std::{
    hash::{Hash as _, Hasher as _},
    net::{IpAddr, Ipv4Addr},
};

use fnv::FnvHasher;
use serde_json::{Map, Value, json};

use super::model::{Flow, Name, Report};
use crate::{
    evidence::event::{Contact, EventView, Happening, Named},
    policy::MacAddress,
    printable,
};

/// One line for the first contact of each flow, and one for each of its names, in the order of
/// the flows. Rows for all other destinations have no line. A destination that is a pseudonym is
/// in `dest_pseudonym` instead of `dest_ip`.
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
    let Some(destination) = &flow.destination else {
        return Vec::new();
    };
    // `line` replaces what is written of a pseudonym.
    let destination = destination
        .parse()
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
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
    let Some(object) = eve.as_object_mut() else {
        return eve;
    };
    let to = flow.destination.as_deref().unwrap_or_default();
    let is_pseudonym = to.parse::<IpAddr>().is_err();
    if is_pseudonym {
        put_pseudonym(object, to);
    }
    // A pseudonym is no MAC.
    if let (None, Some(label)) = (device, &flow.device) {
        object.insert("ether".to_owned(), json!({"src_mac": label}));
    }
    if is_pseudonym || device.is_none() {
        object.insert("flow_id".to_owned(), flow_id(flow).into());
    }
    eve
}

/// Replaces the destination of an event by a pseudonym, which is no address.
fn put_pseudonym(object: &mut Map<String, Value>, to: &str) {
    object.remove("dest_ip");
    object.insert("dest_pseudonym".to_owned(), to.into());
    if let Some(dns) = object.get_mut("dns").and_then(Value::as_object_mut) {
        dns.remove("grouped");
    }
}

/// The same number for all events of a flow, below 2^53 as in other events.
fn flow_id(flow: &Flow) -> u64 {
    let mut hash = FnvHasher::default();
    (&flow.device, &flow.destination, &flow.protocol, flow.port).hash(&mut hash);
    hash.finish() >> 11
}
