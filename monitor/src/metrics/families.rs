//! Snapshot → metric families: which numbers are shown under which names.

use monitor_common::MAX_POLICIES;
use prometheus_client::registry::Unit;

use super::{
    device_labels::{DeviceLabels, OTHER_DEVICES, PAST_DEVICES},
    family::{Families, Family, Kind, Labels},
};
use crate::{
    policy::Action,
    snapshot::{
        Count, FeedSnapshot, FeedState, InterfaceSnapshot, PlacesSnapshot, PolicySnapshot,
        ReloadSnapshot, Snapshot, Unconfirmed, Verdicts,
    },
};

/// Every family, in a fixed order.
pub(super) fn of(snapshot: &Snapshot, labels: &DeviceLabels) -> Families {
    let mut families = Vec::new();
    families.push(build());
    families.extend(interfaces(&snapshot.interfaces));
    families.extend(policies(&snapshot.policies));
    families.extend(devices(&snapshot.policies, labels));
    families.push(policy_slots(snapshot.policies.len() as u64));
    families.push(device_places(&snapshot.places));
    families.push(lost(snapshot));
    families.extend(reload(snapshot.reload.as_ref()));
    families.extend(unconfirmed(snapshot.unconfirmed.as_ref()));
    families.extend(feeds(&snapshot.feeds));
    Families(families)
}

fn build() -> Family {
    Family {
        name: "monitor_build",
        help: "The version of monitor that serves these metrics; the value is always 1.",
        unit: None,
        kind: Kind::Info,
        samples: vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1)],
    }
}

fn interfaces(interfaces: &[InterfaceSnapshot]) -> Vec<Family> {
    let mut families = Vec::from(packets_and_bytes(
        "monitor_interface",
        "Packets that the filter saw on the interface, by verdict and family; in generic mode a GRO aggregate is one packet. \
         Family other: frames that the parser gave up on, see monitor_unparsed_packets, or frames that passed without being parsed, see reason not_confirmed of monitor_lost.",
        "Bytes of the packets that the filter saw on the interface, layer 2 included, by verdict and family.",
        &interfaces
            .iter()
            .flat_map(interface_counts)
            .collect::<Vec<_>>(),
    ));
    families.push(unparsed(interfaces));
    families.push(Family {
        name: "monitor_generation",
        help: "Number of the generation in force on the interface; no series where none is.",
        unit: None,
        kind: Kind::Gauge,
        samples: interfaces
            .iter()
            .filter_map(|i| Some((vec![("interface", i.name.clone())], i.generation?)))
            .collect(),
    });
    families.push(attached(interfaces));
    families
}

fn interface_counts(interface: &InterfaceSnapshot) -> Vec<(Labels, Count)> {
    let mut other = interface.unparsed_sum();
    other.passed += interface.not_confirmed;
    [
        ("passed", "ipv4", interface.ipv4.passed),
        ("passed", "ipv6", interface.ipv6.passed),
        ("passed", "other", other.passed),
        ("dropped", "ipv4", interface.ipv4.dropped),
        ("dropped", "ipv6", interface.ipv6.dropped),
        ("dropped", "other", other.dropped),
    ]
    .map(|(verdict, family, count)| {
        let labels = vec![
            ("interface", interface.name.clone()),
            ("verdict", verdict.to_owned()),
            ("family", family.to_owned()),
        ];
        (labels, count)
    })
    .into()
}

fn unparsed(interfaces: &[InterfaceSnapshot]) -> Family {
    let samples = interfaces
        .iter()
        .flat_map(|i| i.unparsed.iter().map(move |unparsed| (i, unparsed)))
        .map(|(i, (reason, verdicts))| {
            let labels = vec![("interface", i.name.clone()), ("reason", reason.clone())];
            (labels, verdicts.packets())
        })
        .collect();
    Family {
        name: "monitor_unparsed",
        help: "Frames in which the parser found no IP header, each under one reason. \
               Where the ruleset drops anything, frames that the kernel could still deliver are dropped.",
        unit: Some(packets()),
        kind: Kind::Counter,
        samples,
    }
}

fn attached(interfaces: &[InterfaceSnapshot]) -> Family {
    let samples = interfaces
        .iter()
        .filter_map(|i| {
            let labels = vec![
                ("interface", i.name.clone()),
                ("mode", i.mode?.name().to_owned()),
            ];
            Some((labels, 1))
        })
        .collect();
    Family {
        name: "monitor_attached",
        help: "1 where the filter is attached, with its mode; no series where it is not.",
        unit: None,
        kind: Kind::Gauge,
        samples,
    }
}

