//! Facts about devices for the store.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    evidence::{SeenAddress, learner::StatedModel},
    policy::MacAddress,
    store::DeviceFact,
};

/// Facts about devices: the source addresses of their packets, and the models they stated.
pub(super) fn facts_of(
    addresses: &[SeenAddress],
    models: &[StatedModel],
) -> BTreeMap<MacAddress, Vec<DeviceFact>> {
    let addresses = addresses.iter().map(|seen| {
        let address = seen.address.to_string();
        (seen.device, ("address", address, "frame"), seen.at)
    });
    let models = models.iter().map(|model| {
        let source = model.source.word();
        (
            model.device,
            ("model", model.model.clone(), source),
            model.at,
        )
    });
    let mut periods: BTreeMap<_, (Timestamp, Timestamp)> = BTreeMap::new();
    for (device, fact, at) in addresses.chain(models) {
        let period = periods.entry((device, fact)).or_insert((at, at));
        *period = (period.0.min(at), period.1.max(at));
    }
    let mut facts: BTreeMap<MacAddress, Vec<DeviceFact>> = BTreeMap::new();
    for ((device, (kind, value, source)), (first, last)) in periods {
        facts.entry(device).or_default().push(DeviceFact {
            kind: kind.to_owned(),
            value,
            source: source.to_owned(),
            first,
            last,
        });
    }
    facts
}
