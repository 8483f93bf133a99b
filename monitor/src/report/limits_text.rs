//! What the data do not show, as sentences.

use std::collections::BTreeSet;

use super::{
    claims::{self, ASKED},
    model::{Device, Flow, Report},
    words::{first_of, plural, seconds, utc},
};

/// Share of the period without a filter above which the report says so, in seconds.
const GAP: i64 = 60;

/// What the data do not show. Every sentence has its reason in the data.
pub(super) fn does_not_show(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    if !report.flows.is_empty() {
        all.push("An address is not content. The filter stores no payload, so the report does not show what the packets contained.".to_owned());
        all.push(answers(report).to_owned());
        all.push("A source address (MAC) is not a phone. Any device can use it, a repeater can stand in front of several, and no packet proves who sent it.".to_owned());
    }
    all.extend(devices(report));
    all.extend(ranges(report));
    all.extend(names(report));
    all.extend(verdicts(report));
    all.extend(coverage(report));
    all.extend(times(report));
    all.extend(record(report));
    all
}

/// What is not known about answers.
fn answers(report: &Report) -> &'static str {
    if report.flows.iter().any(|flow| flow.direction == "in") {
        "Sums count what devices send. Answers are flows of the direction `in`: where they arrived, their device is not known; where they left to a device, they are recorded again. An answer that arrived and did not leave was for the gateway, was dropped or was not recorded: the report does not show that nobody asked for it."
    } else {
        "The filter counts what devices send. It does not count answers, so the report does not show what the devices received."
    }
}

fn devices(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    for device in report.senders().take(10) {
        let label = device.label();
        if device.randomised {
            all.push(format!("The MAC of {label} is locally administered, possibly randomised: the same device may have had other MACs, which the report cannot join."));
        }
        if !device.possibly_several.is_empty() {
            all.push(format!("Several devices possibly share the MAC of {label}. The report cannot divide their packets."));
        }
        if !device.stated_same.is_empty() {
            all.push(format!(
                "The operator states that {label} had another MAC. No packet shows this."
            ));
        }
        let is_own = matches!(
            device.name_source.as_deref(),
            None | Some("devices" | "names" | "ethers")
        );
        if device.name.is_some() && !is_own {
            all.push(format!(
                "The device {label} chose its name itself, so the name proves nothing."
            ));
        }
    }
    if report
        .marks
        .iter()
        .any(|mark| mark.kind == "reset" || mark.kind == "reflashed")
    {
        all.push(
            "That a MAC belongs to the same device before and after a reset is an assumption."
                .to_owned(),
        );
    }
    if !report.marks.is_empty() {
        all.push("Marks are statements of the operator. No packet shows that the operator did what a mark says, and a change after a mark need not be its effect.".to_owned());
    }
    let marks = report.marks.iter();
    let chosen = marks.filter(|mark| mark.set_at_another_time().is_some());
    let chosen = chosen.count() as u64;
    if chosen > 0 {
        all.push(format!(
            "{} of another time than the one at which it was set. The operator chose that time, perhaps with the packets in view.",
            plural(chosen, "mark is", "marks are")
        ));
    }
    if report.more_marks > 0 {
        all.push(format!(
            "{} of the period are left out. A time before the first listed mark may contain them, and so may its comparison.",
            plural(report.more_marks, "earlier mark", "earlier marks")
        ));
    }
    let compared = report
        .marks
        .iter()
        .filter_map(|mark| mark.comparison.as_ref());
    let number: usize = compared.map(|comparison| comparison.devices.len()).sum();
    if number > 1 {
        all.push(format!("The report makes {number} comparisons. Of twenty comparisons without any effect, about one reaches a probability below 0.05 by chance."));
    }
    all
}

fn ranges(report: &Report) -> Vec<String> {
    let flows = || report.flows.iter();
    if report.flows.is_empty() {
        return Vec::new();
    }
    let mut all = Vec::new();
    let registries = claims::registries(flows());
    if !registries.is_empty() {
        all.push(format!(
            "A registry is not a holder. {} registered ranges of these destinations. That does not say who uses them.",
            first_of(&registries, 4),
        ));
    }
    if claims::holders(flows()).is_empty() {
        all.push("No source that this gateway has names the holder of these ranges. That is not known, and the report does not guess.".to_owned());
    } else {
        all.push(
            "The holder of a range need not operate the server. Many services rent addresses."
                .to_owned(),
        );
    }
    all
}

