//! Sentences about each policy: whose packets it matched, and a count of zero.

use std::collections::BTreeSet;

use super::{
    model::{Device, PolicyCoverage, Report},
    policies::StatedPolicy,
    words::{first_of, grouped, list, plural, seconds},
};

/// The most devices that a sentence lists.
const MOST_NAMED: usize = 4;

/// Reasons of losses after which a policy may have matched packets that no flow has.
const HIDES_PACKETS: [&str; 8] = [
    "full",
    "lost",
    "setting",
    "not-stored",
    "expired",
    "size",
    "forgotten",
    "damaged",
];

/// Sentences about all policies that packets matched.
pub(super) fn about_policies(report: &Report) -> Vec<String> {
    let policies = report.policies.iter();
    policies
        .filter_map(|policy| about_policy(report, &policy.policy))
        .collect()
}

/// A sentence about the devices with packets that the policy matched, and about the other devices.
fn about_policy(report: &Report, policy: &str) -> Option<String> {
    let matched = |device: &&Device| device.policies.iter().any(|own| own.policy == policy);
    let (contacted, not): (Vec<&Device>, Vec<&Device>) =
        report.devices.iter().partition(|device| matched(device));
    if contacted.is_empty() || (report.more_devices > 0 && contacted.len() < 2) {
        return None;
    }
    if contacted.len() > 1 {
        return Some(several(&contacted, policy));
    }
    let one = contacted[0];
    one.device.as_ref()?;
    let texts: Vec<&StatedPolicy> = report.texts_of(policy).collect();
    if texts.iter().any(|text| !text.devices.is_empty()) {
        return only_for(&texts, policy);
    }
    if !report.has_all_texts() || texts.is_empty() || texts.iter().any(|text| is_limited(text)) {
        return None;
    }
    let others = not.iter().filter(|other| {
        other.sum.packets > 0 && other.device.is_some() && !one.is_stated_same(other)
    });
    let others = others.count() as u64;
    let label = one.label();
    let only =
        format!("The store has packets to addresses of the policy {policy} only from {label}.");
    Some(match others {
        0 => format!("{only} The report has no packet of any other device."),
        others => format!(
            "{only} Of {}, the store has only packets that other policies matched.",
            plural(others, "other device", "other devices")
        ),
    })
}

/// Several MACs contacted addresses of the policy. They may be one device.
fn several(contacted: &[&Device], policy: &str) -> String {
    let labels: Vec<String> = contacted.iter().map(|device| device.label()).collect();
    let number = contacted.len() as u64;
    let labels = first_of(&labels, MOST_NAMED);
    let sent = format!("addresses of the policy {policy}: {labels}.");
    let groups = groups(contacted);
    if groups < 2 {
        format!("{number} MACs contacted {sent} The operator states that they are one device.")
    } else if contacted.iter().any(|device| device.randomised) {
        format!(
            "{} MACs contacted {sent} A locally administered MAC is among them, so they may be one device.",
            grouped(number)
        )
    } else {
        let devices = plural(groups, "device", "devices");
        format!("{devices} contacted {sent} So the contact is not specific to one of them.")
    }
}

/// The number of devices, where the operator states which MACs are one device.
fn groups(devices: &[&Device]) -> u64 {
    let mut groups: Vec<Vec<&Device>> = Vec::new();
    for device in devices {
        let (mut same, other): (Vec<_>, Vec<_>) = groups
            .into_iter()
            .partition(|group| group.iter().any(|known| device.is_stated_same(known)));
        groups = other;
        let mut joined: Vec<&Device> = same.drain(..).flatten().collect();
        joined.push(device);
        groups.push(joined);
    }
    groups.len() as u64
}

/// A policy for some devices says nothing about others.
fn only_for(texts: &[&StatedPolicy], policy: &str) -> Option<String> {
    let is_every = texts.iter().any(|text| text.devices.is_empty());
    let devices: BTreeSet<&String> = texts.iter().flat_map(|text| &text.devices).collect();
    let devices: Vec<String> = devices.into_iter().cloned().collect();
    (!is_every).then(|| {
        format!(
            "The policy {policy} applies only to {}, so it says nothing about other devices.",
            first_of(&devices, MOST_NAMED)
        )
    })
}

/// True if the policy leaves out packets to its addresses.
fn is_limited(text: &StatedPolicy) -> bool {
    !(text.devices.is_empty()
        && text.except_devices.is_empty()
        && text.interfaces.is_empty()
        && text.services.is_empty()
        && text.expires.is_none()
        && text.active
        && text.evidence != "counters")
}

/// Counts of zero, each with what it rests on.
pub(super) fn zero(report: &Report) -> Vec<String> {
    let silent = report.policies.iter().filter(|policy| policy.packets == 0);
    silent.map(|policy| zero_of(report, policy)).collect()
}

fn zero_of(report: &Report, policy: &PolicyCoverage) -> String {
    let name = &policy.policy;
    let mut texts = report.texts_of(name);
    if texts.any(|text| text.evidence == "counters") {
        return format!(
            "The policy {name} recorded no flows for at least a part of the period, so the report cannot say whether packets matched it."
        );
    }
    let zero = match policy.seconds {
        Some(0) => format!(
            "The store has no packet of the policy {name}. The store knows no time at which the policy was in force and the filter was attached."
        ),
        Some(length) => format!(
            "The store has no packet of the policy {name} from the {} in which it was in force and the filter was attached.",
            seconds(length)
        ),
        None => format!(
            "The store has no packet of the policy {name}. The store does not know how long it was in force."
        ),
    };
    let zero = format!("{zero}{}", report.zero_note());
    let hidden = report.hidden(name);
    if hidden.is_empty() {
        zero
    } else {
        format!(
            "{zero} Packets of the policy may be among the losses ({}).",
            list(&hidden)
        )
    }
}

