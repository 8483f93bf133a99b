//! Families about policies, and about the devices that policies matched.

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
        .flat_map(|p| {
            let of = |direction, verdicts| {
                by_verdict(
                    &[("policy", p.name.as_str()), ("direction", direction)],
                    verdicts,
                )
            };
            [of("out", &p.matched), of("in", &p.incoming)]
                .into_iter()
                .flatten()
        })
        .collect();
    let in_force: Vec<_> = policies
        .iter()
        .filter_map(|p| Some((p, p.action?)))
        .collect();
    let mut families = Vec::from(packets_and_bytes(
        "monitor_policy",
        "Packets that the policy matched, by direction and verdict; another policy may have decided the verdict. \
         A packet counts under every policy that matched it, so the sum over all policies can be more than the number of packets. Devices retry, so dropped packets are attempts.",
        "Bytes of the packets that the policy matched, layer 2 included, by direction and verdict.",
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
        help: "The policies in force and their actions; the value is always 1.",
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
        help: "Number of distinct prefixes of a policy in force, with the IPv6 prefixes derived from IPv4 destinations.",
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
        "Packets of the device that the policy matched, by verdict. A device is a source MAC, the last hop; \
         several devices may use one MAC. Device other: all devices without a label of their own. Device past: all forgotten devices. \
         The sum of all devices of a policy is the count of the policy.",
        "Bytes of the packets of the device that the policy matched, layer 2 included, by verdict.",
        &counts,
    )
}

pub(super) fn policy_slots(used: u64) -> Family {
    let free = u64::from(MAX_POLICIES).saturating_sub(used);
    Family {
        name: "monitor_policy_slots",
        help: "Slots for the counters of policies. Used: one for every policy name that was in force since the last `monitor detach`. \
               If none is free, a policy with a new name is refused.",
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
        help: "Places in the device tables, one for each device and policy that matched it. Kept for any: every device can use them, also one with a made-up MAC. \
               Kept for named or neighbour: only known devices use them, when the first kind is full.",
        unit: None,
        kind: Kind::Gauge,
        samples: samples.collect(),
    }
}
