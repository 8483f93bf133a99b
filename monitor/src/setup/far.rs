//! The interfaces that lead to the internet, with those below them.

use std::collections::BTreeMap;

use crate::doctor::facts::{Link, Network};

/// Why an interface leads to the internet, by index: a default route leads to it, it carries a
/// PPPoE session with one, or it carries such an interface.
pub(super) fn reasons(network: &Network) -> BTreeMap<u32, String> {
    let routed = network.far_sides.iter().map(|index| {
        let why = "a default route leads there: behind address translation the devices cannot be told apart";
        (*index, why.to_owned())
    });
    let mut found: BTreeMap<u32, String> = routed.collect();
    let session = network
        .links
        .iter()
        .find(|link| link.mac.is_none() && found.contains_key(&link.index));
    if let Some(session) = session {
        let carriers = network
            .links
            .iter()
            .filter(|link| network.pppoe.contains(&link.name));
        let carriers: Vec<_> = carriers
            .map(|link| (link.index, carries(session)))
            .collect();
        found.extend(carriers);
    }
    // Each round goes one interface down.
    for _ in 0..network.links.len() {
        let upper = network
            .links
            .iter()
            .filter(|link| found.contains_key(&link.index));
        let below = upper.filter_map(|link| Some((link.lower?, carries(link))));
        let new: Vec<_> = below
            .filter(|(index, _)| !found.contains_key(index))
            .collect();
        if new.is_empty() {
            break;
        }
        found.extend(new);
    }
    found
}

fn carries(upper: &Link) -> String {
    format!("it carries {}, to which a default route leads", upper.name)
}
