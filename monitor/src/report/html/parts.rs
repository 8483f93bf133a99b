//! Devices, flows and comparisons.

use maud::{Markup, html};

use crate::report::{
    claims,
    compare::{Compared, Ends, Window},
    model::{Device, DevicePolicy, Flow, Name, Report},
    svg,
    words::{bytes, grouped, hours, plural, seconds, utc},
};

/// The fewest slots of a timeline that make a picture.
const FEWEST_SLOTS: usize = 3;

pub(super) fn device_section(report: &Report, device: &Device) -> Markup {
    html! {
        section.device {
            h2 { "Device " (device.label()) }
            dl.facts {
                @for (key, value) in device.facts() {
                    div { dt { (key) } dd { (value) } }
                }
            }
            @if device.policies.is_empty() { p { "No policy matched a packet of this device in this period." } }
            @for policy in &device.policies { (policy_part(report, device, policy)) }
        }
    }
}

fn policy_part(report: &Report, device: &Device, policy: &DevicePolicy) -> Markup {
    let sum = &policy.sum;
    let title = format!(
        "Packets of {} that the policy {} matched",
        device.label(),
        policy.policy
    );
    let flows: Vec<&Flow> = report.flows_of(device, policy).collect();
    html! {
        h3 { "Policy " (policy.policy) }
        dl.sums {
            div { dt { "packets" } dd { (grouped(sum.packets)) } }
            div { dt { "dropped (attempts)" } dd { (grouped(sum.dropped)) } }
            div { dt { "size" } dd { (bytes(sum.bytes)) } }
            div { dt { "addresses" } dd { @if sum.more_destinations { "at least " } (grouped(sum.destinations)) } }
            div { dt { "first (UTC)" } dd { (utc(&sum.first)) } }
            div { dt { "last (UTC)" } dd { (utc(&sum.last)) } }
        }
        @if policy.timeline.passed.len() < FEWEST_SLOTS {
            p.soft { "The store sums packets by " (seconds(policy.timeline.slot_seconds)) ". This period is too short for a picture of them." }
        } @else {
            figure {
                (svg::timeline(&policy.timeline, &title, &report.marks_of(device)))
                figcaption {
                    "Packets in each " (seconds(policy.timeline.slot_seconds))
                    ". Filled: passed. Hatched: dropped. Crossed: the filter was not attached."
                }
            }
        }
        @if !flows.is_empty() { (flow_table(&flows)) }
        (other_devices(report, policy))
    }
}

fn flow_table(flows: &[&Flow]) -> Markup {
    let mut shown = std::collections::BTreeSet::new();
    html! {
        table.cards.flows {
            thead { tr {
                th { "Destination" } th { "Names, as claims" } th.number { "Packets" } th.number { "Bytes" }
                th.number { "Dropped" } th { "First, last (UTC)" }
            } }
            @for flow in flows {
                tbody {
                    tr {
                        th scope="row" { (flow.destination.as_deref().unwrap_or("other destinations")) " " span.soft { (flow.service()) } }
                        td data-label="Names" { (names(flow)) }
                        td.number data-label="Packets" { (grouped(flow.packets)) }
                        td.number data-label="Bytes" { (grouped(flow.bytes)) }
                        td.number data-label="Dropped" { (grouped(flow.dropped)) }
                        td data-label="First, last (UTC)" { span.time { (utc(&flow.first)) } " " span.time { (utc(&flow.last)) } }
                    }
                    // Flows to the same destination repeat nothing.
                    @if shown.insert(flow.destination.as_deref()) {
                        tr.range { td colspan="6" { (range(flow)) } }
                    }
                }
            }
        }
    }
}

fn names(flow: &Flow) -> Markup {
    html! {
        @if flow.names.is_empty() { span.soft { "no name known" } }
        @for name in &flow.names { div.claim { (claim(name)) } }
        @if flow.more_names > 0 { div.soft { "and " (flow.more_names) " further names" } }
    }
}