impl Report {
    /// The texts that a policy had in the period.
    fn texts_of<'a>(&'a self, policy: &'a str) -> impl Iterator<Item = &'a StatedPolicy> {
        let texts = self.policy_texts.values().flatten();
        texts.filter(move |text| text.name == policy)
    }

    /// True if the store has the text of every ruleset of the period.
    fn has_all_texts(&self) -> bool {
        let mut rulesets = self.ruleset.iter();
        !self.ruleset.is_empty()
            && rulesets.all(|ruleset| self.policy_texts.contains_key(&ruleset.hash))
    }

    /// Reasons of losses that may hide packets of a policy, sorted.
    fn hidden(&self, policy: &str) -> Vec<String> {
        let hours = self.losses.hours.iter();
        let own = hours.filter(|loss| loss.policy.as_deref().is_none_or(|of| of == policy));
        let own = own.map(|loss| loss.reason.as_str());
        let not_recorded = self.losses.not_recorded.reasons.keys().map(String::as_str);
        let reasons: BTreeSet<&str> = own
            .chain(not_recorded)
            .filter(|reason| HIDES_PACKETS.contains(reason))
            .collect();
        reasons.into_iter().map(str::to_owned).collect()
    }
}

impl Device {
    /// True if the operator states that both MACs are the same device.
    fn is_stated_same(&self, other: &Self) -> bool {
        let states = |one: &Self, of: &Self| {
            let mut stated = one.stated_same.iter();
            stated.any(|stated| Some(&stated.device) == of.device.as_ref())
        };
        states(self, other) || states(other, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::{DevicePolicy, Ruleset, StatedSame, Sum};

    fn device(mac: &str, policy: &str) -> Device {
        let policy = DevicePolicy {
            policy: policy.to_owned(),
            ..DevicePolicy::default()
        };
        Device {
            device: Some(mac.to_owned()),
            sum: Sum {
                packets: 1,
                ..Sum::default()
            },
            policies: vec![policy],
            ..Device::default()
        }
    }

    fn report(text: StatedPolicy, devices: Vec<Device>) -> Report {
        let mut report = Report {
            devices,
            ruleset: vec![Ruleset {
                hash: "aa".to_owned(),
                generation: 1,
                since: String::new(),
                until: None,
            }],
            ..Report::default()
        };
        report.policy_texts.insert("aa".to_owned(), vec![text]);
        report
    }

    fn text() -> StatedPolicy {
        StatedPolicy {
            name: "p".to_owned(),
            evidence: "flows".to_owned(),
            active: true,
            ..StatedPolicy::default()
        }
    }

    #[test]
    fn only_one_device_is_stated_only_for_a_policy_for_all() {
        let devices = vec![device("a", "p"), device("b", "q")];
        let of = |text| about_policy(&report(text, devices.clone()), "p");
        let all = of(text()).unwrap();
        assert!(all.contains("only from a"), "{all}");
        assert!(all.contains("1 other device"), "{all}");
        let mut limited = text();
        limited.devices = vec!["a".to_owned()];
        assert!(of(limited).unwrap().contains("applies only to a"));
        let mut limited = text();
        limited.services = vec!["tcp/443".to_owned()];
        assert_eq!(of(limited), None);
        let mut silent = device("b", "q");
        (silent.sum.packets, silent.policies) = (0, Vec::new());
        let silent = report(text(), vec![device("a", "p"), silent]);
        let silent = about_policy(&silent, "p").unwrap();
        assert!(!silent.contains("other policies"), "{silent}");
    }

    #[test]
    fn several_macs_may_be_one_device() {
        let mut devices = vec![device("a", "p"), device("b", "p")];
        let of = |devices: &[Device]| about_policy(&report(text(), devices.to_vec()), "p").unwrap();
        assert!(of(&devices).contains("not specific"));
        devices[0].randomised = true;
        assert!(of(&devices).contains("may be one device"));
        devices[0].randomised = false;
        devices[1].stated_same = vec![StatedSame {
            device: "a".to_owned(),
            since: String::new(),
            had: "before".to_owned(),
        }];
        assert!(of(&devices).contains("are one device"));
    }

    #[test]
    fn a_zero_says_what_it_rests_on() {
        let zero = |text: StatedPolicy, loss: Option<&str>| {
            let mut report = report(text, Vec::new());
            report.policies = vec![PolicyCoverage {
                policy: "p".to_owned(),
                actions: Vec::new(),
                seconds: Some(7_200),
                packets: 0,
                dropped: 0,
            }];
            if let Some(reason) = loss {
                report.losses.not_recorded.add(reason, 3);
            }
            zero(&report).join(" ")
        };
        assert!(zero(text(), None).contains("2 hours"));
        assert!(!zero(text(), Some("sample")).contains("losses"));
        assert!(zero(text(), Some("full")).contains("losses (full)"));
        let mut counters = text();
        counters.evidence = "counters".to_owned();
        assert!(zero(counters, None).contains("cannot say"));
    }
}
