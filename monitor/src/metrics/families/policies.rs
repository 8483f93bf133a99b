//! Families about policies, and about devices by policy.

use monitor_common::MAX_POLICIES;

use super::{
    super::{
        device_labels::{DeviceLabels, OTHER_DEVICES, PAST_DEVICES},
        family::{Family, Kind},
    },
    counts::{by_verdict, packets_and_bytes},
};
use crate::{
    policy::Action,
    snapshot::{PlacesSnapshot, PolicySnapshot},
};

pub(super) fn policies(policies: &[PolicySnapshot]) -> Vec<Family> {
    let counts: Vec<_> = policies
        .iter()
        .flat_map(|p| by_verdict(&[("policy", &p.name)], &p.matched))
        .collect();
    let in_force: Vec<_> = policies
        .iter()
        .filter_map(|p| Some((p, p.action?)))
        .collect();
    let mut families = Vec::from(packets_and_bytes(
        "monitor_policy",
        "Packets that the policy matched, by what became of them: another policy may have decided. \
         A packet counts under every policy that matched it, so policies do not add up. Dropped packets are attempts.",
        "Bytes of the packets that the policy matched, layer 2 included, by what became of them.",
        &counts,
    ));
    families.push(policy_info(&in_force));
    families.push(policy_prefixes(&in_force));
    families
}

fn policy_info(in_force: &[(&PolicySnapshot, Action)]) -> Family {
    let samples = in_force
        .iter()
        .map(|(p, action)| {
            let labels = vec![
                ("policy", p.name.clone()),
                ("action", action.name().to_owned()),
            ];
            (labels, 1)
        })
        .collect();
    Family {
        name: "monitor_policy",
        help: "The policies in force and what each asks for; the value is always 1.",
        unit: None,
        kind: Kind::Info,
        samples,
    }
}

fn policy_prefixes(in_force: &[(&PolicySnapshot, Action)]) -> Family {
    let samples = in_force
        .iter()
        .flat_map(|(p, _)| {
            [("ipv4", p.prefixes.v4), ("ipv6", p.prefixes.v6)].map(|(family, prefixes)| {
                let labels = vec![("policy", p.name.clone()), ("family", family.to_owned())];
                (labels, prefixes as u64)
            })
        })
        .collect();
    Family {
        name: "monitor_policy_prefixes",
        help: "Distinct prefixes that a policy in force has in the ruleset, derived ones included.",
        unit: None,
        kind: Kind::Gauge,
        samples,
    }
}

pub(super) fn devices(policies: &[PolicySnapshot], labels: &DeviceLabels) -> [Family; 2] {
    let mut counts = Vec::new();
    for policy in policies {
        let devices = labels.counts(policy);
        for (device, verdicts) in &devices.labelled {
            counts.extend(by_verdict(
                &[("device", device), ("policy", &policy.name)],
                verdicts,
            ));
        }
        let other = [("device", OTHER_DEVICES), ("policy", &policy.name)];
        counts.extend(by_verdict(&other, &devices.other));
        let past = [("device", PAST_DEVICES), ("policy", &policy.name)];
        counts.extend(by_verdict(&past, &devices.past));
    }
    packets_and_bytes(
        "monitor_device",
        "Packets of the device that the policy matched, by what became of them. A device is a source MAC, the last hop, \
         which may hide several. Device other: those without a label of their own. Device past: those whose places were taken back. \
         So the devices of a policy add up to it.",
        "Bytes of the packets of the device that the policy matched, layer 2 included, by what became of them.",
        &counts,
    )
}

pub(super) fn policy_slots(used: u64) -> Family {
    let free = u64::from(MAX_POLICIES).saturating_sub(used);
    Family {
        name: "monitor_policy_slots",
        help: "Places for the counters of policies. Used: by every policy that was ever in force, until `monitor detach`; \
               where none is free, a policy with a new name is refused.",
        unit: None,
        kind: Kind::Gauge,
        samples: [("used", used), ("free", free)]
            .map(|(state, slots)| (vec![("state", state.to_owned())], slots))
            .into(),
    }
}

pub(super) fn device_places(places: &[PlacesSnapshot]) -> Family {
    let samples = places.iter().flat_map(|places| {
        let free = places.size.saturating_sub(places.used);
        [("used", places.used), ("free", free)].map(|(state, number)| {
            let labels = vec![
                ("kept_for", places.kept_for.clone()),
                ("state", state.to_owned()),
            ];
            (labels, number as u64)
        })
    });
    Family {
        name: "monitor_device_places",
        help: "Places in the device tables, one for each device and policy that matched it. Kept for any: used by made-up MACs too; \
               named and neighbour: used by known devices alone, where the first has no room.",
        unit: None,
        kind: Kind::Gauge,
        samples: samples.collect(),
    }
}