fn policies(policies: &[PolicySnapshot]) -> Vec<Family> {
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

fn devices(policies: &[PolicySnapshot], labels: &DeviceLabels) -> [Family; 2] {
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

fn policy_slots(used: u64) -> Family {
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

fn device_places(places: &[PlacesSnapshot]) -> Family {
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

fn lost(snapshot: &Snapshot) -> Family {
    let device_table = snapshot
        .policies
        .iter()
        .map(|p| p.other.passed.packets + p.other.dropped.packets)
        .sum();
    let interfaces = || snapshot.interfaces.iter();
    let not_confirmed = interfaces().map(|i| i.not_confirmed.packets).sum();
    let log = interfaces().map(|i| i.lost_log).sum();
    let reason = |reason: &str, packets| (vec![("reason", reason.to_owned())], packets);
    Family {
        name: "monitor_lost",
        help: "Packets about which something could not be recorded. Reason device_table: the policy counted the packet, \
               its device found no room in the device table; once for each policy that matched. Reason not_confirmed: it passed \
               without being looked at, because what was in force was not confirmed in time and there was nothing before it. \
               Reason log: `run --log-packets` did not write the packet: there were more than 1000 in a second on one CPU, or the log was not read fast enough.",
        unit: None,
        kind: Kind::Counter,
        samples: vec![
            reason("device_table", device_table),
            reason("not_confirmed", not_confirmed),
            reason("log", log),
        ],
    }
}

fn reload(reload: Option<&ReloadSnapshot>) -> [Family; 2] {
    [
        Family {
            name: "monitor_reload_success",
            help: "1 where the policy files as last read are in force, else 0.",
            unit: None,
            kind: Kind::Gauge,
            samples: vec![(
                Labels::new(),
                u64::from(reload.is_some_and(|reload| reload.success)),
            )],
        },
        Family {
            name: "monitor_reload_timestamp",
            help: "When the last load of the policy files ended, well or not, as Unix time; 0 before the first.",
            unit: Some(Unit::Seconds),
            kind: Kind::Gauge,
            samples: vec![(Labels::new(), reload.map_or(0, |reload| reload.timestamp))],
        },
    ]
}

fn unconfirmed(unconfirmed: Option<&Unconfirmed>) -> [Family; 3] {
    let gauge = |name, help, unit, value: Option<u64>| Family {
        name,
        help,
        unit,
        kind: Kind::Gauge,
        samples: value
            .map(|value| (Labels::new(), value))
            .into_iter()
            .collect(),
    };
    let waiting = unconfirmed.filter(|unconfirmed| !unconfirmed.rolled_back);
    let rolled_back = unconfirmed.is_some_and(|unconfirmed| unconfirmed.rolled_back);
    [
        gauge(
            "monitor_unconfirmed",
            "1 where what is in force is to be confirmed, else 0.",
            None,
            Some(u64::from(waiting.is_some())),
        ),
        gauge(
            "monitor_unconfirmed_left",
            "How long it can still be confirmed; no series where nothing is to be.",
            Some(Unit::Seconds),
            waiting.map(|unconfirmed| unconfirmed.seconds_left),
        ),
        gauge(
            "monitor_rolled_back",
            "1 where the policy files were not confirmed in time, and what was in force before them is again, else 0.",
            None,
            Some(u64::from(rolled_back)),
        ),
    ]
}

fn feeds(feeds: &[FeedSnapshot]) -> [Family; 4] {
    let gauge = |name, help, unit, value: fn(&FeedSnapshot) -> Option<u64>| Family {
        name,
        help,
        unit,
        kind: Kind::Gauge,
        samples: feeds
            .iter()
            .filter_map(|feed| Some((vec![("feed", feed.feed.clone())], value(feed)?)))
            .collect(),
    };
    [
        gauge(
            "monitor_feed_age",
            "Time since the list in force was last found to be what its URL gives; no series where nothing of it is in force.",
            Some(Unit::Seconds),
            |feed| feed.age,
        ),
        gauge(
            "monitor_feed_destinations",
            "Destinations of the list that are in force, all or in part.",
            None,
            |feed| Some(feed.destinations as u64),
        ),
        gauge(
            "monitor_feed_cut_destinations",
            "Destinations of the list of which all or a part is cut out, because it is reserved or the gateway's own.",
            None,
            |feed| Some(feed.cut as u64),
        ),
        gauge(
            "monitor_feed_success",
            "1 where the last attempt to fetch the list ended well, else 0; no series before the first.",
            None,
            |feed| {
                feed.last_attempt
                    .map(|_| u64::from(feed.state == FeedState::Current))
            },
        ),
    ]
}

fn by_verdict(labels: &[(&'static str, &str)], verdicts: &Verdicts) -> [(Labels, Count); 2] {
    [("passed", verdicts.passed), ("dropped", verdicts.dropped)].map(|(verdict, count)| {
        let mut labels: Labels = labels
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect();
        labels.push(("verdict", verdict.to_owned()));
        (labels, count)
    })
}

fn packets_and_bytes(
    name: &'static str,
    packets_help: &'static str,
    bytes_help: &'static str,
    counts: &[(Labels, Count)],
) -> [Family; 2] {
    let family = |help, unit, value: fn(&Count) -> u64| Family {
        name,
        help,
        unit: Some(unit),
        kind: Kind::Counter,
        samples: counts
            .iter()
            .map(|(labels, count)| (labels.clone(), value(count)))
            .collect(),
    };
    [
        family(packets_help, packets(), |count| count.packets),
        family(bytes_help, Unit::Bytes, |count| count.bytes),
    ]
}

fn packets() -> Unit {
    Unit::Other("packets".to_owned())
}