fn claim(name: &Name) -> Markup {
    html! {
        @if name.is_of_destination() { b { (name.name) } } @else { span.asked { (name.name) } }
        " " span.soft { (claims::how(&name.how)) ", " (name.details()) }
    }
}

fn range(flow: &Flow) -> Markup {
    let lines = flow
        .holder
        .as_ref()
        .map(claims::range_lines)
        .unwrap_or_default();
    html! {
        @if lines.is_empty() { span.soft { "No source of this gateway states whose range this is." } }
        @for (key, text) in &lines { div { span.soft { (key) ": " } (text) } }
    }
}

fn other_devices(report: &Report, policy: &DevicePolicy) -> Markup {
    html! {
        h4 { "Other devices that contacted addresses of this policy" }
        @if policy.others.is_empty() {
            p { "The report has none." }
        } @else {
            table.cards {
                thead { tr { th { "Device" } th.number { "Packets" } th.number { "Dropped" } th.number { "Networks in common" } th { "First, last (UTC)" } } }
                tbody {
                    @for other in &policy.others {
                        tr {
                            th scope="row" { (report.name_of(other.device.as_ref())) @if let Some(same) = &other.possibly_same { " " span.soft { "(" (same) ")" } } }
                            td.number data-label="Packets" { (grouped(other.sum.packets)) }
                            td.number data-label="Dropped" { (grouped(other.sum.dropped)) }
                            td.number data-label="Networks in common" { (grouped(other.shared_networks)) }
                            td data-label="First, last (UTC)" { span.time { (utc(&other.sum.first)) } " " span.time { (utc(&other.sum.last)) } }
                        }
                    }
                }
            }
        }
        @if policy.more_others > 0 { p.soft { "and " (plural(policy.more_others, "further device", "further devices")) } }
    }
}

pub(super) fn compared(report: &Report, compared: &Compared) -> Markup {
    let rows = [("before", &compared.before), ("after", &compared.after)];
    html! {
        div.compared {
            h4 { (report.name_of(compared.device.as_ref())) @if compared.is_control { " " span.soft { "(control)" } } }
            table.cards {
                thead { tr { th { "" } th.number { "Observed" } th.number { "Contacts" } th.number { "Contacts per hour" } th.number { "Packets" } th.number { "Packets per hour" } } }
                tbody { @for (side, window) in rows { (window_row(side, window)) } }
            }
            dl.ends {
                @for (key, ends) in [("stayed", &compared.stayed), ("went", &compared.went), ("came", &compared.came)] {
                    div { dt { (key) } dd { (ends.text()) } }
                }
            }
            p { (compared.text.join(" ")) }
        }
    }
}

fn window_row(side: &str, window: &Window) -> Markup {
    let rate = |rate: Option<f64>| rate.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.1}"));
    // The number of contacts is that of whole intervals.
    let (observed, contacts) = if window.observed_hours > 0.0 {
        (hours(window.observed_hours), grouped(window.contacts))
    } else {
        ("no whole interval".to_owned(), "–".to_owned())
    };
    html! {
        tr {
            th scope="row" { (side) }
            td.number data-label="Observed" { (observed) }
            td.number data-label="Contacts" { (contacts) }
            td.number data-label="Contacts per hour" { (rate(window.contacts_per_hour)) }
            td.number data-label="Packets" { (grouped(window.packets)) }
            td.number data-label="Packets per hour" { (rate(window.packets_per_hour)) }
        }
    }
}

impl Ends {
    /// The ends as one text.
    pub(in crate::report) fn text(&self) -> String {
        if self.number == 0 {
            return "none".to_owned();
        }
        let ends = self.ends.iter().map(|end| {
            let address = end.destination.as_deref().unwrap_or("other destinations");
            match end.port {
                0 => format!("{address} {}", end.protocol),
                port => format!("{address} {}/{port}", end.protocol),
            }
        });
        let mut text = ends.collect::<Vec<_>>().join(", ");
        let left = self.number.saturating_sub(self.ends.len() as u64);
        if left > 0 {
            text = format!("{text} and {left} more");
        }
        text
    }
}
