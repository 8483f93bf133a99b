//! Devices with their sums, timelines and neighbours.

use jiff::SignedDuration;

use crate::{
    clock::to_the_second,
    evidence::DeviceView,
    policy::MacAddress,
    report::{
        MOST_DEVICES,
        facts::Facts,
        model::{Device, DevicePolicy, EncryptedDns, Other, StatedSame, Sum, Timeline, Total},
    },
    store::GroupSum,
};

/// The most other devices that are listed beside a device and policy.
const MOST_OTHERS: usize = 20;

/// True if the report is about this device.
fn is_subject(facts: &Facts, device: Option<MacAddress>) -> bool {
    facts.subjects.is_empty() || device.is_some_and(|mac| facts.subjects.contains(&mac))
}

/// Sums over all devices that the report is about.
pub(super) fn total(facts: &Facts) -> Total {
    let sums = facts.sums.devices.iter();
    let own = sums.filter(|group| is_subject(facts, group.device));
    own.fold(Total::default(), |total, group| Total {
        devices: total.devices + 1,
        packets: total.packets + group.passed.packets + group.dropped.packets,
        bytes: total.bytes + group.passed.bytes + group.dropped.bytes,
        dropped: total.dropped + group.dropped.packets,
    })
}

/// The devices with the most packets, and the number of the others.
pub(super) fn devices(facts: &Facts) -> (Vec<Device>, u64) {
    let mut sums: Vec<&GroupSum> = facts.sums.devices.iter().collect();
    let is_subject = |device: Option<MacAddress>| is_subject(facts, device);
    sums.sort_by_key(|sum| {
        let packets = sum.passed.packets + sum.dropped.packets;
        (
            !is_subject(sum.device),
            std::cmp::Reverse(packets),
            sum.device,
        )
    });
    let more = sums.len().saturating_sub(MOST_DEVICES) as u64;
    sums.truncate(MOST_DEVICES);
    let mut devices: Vec<_> = sums
        .iter()
        .map(|group| Device {
            is_subject: is_subject(group.device),
            sum: sum(group),
            policies: device_policies(facts, group.device),
            ..device(facts, group.device)
        })
        .collect();
    let silent = facts.subjects.iter().filter(|mac| {
        let mut seen = facts.sums.devices.iter();
        seen.all(|sum| sum.device != Some(**mac))
    });
    devices.extend(silent.map(|mac| Device {
        is_subject: true,
        ..device(facts, Some(*mac))
    }));
    devices.sort_by(|a, b| (!a.is_subject, &a.device).cmp(&(!b.is_subject, &b.device)));
    (devices, more)
}

/// What is known about a device, without its packets.
fn device(facts: &Facts, mac: Option<MacAddress>) -> Device {
    let mut views = facts.devices.iter();
    let view: DeviceView = views
        .find(|view| view.head.device == mac)
        .cloned()
        .unwrap_or_default();
    let encrypted = facts.encrypted.iter().filter(|one| Some(one.device) == mac);
    Device {
        device: mac.map(|mac| mac.to_string()),
        name: view.head.name,
        name_source: view.head.name_source,
        vendor: view.head.vendor,
        vendor_as_of: view.head.vendor_as_of,
        randomised: view.head.randomised,
        stated_same: view
            .head
            .stated_same
            .into_iter()
            .map(|stated| StatedSame {
                device: stated.device.to_string(),
                since: stated.since,
                had: stated.had,
            })
            .collect(),
        addresses: view.addresses,
        host_names: view.host_names,
        models: view.models,
        possibly_several: view.possibly_several,
        encrypted_dns: encrypted
            .map(|one| EncryptedDns {
                kind: one.kind.clone(),
                server: one.address.map(|address| address.to_string()),
                name: one.name.clone(),
                first: to_the_second(one.first),
                last: to_the_second(one.last),
            })
            .collect(),
        ..Device::default()
    }
}

