//! The report as Markdown (`CommonMark` with tables).

mod record;
mod text;

use std::fmt::Write as _;

use self::{
    record::{captures, coverage, mark_section, rulesets},
    text::{code, escaped},
};
use super::{
    claims,
    model::{Device, DevicePolicy, Flow, Name, Other, Report},
    words::{bytes, grouped, plural, seconds, utc},
};
use crate::printable;

/// The report as Markdown.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    for device in report.devices.iter().filter(|device| device.is_subject) {
        device_section(&mut out, report, device);
    }
    others(&mut out, report);
    for (number, mark) in report.marks.iter().enumerate() {
        mark_section(&mut out, number + 1, mark);
    }
    captures(&mut out, report);
    coverage(&mut out, report);
    rulesets(&mut out, report);
    sentences(&mut out, "What this shows", &report.shows);
    sentences(&mut out, "What this does not show", &report.does_not_show);
    printable::text(&out).into_owned()
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn heading(out: &mut String, level: usize, text: &str) {
    line(out, &format!("\n{} {text}\n", "#".repeat(level)));
}

fn table(out: &mut String, headers: &[&str], rows: &[Vec<String>]) {
    line(out, &format!("| {} |", headers.join(" | ")));
    line(out, &format!("|{}", "---|".repeat(headers.len())));
    for row in rows {
        line(out, &format!("| {} |", row.join(" | ")));
    }
}

fn head(out: &mut String, report: &Report) {
    line(out, "# Evidence of a gateway\n");
    let period = &report.period;
    line(
        out,
        &format!(
            "Period: {} to {} (UTC)\n",
            utc(&period.since),
            utc(&period.until)
        ),
    );
    if let Some(at) = &report.at {
        line(
            out,
            &format!("Time of this report, as its maker states: {at}\n"),
        );
    }
    if report.redacted {
        line(
            out,
            "Names, MACs and addresses of the household are pseudonyms.\n",
        );
    }
    for sentence in &report.answer {
        line(out, &format!("{}\n", escaped(sentence)));
    }
}

fn device_section(out: &mut String, report: &Report, device: &Device) {
    heading(out, 2, &format!("Device {}", escaped(&device.label())));
    for (key, value) in device.facts() {
        line(out, &format!("- {key}: {}", escaped(&value)));
    }
    for policy in &device.policies {
        policy_section(out, report, device, policy);
    }
}

fn policy_section(out: &mut String, report: &Report, device: &Device, policy: &DevicePolicy) {
    heading(out, 3, &format!("Policy {}", escaped(&policy.policy)));
    let sum = &policy.sum;
    line(
        out,
        &format!(
            "{} ({}), {} dropped; {}; first {}, last {}\n",
            plural(sum.packets, "packet", "packets"),
            bytes(sum.bytes),
            grouped(sum.dropped),
            sum.addresses(),
            utc(&sum.first),
            utc(&sum.last)
        ),
    );
    timeline(out, policy);
    let flows: Vec<_> = report.flows_of(device, policy).map(flow_row).collect();
    if !flows.is_empty() {
        let headers = [
            "destination",
            "names, as claims",
            "range",
            "packets",
            "bytes",
            "dropped",
            "first",
            "last",
        ];
        table(out, &headers, &flows);
    }
    other_devices(out, report, policy);
}

fn other_devices(out: &mut String, report: &Report, policy: &DevicePolicy) {
    if !policy.others.is_empty() {
        line(out, "\nOther devices whose packets this policy matched:\n");
        let rows = policy.others.iter().map(|other| {
            vec![
                other_label(report, other),
                grouped(other.sum.packets),
                grouped(other.sum.dropped),
                grouped(other.shared_networks),
                utc(&other.sum.first),
                utc(&other.sum.last),
            ]
        });
        let headers = [
            "device",
            "packets",
            "dropped",
            "networks in common",
            "first",
            "last",
        ];
        table(out, &headers, &rows.collect::<Vec<_>>());
    }
    if policy.more_others > 0 {
        line(
            out,
            &format!(
                "\nand {}\n",
                plural(policy.more_others, "further device", "further devices")
            ),
        );
    }
}

fn other_label(report: &Report, other: &Other) -> String {
    let label = escaped(report.name_of(other.device.as_ref()).as_str());
    match &other.possibly_same {
        Some(same) => format!("{label} ({})", escaped(same)),
        None => label,
    }
}

/// The slots that have packets.
fn timeline(out: &mut String, policy: &DevicePolicy) {
    let line_of = &policy.timeline;
    let slots = line_of.passed.iter().zip(&line_of.dropped);
    let since: jiff::Timestamp = line_of.since.parse().unwrap_or_default();
    let rows = slots
        .enumerate()
        .filter(|(_, (passed, dropped))| **passed + **dropped > 0);
    let rows = rows.map(|(at, (passed, dropped))| {
        let after = line_of.slot_seconds * i64::try_from(at).unwrap_or(0);
        let begin = since
            .checked_add(jiff::SignedDuration::from_secs(after))
            .unwrap_or(since);
        vec![
            crate::clock::to_the_second(begin),
            grouped(*passed),
            grouped(*dropped),
        ]
    });
    let rows: Vec<_> = rows.collect();
    line(
        out,
        &format!(
            "Packets in each {}; the others have none:\n",
            seconds(line_of.slot_seconds)
        ),
    );
    table(out, &["begin", "passed", "dropped"], &rows);
    line(out, "");
}

fn flow_row(flow: &Flow) -> Vec<String> {
    let names: Vec<_> = flow.names.iter().map(name).collect();
    let mut names = names.join("<br>");
    if names.is_empty() {
        names.push_str("no name known");
    }
    if flow.more_names > 0 {
        let _ = write!(
            names,
            "<br>and {}",
            plural(flow.more_names.into(), "further name", "further names")
        );
    }
    let lines = flow
        .holder
        .as_ref()
        .map(claims::range_lines)
        .unwrap_or_default();
    let range: Vec<_> = lines
        .iter()
        .map(|(key, text)| format!("{key}: {}", escaped(text)))
        .collect();
    vec![
        escaped(&flow.end()),
        names,
        if range.is_empty() {
            "nothing is stated".to_owned()
        } else {
            range.join("<br>")
        },
        grouped(flow.packets),
        grouped(flow.bytes),
        grouped(flow.dropped),
        utc(&flow.first),
        utc(&flow.last),
    ]
}

fn name(name: &Name) -> String {
    format!(
        "{} ({}, {})",
        code(&name.name),
        claims::how(&name.how),
        escaped(&name.details())
    )
}

fn others(out: &mut String, report: &Report) {
    let others: Vec<&Device> = report.others().collect();
    if others.is_empty() {
        return;
    }
    heading(out, 2, "Other devices of this network");
    let rows = others.iter().map(|device| {
        vec![
            escaped(&device.label()),
            escaped(device.vendor.as_deref().unwrap_or("unknown")),
            grouped(device.sum.packets),
            grouped(device.sum.dropped),
            escaped(
                &device
                    .policies
                    .iter()
                    .map(|own| own.policy.clone())
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        ]
    });
    table(
        out,
        &["device", "vendor", "packets", "dropped", "policies"],
        &rows.collect::<Vec<_>>(),
    );
}

fn sentences(out: &mut String, title: &str, sentences: &[String]) {
    heading(out, 2, title);
    for sentence in sentences {
        line(out, &format!("- {}", escaped(sentence)));
    }
}