fn names(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    if !report.failed_sources.is_empty() {
        all.push(format!(
            "The gateway could not read {}. The statements of these sources are missing.",
            first_of(&report.failed_sources, 4)
        ));
    }
    if report.flows.iter().any(Flow::has_name) {
        all.push("A name is a claim. A DNS answer does not prove that the device used the name, and a device can write any name into its hello.".to_owned());
    }
    let asked: BTreeSet<&str> = report
        .flows
        .iter()
        .flat_map(|flow| flow.names.iter().filter(|name| name.how == ASKED))
        .map(|name| name.name.as_str())
        .collect();
    if !asked.is_empty() {
        let asked: Vec<String> = asked.into_iter().map(str::to_owned).collect();
        all.push(format!("A device only asked for {} in a request to the destination. These are not names of the destinations.", first_of(&asked, 4)));
    }
    let without: Vec<&Flow> = report
        .flows
        .iter()
        .filter(|flow| flow.destination.is_some() && !flow.has_name())
        .collect();
    if !without.is_empty() {
        all.push(format!(
            "No name is known for the destination of {}. The gateway saw no DNS answer with its address and no readable name. A DNS cache, encrypted DNS, a VPN, a late start of the gateway and an address within a program all look the same.",
            plural(without.len() as u64, "listed flow", "listed flows"),
        ));
        let dropped = without
            .iter()
            .filter(|flow| flow.dropped == flow.packets && flow.protocol == "tcp");
        let dropped = dropped.count() as u64;
        if dropped > 0 {
            all.push(format!(
                "For {} of these, the gateway dropped every TCP packet. A connection that never opens carries no name.",
                plural(dropped, "flow", "flows"),
            ));
        }
        let encrypted: Vec<String> = report
            .senders()
            .filter(|device| !device.encrypted_dns.is_empty())
            .map(Device::label)
            .collect();
        if !encrypted.is_empty() {
            all.push(format!(
                "The gateway saw encrypted DNS from {}. It cannot read such answers.",
                first_of(&encrypted, 4)
            ));
        }
    }
    all
}

fn verdicts(report: &Report) -> Option<String> {
    (report.total.dropped > 0).then(|| {
        "Dropped packets are attempts. A device that gets no answer repeats them, so their number does not show how much the device wanted to send.".to_owned()
    })
}

/// The times without a filter: on every interface, then on each one.
fn gaps(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    let period = report.period_seconds();
    let gap = period - report.attached_seconds(None);
    if report.coverage.is_empty() {
        all.push("The store knows no time of this period at which the filter was attached. The report does not show what devices sent then.".to_owned());
    } else if gap > GAP {
        all.push(format!("For {} of this period the filter was attached to no interface. The report does not show what devices sent then.", seconds(gap)));
    }
    let interfaces: BTreeSet<&str> = report
        .coverage
        .iter()
        .map(|one| one.interface.as_str())
        .collect();
    for interface in interfaces {
        let own = period - report.attached_seconds(Some(interface));
        if own - gap > GAP {
            all.push(format!(
                "On {interface}, the filter was not attached for {} of this period.",
                seconds(own)
            ));
        }
    }
    all
}

fn coverage(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    all.extend(gaps(report));
    all.extend(report.blindness());
    let interfaces: BTreeSet<&str> = report
        .coverage
        .iter()
        .map(|one| one.interface.as_str())
        .collect();
    if !interfaces.is_empty() {
        let interfaces: Vec<String> = interfaces.into_iter().map(str::to_owned).collect();
        all.push(format!("The filter saw only packets that arrived on {}. A device that uses mobile data or another network is not seen.", first_of(&interfaces, 8)));
    }
    if report.coverage.iter().any(|one| one.mode == "generic") {
        all.push("In generic mode the kernel may join packets before the filter sees them. Then several packets count as one.".to_owned());
    }
    all.push("The filter records only packets that a policy matched. Traffic to other addresses is not in the report.".to_owned());
    all
}

fn times(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    match report.gateway.clock_synchronised {
        Some(true) => {}
        Some(false) => all.push("The clock of the gateway was not synchronised for at least a part of the period. Times of the report may be wrong by an unknown amount.".to_owned()),
        None if !report.gateway.clock.is_empty() => all.push(format!(
            "The store knows the state of the clock of the gateway only since {}. Earlier times may be wrong.",
            utc(&report.gateway.clock[0].since)
        )),
        None => all.push("The store does not know whether the clock of the gateway was synchronised. Times may be wrong.".to_owned()),
    }
    all.push("The store sums packets over five minutes, and over one hour after two days. Sums of the period may include packets shortly before it or after it.".to_owned());
    all
}

fn record(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    let not_recorded = report.losses.not_recorded.packets;
    if not_recorded > 0 {
        all.push(format!(
            "{} matched a policy and are in no flow of this report. They were {}, and may belong to any device.",
            plural(not_recorded, "packet", "packets"),
            report.losses.counted()
        ));
    }
    let texts = &report.policy_texts;
    if report
        .ruleset
        .iter()
        .any(|ruleset| !texts.contains_key(&ruleset.hash))
    {
        all.push("The store does not have the text of every ruleset of this period, so the report cannot show all policies.".to_owned());
    }
    if report.flows_left_out.flows > 0 {
        all.push(format!(
            "{} with {} are in the sums and not in the list of flows.",
            plural(report.flows_left_out.flows, "flow", "flows"),
            plural(report.flows_left_out.packets, "packet", "packets"),
        ));
    }
    all.push("If the file carries a proof, `monitor report verify` shows whether it was changed after the gateway made it. No proof shows that the gateway recorded everything, or that its operator left it alone.".to_owned());
    all
}
