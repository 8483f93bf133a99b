//! Sentences that follow from the data.

use std::collections::BTreeSet;

use super::{
    claims,
    model::{Device, Flow, Report},
    words::{bytes, first_of, grouped, list, plural, seconds, utc},
};

/// The most names or devices that a sentence lists.
const MOST_NAMED: usize = 4;

/// The three sentences that answer first: what was sent, to whom, and how sure that is.
pub(super) fn answer(report: &Report) -> Vec<String> {
    vec![what(report), whom(report), how_sure(report)]
}

impl Report {
    /// The devices that the report is about and that sent packets.
    pub(super) fn senders(&self) -> impl Iterator<Item = &Device> {
        self.devices
            .iter()
            .filter(|device| device.is_subject && device.sum.packets > 0)
    }

    /// Devices beside those that the report is about.
    pub(super) fn others(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| !device.is_subject)
    }

    /// Packets and dropped packets of all devices that the report is about.
    pub(super) fn total(&self) -> (u64, u64, u64) {
        let add = |sum: (u64, u64, u64), device: &Device| {
            let own = &device.sum;
            (sum.0 + own.packets, sum.1 + own.bytes, sum.2 + own.dropped)
        };
        self.senders().fold((0, 0, 0), add)
    }

    /// Seconds in which the filter was attached to any interface.
    pub(super) fn attached_seconds(&self) -> i64 {
        let time = |text: &str| text.parse().unwrap_or_default();
        let spans = self
            .coverage
            .iter()
            .map(|one| (time(&one.since), time(&one.until)));
        super::coverage::seconds(&super::coverage::union(spans.collect()))
    }

    /// Length of the period in seconds.
    pub(super) fn period_seconds(&self) -> i64 {
        let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap_or_default();
        time(&self.period.until)
            .duration_since(time(&self.period.since))
            .as_secs()
    }

    fn subject(&self) -> String {
        match &self.period.device {
            Some(device) => format!("the device {device}"),
            None => "the devices of this network".to_owned(),
        }
    }

    fn of_policy(&self) -> String {
        match &self.period.policy {
            Some(policy) => format!("the policy {policy}"),
            None => "the policies".to_owned(),
        }
    }
}

fn what(report: &Report) -> String {
    let (packets, all_bytes, _) = report.total();
    let senders: Vec<String> = report.senders().map(Device::label).collect();
    let period = format!(
        "From {} to {} (UTC)",
        utc(&report.period.since),
        utc(&report.period.until)
    );
    if packets == 0 {
        return nothing(report, &period);
    }
    let who = match senders.as_slice() {
        [one] => one.clone(),
        many => format!(
            "{} ({})",
            plural(many.len() as u64, "device", "devices"),
            first_of(many, MOST_NAMED)
        ),
    };
    let who = if report.more_devices > 0 {
        format!(
            "{who} and {}",
            plural(report.more_devices, "further device", "further devices")
        )
    } else {
        who
    };
    let single = match senders.as_slice() {
        [_] => report
            .senders()
            .next()
            .map(|device| device.sum.destinations),
        _ => None,
    };
    let to = single.map_or_else(
        || "to addresses".to_owned(),
        |number| format!("to {}", plural(number, "address", "addresses")),
    );
    format!(
        "{period}, {who} sent {} ({}) {to} that {} of this gateway matched.",
        plural(packets, "packet", "packets"),
        bytes(all_bytes),
        report.of_policy().trim_start_matches("the "),
    )
}

/// The sentence of a period without packets.
fn nothing(report: &Report, period: &str) -> String {
    let other = report
        .others()
        .filter(|device| device.sum.packets > 0)
        .count();
    let other = match other {
        0 => String::new(),
        other => format!(
            "; the filter recorded packets of {}",
            plural(other as u64, "other device", "other devices")
        ),
    };
    format!(
        "{period}, the filter recorded no packet of {} that {} matched{other}.",
        report.subject(),
        report.of_policy(),
    )
}

fn whom(report: &Report) -> String {
    let flows: Vec<&Flow> = report.flows.iter().collect();
    if flows.is_empty() {
        return "So there is no destination to name.".to_owned();
    }
    let names = claims::names(flows.iter().copied());
    let ends = |has_name: bool| {
        let ends = flows.iter().filter(|flow| flow.has_name() == has_name);
        ends.filter_map(|flow| flow.destination.as_deref())
            .collect::<BTreeSet<_>>()
    };
    let (known, others) = (ends(true), ends(false));
    let without = others.difference(&known).count() as u64;
    let names = match (names.len(), without) {
        (0, _) => "No name is known for any of these destinations".to_owned(),
        (_, 0) => format!(
            "The names claimed for these destinations are {}",
            first_of(&names, MOST_NAMED)
        ),
        (_, without) => format!(
            "The names claimed for these destinations are {}; no name is known for {}",
            first_of(&names, MOST_NAMED),
            plural(without, "address", "addresses"),
        ),
    };
    let holders = claims::holders(flows.iter().copied());
    let holders = if holders.is_empty() {
        "no source names a holder of their ranges".to_owned()
    } else {
        format!(
            "sources name as holder of their ranges {}",
            first_of(&holders, MOST_NAMED)
        )
    };
    format!("{names}, and {holders}.")
}