fn sum(group: &GroupSum) -> Sum {
    Sum {
        packets: group.passed.packets + group.dropped.packets,
        bytes: group.passed.bytes + group.dropped.bytes,
        dropped: group.dropped.packets,
        destinations: group.destinations,
        more_destinations: group.has_other_destinations,
        first: to_the_second(group.first),
        last: to_the_second(group.last),
    }
}

fn device_policies(facts: &Facts, device: Option<MacAddress>) -> Vec<DevicePolicy> {
    let own = facts
        .sums
        .groups
        .iter()
        .filter(|group| group.device == device);
    let policies = own.map(|group| {
        let mut others: Vec<_> = facts
            .sums
            .groups
            .iter()
            .filter(|other| other.policy == group.policy && other.device != device)
            .map(|other| Other {
                device: other.device.map(|mac| mac.to_string()),
                sum: sum(other),
                shared_networks: shared(facts, group, other),
                possibly_same: possibly_same(facts, device, other.device).map(str::to_owned),
            })
            .collect();
        others.sort_by(|a, b| {
            let key = |other: &Other| std::cmp::Reverse((other.shared_networks, other.sum.packets));
            (key(a), &a.device).cmp(&(key(b), &b.device))
        });
        let more_others = others.len().saturating_sub(MOST_OTHERS) as u64;
        others.truncate(MOST_OTHERS);
        DevicePolicy {
            policy: group
                .policy
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            sum: sum(group),
            timeline: timeline(facts, group),
            others,
            more_others,
        }
    });
    policies.collect()
}

/// Why two MACs may be one device.
fn possibly_same(
    facts: &Facts,
    one: Option<MacAddress>,
    other: Option<MacAddress>,
) -> Option<&'static str> {
    let (one, other) = (one?, other?);
    let view = |mac| {
        facts
            .devices
            .iter()
            .find(move |view| view.head.device == Some(mac))
    };
    let states = |mac, same| {
        let stated = view(mac)
            .into_iter()
            .flat_map(|view| &view.head.stated_same);
        stated.into_iter().any(|stated| stated.device == same)
    };
    let is_randomised = |mac| view(mac).is_some_and(|view| view.head.randomised);
    if states(one, other) || states(other, one) {
        Some("the same device, as the operator states")
    } else if is_randomised(one) || is_randomised(other) {
        Some("possibly the same device: a MAC is locally administered")
    } else {
        None
    }
}

fn shared(facts: &Facts, group: &GroupSum, other: &GroupSum) -> u64 {
    let Some(policy) = &group.policy else {
        return 0;
    };
    let pair = (policy.clone(), group.device, other.device);
    facts.sums.shared.get(&pair).copied().unwrap_or(0)
}

fn timeline(facts: &Facts, group: &GroupSum) -> Timeline {
    let sums = &facts.sums;
    let slot = SignedDuration::from_secs(sums.slot_seconds);
    let length = facts.until.duration_since(sums.first_slot).as_secs().max(0);
    let number = usize::try_from(length / sums.slot_seconds.max(1) + 1).unwrap_or(1);
    let mut timeline = Timeline {
        since: to_the_second(sums.first_slot),
        slot_seconds: sums.slot_seconds,
        passed: vec![0; number],
        dropped: vec![0; number],
        attached: Vec::with_capacity(number),
    };
    let own = sums
        .slots
        .iter()
        .filter(|slot| Some(&slot.policy) == group.policy.as_ref() && slot.device == group.device);
    for slot in own {
        let at = (slot.number as usize).min(number - 1);
        timeline.passed[at] += slot.passed;
        timeline.dropped[at] += slot.dropped;
    }
    let mut from = sums.first_slot;
    for _ in 0..number {
        let to = from.checked_add(slot).unwrap_or(facts.until);
        let mut attachments = facts.attachments.iter();
        let is_attached = attachments.any(|one| one.since < to && one.until >= from);
        timeline.attached.push(is_attached);
        from = to;
    }
    timeline
}
