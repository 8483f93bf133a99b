//! Parts of a report that several formats show in the same words.

use std::collections::BTreeSet;

use super::{
    compare::Compared,
    model::{Device, DevicePolicy, Flow, Mark, Name, OTHER_DEVICES, Report, Ruleset},
    svg,
    words::{bytes, grouped, plural, utc},
};

impl Report {
    /// The flows of a device that a policy matched.
    pub(super) fn flows_of<'a>(
        &'a self,
        device: &'a Device,
        policy: &'a DevicePolicy,
    ) -> impl Iterator<Item = &'a Flow> {
        self.flows
            .iter()
            .filter(|flow| flow.device == device.device && flow.policies.contains(&policy.policy))
    }

    /// Label of a device.
    pub(super) fn name_of(&self, device: Option<&String>) -> String {
        let mut devices = self.devices.iter();
        match devices.find(|known| known.device.as_ref() == device) {
            Some(known) => known.label(),
            None => device.cloned().unwrap_or_else(|| OTHER_DEVICES.to_owned()),
        }
    }

    /// The marks that are about a device, with their numbers.
    pub(super) fn marks_of(&self, device: &Device) -> Vec<svg::At<'_>> {
        let marks = self.marks.iter().enumerate();
        let own = marks.filter(|(_, mark)| mark.device.is_none() || mark.device == device.device);
        own.map(|(index, mark)| svg::At {
            at: &mark.at,
            number: index + 1,
        })
        .collect()
    }

    /// The rulesets, each hash once, in the order of their begin.
    pub(super) fn distinct_rulesets(&self) -> Vec<&Ruleset> {
        let mut known = BTreeSet::new();
        let rulesets = self.ruleset.iter();
        rulesets
            .filter(|ruleset| known.insert(&ruleset.hash))
            .collect()
    }

    /// When a ruleset was in force.
    pub(super) fn spans_of(&self, hash: &str) -> String {
        let own = self.ruleset.iter().filter(|ruleset| ruleset.hash == hash);
        let spans = own.map(|ruleset| match &ruleset.until {
            Some(until) => format!("{} to {}", utc(&ruleset.since), utc(until)),
            None => format!("since {}", utc(&ruleset.since)),
        });
        let spans: Vec<_> = spans.collect();
        super::words::first_of(&spans, 6)
    }

    /// Host, kernel, addresses and clock.
    pub(super) fn watching(&self) -> Vec<(&'static str, String)> {
        let gateway = &self.gateway;
        let unknown = || "unknown".to_owned();
        let clock = match gateway.clock_synchronised {
            Some(true) => "synchronised since the filter was attached in this period".to_owned(),
            Some(false) => {
                let states = gateway.clock.iter().map(|state| {
                    let word = if state.synchronised {
                        "synchronised"
                    } else {
                        "not synchronised"
                    };
                    format!("{word} from {}", utc(&state.since))
                });
                super::words::first_of(&states.collect::<Vec<_>>(), 6)
            }
            None => match gateway.clock.first() {
                Some(first) => format!("synchronised since {}, unknown before", utc(&first.since)),
                None => unknown(),
            },
        };
        let mut lines = vec![
            ("gateway", gateway.host.clone().unwrap_or_else(unknown)),
            ("kernel", gateway.kernel.clone().unwrap_or_else(unknown)),
            ("clock", clock),
        ];
        if !gateway.addresses.is_empty() {
            lines.push((
                "addresses of the gateway",
                super::words::first_of(&gateway.addresses, 8),
            ));
        }
        if let Some(oldest) = &self.period.oldest_stored {
            lines.push(("earliest stored packet", utc(oldest)));
        }
        lines
    }
}

impl Device {
    /// What is known about the device, as key and value.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        let vendor = match (&self.vendor, &self.vendor_as_of) {
            (Some(vendor), Some(as_of)) => format!("{vendor} (list of {as_of})"),
            (Some(vendor), None) => vendor.clone(),
            (None, _) if self.randomised => {
                "none: the MAC is locally administered, possibly randomised".to_owned()
            }
            (None, _) => "unknown".to_owned(),
        };
        facts.push(("vendor of the MAC", vendor));
        if let (Some(name), Some(source)) = (&self.name, &self.name_source) {
            facts.push(("name", format!("\"{name}\", from {source}")));
        }
        let values = |facts: &[crate::evidence::FactView]| {
            let different: BTreeSet<_> = facts.iter().map(|fact| fact.value.clone()).collect();
            super::words::first_of(&different.into_iter().collect::<Vec<_>>(), 6)
        };
        for (key, list) in [
            ("addresses", &self.addresses),
            ("host names", &self.host_names),
            ("models it states", &self.models),
        ] {
            if !list.is_empty() {
                facts.push((key, values(list)));
            }
        }
        for stated in &self.stated_same {
            let text = format!("{} {} {}", stated.device, stated.had, stated.since);
            facts.push(("also, as the operator states", text));
        }
        for reason in &self.possibly_several {
            facts.push(("possibly several devices", reason.text.clone()));
        }
        for dns in &self.encrypted_dns {
            let server = dns.server.as_deref().unwrap_or_default();
            let text = format!(
                "{} {server} {} from {} to {}",
                dns.kind,
                dns.name,
                utc(&dns.first),
                utc(&dns.last)
            );
            facts.push((
                "encrypted DNS",
                text.split_whitespace().collect::<Vec<_>>().join(" "),
            ));
        }
        let sum = &self.sum;
        let packets = plural(sum.packets, "packet", "packets");
        facts.push((
            "all policies together",
            format!(
                "{packets} ({}), {} dropped",
                bytes(sum.bytes),
                grouped(sum.dropped)
            ),
        ));
        facts
    }
}

impl Name {
    /// When and by whom the name was stated.
    pub(super) fn details(&self) -> String {
        let mut text = format!("first {}", utc(&self.at));
        if let Some(from) = &self.from {
            text = format!("{text}, from {from}");
        }
        if !self.chain.is_empty() {
            text = format!("{text}, by way of {}", self.chain.join(" → "));
        }
        if let Some(ech) = &self.ech {
            text = format!("{text}, encrypted hello: {ech}");
        }
        text
    }
}

impl Mark {
    /// The device that the mark is about, in words.
    pub(super) fn about(&self) -> String {
        match &self.device {
            Some(device) => format!("about {device}"),
            None => "about all devices".to_owned(),
        }
    }

    /// When the mark was stored, if that is more than a minute from the time that it states.
    pub(super) fn set_at_another_time(&self) -> Option<String> {
        let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
        let set = self.set.as_deref()?;
        let apart = time(set)?.duration_since(time(&self.at)?).abs();
        (apart.as_secs() > 60).then(|| format!("set at {} (UTC)", utc(set)))
    }
}

impl Compared {
    /// MAC or pseudonym in words.
    pub(super) fn label(&self) -> String {
        self.device
            .clone()
            .unwrap_or_else(|| OTHER_DEVICES.to_owned())
    }
}
