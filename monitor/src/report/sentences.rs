//! Sentences that follow from the data.

use std::collections::BTreeSet;

use super::{
    claims,
    model::{Device, Flow, Report, Sum, Total},
    policy_text,
    words::{bytes, first_of, grouped, list, plural, seconds, utc},
};

/// The most names or devices that a sentence lists.
const MOST_NAMED: usize = 4;

/// The three sentences that answer first: the packets, their destinations, and the limits of these data.
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

    /// Seconds in which the filter was attached to an interface, or to any.
    pub(super) fn attached_seconds(&self, interface: Option<&str>) -> i64 {
        let time = |text: &str| text.parse().unwrap_or_default();
        let spans = self
            .coverage
            .iter()
            .filter(|one| interface.is_none_or(|interface| one.interface == interface))
            .map(|one| (time(&one.since), time(&one.until)));
        super::coverage::seconds(&super::coverage::union(spans.collect()))
    }

    /// The interfaces of the listed flows, if the report is about one device. Otherwise those to
    /// which the filter was attached.
    fn watched_interfaces(&self) -> BTreeSet<&str> {
        let attached = self.coverage.iter().map(|one| one.interface.as_str());
        let attached: BTreeSet<&str> = attached.collect();
        let flows = self.flows.iter().map(|flow| flow.interface.as_str());
        let own: BTreeSet<&str> = flows.collect();
        if self.period.device.is_some() && !own.is_empty() && own.is_subset(&attached) {
            own
        } else {
            attached
        }
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

impl Sum {
    /// The number of destination addresses in words.
    pub(super) fn addresses(&self) -> String {
        let number = plural(self.destinations, "address", "addresses");
        if self.more_destinations {
            format!("at least {number}")
        } else {
            number
        }
    }
}

fn what(report: &Report) -> String {
    let Total {
        packets,
        bytes: all_bytes,
        ..
    } = report.total;
    let senders: Vec<String> = report.senders().map(Device::label).collect();
    let period = format!(
        "From {} to {} (UTC)",
        utc(&report.period.since),
        utc(&report.period.until)
    );
    if packets == 0 {
        return nothing(report, &period);
    }
    let has_rest = report.senders().any(|device| device.device.is_none());
    let who = match (senders.as_slice(), report.total.devices) {
        ([one], 1) => one.clone(),
        (many, devices) => format!(
            "{}{} ({})",
            if has_rest { "at least " } else { "" },
            plural(devices, "device", "devices"),
            first_of_all(many, devices)
        ),
    };
    let mut single = report.senders().filter(|_| report.total.devices == 1);
    let to = single.next().map_or_else(
        || "to addresses".to_owned(),
        |device| format!("to {}", device.sum.addresses()),
    );
    format!(
        "{period}, {who} sent {} ({}) {to} that {} of this gateway matched.",
        plural(packets, "packet", "packets"),
        bytes(all_bytes),
        report.of_policy().trim_start_matches("the "),
    )
}

/// The first of the listed labels, and how many of all devices are left.
fn first_of_all(labels: &[String], all: u64) -> String {
    let shown = &labels[..labels.len().min(MOST_NAMED)];
    match all.saturating_sub(shown.len() as u64) {
        0 => list(shown),
        left => format!("{} and {} more", shown.join(", "), grouped(left)),
    }
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
            "; it has packets of {}",
            plural(other as u64, "other device", "other devices")
        ),
    };
    format!(
        "{period}, the store has no packet of {} that {} matched{other}.{}",
        report.subject(),
        report.of_policy(),
        report.zero_note(),
    )
}

fn whom(report: &Report) -> String {
    let flows: Vec<&Flow> = report.flows.iter().collect();
    if flows.is_empty() {
        return if report.total.packets == 0 {
            "So there is no destination to name.".to_owned()
        } else {
            "The report lists no flow, so it names no destination.".to_owned()
        };
    }
    // The names and holders are those of the listed flows.
    let these = if report.flows_left_out.flows > 0 {
        "the listed destinations"
    } else {
        "these destinations"
    };
    let names = names_of(&flows, these);
    let holders = claims::holders(flows.iter().copied());
    let ranges = if report.flows_left_out.flows > 0 {
        "the listed ranges"
    } else {
        "their ranges"
    };
    let holders = match (holders.is_empty(), report.failed_sources.len() as u64) {
        (true, 0) => format!("no source names a holder of {ranges}"),
        (true, failed) => format!(
            "no source names a holder of {ranges}, but {} could not be read",
            plural(failed, "source", "sources")
        ),
        (false, _) => format!(
            "sources name as holder of {ranges} {}",
            first_of(&holders, MOST_NAMED)
        ),
    };
    format!("{names}, and {holders}.")
}

/// The names of flows, and the number of addresses without one.
fn names_of(flows: &[&Flow], these: &str) -> String {
    let names = claims::names(flows.iter().copied());
    let ends = |has_name: bool| {
        let ends = flows.iter().filter(|flow| flow.has_name() == has_name);
        ends.filter_map(|flow| flow.destination.as_deref())
            .collect::<BTreeSet<_>>()
    };
    let (known, others) = (ends(true), ends(false));
    let without = others.difference(&known).count() as u64;
    let has_rest = flows.iter().any(|flow| flow.destination.is_none());
    let at_least = if has_rest { "at least " } else { "" };
    if names.is_empty() {
        return format!("No name is known for any of {these}");
    }
    let claimed = format!(
        "The names claimed for {these} are {}",
        first_of(&names, MOST_NAMED)
    );
    match (without, has_rest) {
        (0, false) => claimed,
        (0, true) => {
            format!("{claimed}; no name is known for the other destinations that the store sums")
        }
        (without, _) => format!(
            "{claimed}; no name is known for {at_least}{}",
            plural(without, "address", "addresses"),
        ),
    }
}

fn how_sure(report: &Report) -> String {
    let Total {
        packets, dropped, ..
    } = report.total;
    let verdict = match (packets, dropped) {
        (0, _) => String::new(),
        (_, 0) => "The filter let all of these packets pass. ".to_owned(),
        (all, dropped) if all == dropped => {
            "The filter dropped all of these packets, so they are attempts. ".to_owned()
        }
        (_, dropped) => format!(
            "The filter dropped {} of these packets, which are attempts. ",
            grouped(dropped)
        ),
    };
    let coverage = attached(report);
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

/// How long the filter was attached to each interface that the packets came by.
fn attached(report: &Report) -> String {
    let interfaces = report.watched_interfaces();
    if interfaces.is_empty() {
        return "The store knows no time of this period at which the filter was attached"
            .to_owned();
    }
    let each = interfaces.iter().map(|interface| {
        let length = report.attached_seconds(Some(interface));
        format!("to {interface} for {}", seconds(length))
    });
    format!(
        "The filter was attached {} of the {} of this period",
        first_of(&each.collect::<Vec<_>>(), MOST_NAMED),
        seconds(report.period_seconds())
    )
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
                sum.addresses(),
                policy.policy,
                plural(sum.packets, "packet", "packets"),
                utc(&sum.first),
                utc(&sum.last),
            ));
        }
    }
    shows.extend(policy_text::about_policies(report));
    shows.extend(names(report));
    let dropped = report.total.dropped;
    if dropped > 0 {
        shows.push(format!(
            "The filter dropped {}: they left the device and did not reach their destination through this gateway.",
            plural(dropped, "packet", "packets")
        ));
    }
    shows.extend(policy_text::zero(report));
    shows
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