fn how_sure(report: &Report) -> String {
    let (packets, _, dropped) = report.total();
    let verdict = match (packets, dropped) {
        (0, _) => String::new(),
        (_, 0) => "The gateway let all of these packets pass. ".to_owned(),
        (all, dropped) if all == dropped => {
            "The gateway dropped all of these packets, so they are attempts. ".to_owned()
        }
        (_, dropped) => format!(
            "The gateway dropped {} of these packets, which are attempts. ",
            grouped(dropped)
        ),
    };
    let attached = report.attached_seconds();
    let coverage = if report.coverage.is_empty() {
        "The filter was not attached at any time of this period".to_owned()
    } else {
        format!(
            "The filter was attached for {} of the {} of this period",
            seconds(attached),
            seconds(report.period_seconds())
        )
    };
    let losses = if report.losses.hours.is_empty() && report.losses.not_recorded.packets == 0 {
        "no loss is recorded"
    } else {
        "losses are listed below"
    };
    let (verdict, coverage) = (verdict.trim_end(), coverage);
    match verdict.strip_suffix('.') {
        Some(verdict) => format!("{verdict}; {}, and {losses}.", lower(&coverage)),
        None => format!("{coverage}, and {losses}."),
    }
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// What the data show.
pub(super) fn shows(report: &Report) -> Vec<String> {
    let mut shows = Vec::new();
    for device in report.senders().take(10) {
        for policy in &device.policies {
            let sum = &policy.sum;
            shows.push(format!(
                "Packets with the source address of {} went to {} of the policy {}: {}, the first at {}, the last at {} (UTC).",
                device.label(),
                plural(sum.destinations, "address", "addresses"),
                policy.policy,
                plural(sum.packets, "packet", "packets"),
                utc(&sum.first),
                utc(&sum.last),
            ));
        }
    }
    for policy in &report.policies {
        shows.extend(about_policy(report, &policy.policy));
    }
    shows.extend(names(report));
    let (_, _, dropped) = report.total();
    if dropped > 0 {
        shows.push(format!(
            "The gateway dropped {}: they left the device and did not reach their destination through this gateway.",
            plural(dropped, "packet", "packets")
        ));
    }
    shows.extend(zero(report));
    shows
}

/// Which devices the policy matched, and which it did not.
fn about_policy(report: &Report, policy: &str) -> Option<String> {
    let matched = |device: &&Device| device.policies.iter().any(|own| own.policy == policy);
    let (contacted, not): (Vec<&Device>, Vec<&Device>) =
        report.devices.iter().partition(|device| matched(device));
    if report.more_devices > 0 && contacted.len() < 2 {
        return None;
    }
    let labels: Vec<String> = contacted.iter().map(|device| device.label()).collect();
    match (contacted.len(), not.len()) {
        (0, _) => None,
        (1, 0) => Some(format!(
            "Only {} contacted addresses of the policy {policy}. The report has no packet of any other device.",
            labels[0]
        )),
        (1, not) => Some(format!(
            "Only {} contacted addresses of the policy {policy}. {} in this report did not, although other policies matched their packets.",
            labels[0],
            plural(not as u64, "other device", "other devices"),
        )),
        (many, _) => Some(format!(
            "{} contacted addresses of the policy {policy}: {}. So the contact is not specific to one of them.",
            plural(many as u64, "device", "devices"),
            first_of(&labels, MOST_NAMED)
        )),
    }
}

fn names(report: &Report) -> Option<String> {
    let of_destination = report.flows.iter().filter(|flow| flow.has_name()).count();
    if of_destination == 0 {
        return None;
    }
    let ways: BTreeSet<&str> = report
        .flows
        .iter()
        .flat_map(|flow| &flow.names)
        .filter(|name| name.is_of_destination())
        .map(|name| claims::how(&name.how))
        .collect();
    let ways: Vec<String> = ways.into_iter().map(str::to_owned).collect();
    Some(format!(
        "A name is claimed for the destination of {} of {}. The names were seen {}.",
        grouped(of_destination as u64),
        plural(report.flows.len() as u64, "listed flow", "listed flows"),
        list(&ways),
    ))
}

/// A count of zero, with what it rests on.
fn zero(report: &Report) -> Vec<String> {
    let silent = report.policies.iter().filter(|policy| policy.packets == 0);
    let sentences = silent.map(|policy| {
        let name = &policy.policy;
        match policy.seconds {
            Some(0) => format!("The policy {name} matched no packet. It was not in force while the filter was attached."),
            Some(length) => format!(
                "The policy {name} matched no packet in the {} in which it was in force and the filter was attached.",
                seconds(length)
            ),
            None => format!("The policy {name} matched no packet. The store does not know how long it was in force."),
        }
    });
    sentences.collect()
}
