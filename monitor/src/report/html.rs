//! The report as one HTML file without scripts and without references to other files.

mod parts;
mod record;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::{
    parts::{compared, device_section},
    record::{captures, coverage, rulesets},
};
use super::{
    model::{Device, Mark, Report},
    svg,
    words::{grouped, utc},
};
use crate::printable;

/// The report as HTML. The template escapes every value.
#[must_use]
pub fn html(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { "Evidence of a gateway, " (utc(&report.period.since)) " to " (utc(&report.period.until)) " (UTC)" }
                style { (PreEscaped(include_str!("report.css"))) }
            }
            body {
                (svg::patterns())
                main {
                    (head(report))
                    @for device in report.devices.iter().filter(|device| device.is_subject) {
                        (device_section(report, device))
                    }
                    (others(report))
                    (marks(report))
                    (captures(report))
                    (coverage(report))
                    (rulesets(report))
                    (sentences("shows", "What this shows", &report.shows))
                    (sentences("does-not-show", "What this does not show", &report.does_not_show))
                }
            }
        }
    };
    let mut text = printable::escape(&page.into_string(), &['\n']).into_owned();
    text.push('\n');
    text
}

fn head(report: &Report) -> Markup {
    html! {
        header {
            h1 { "Evidence of a gateway" }
            p.soft {
                (utc(&report.period.since)) " to " (utc(&report.period.until)) " (UTC)"
                @if let Some(device) = &report.period.device { " · device " (device) }
                @if let Some(policy) = &report.period.policy { " · policy " (policy) }
                @if let Some(at) = &report.at { " · made at " (utc(at)) ", as its maker states" }
            }
        }
        section.answer {
            @for sentence in &report.answer { p { (sentence) } }
            @if report.redacted {
                p.soft { "Names, MACs and addresses of the household are pseudonyms." }
            }
            p.soft { a href="#does-not-show" { "What this report does not show" } }
        }
    }
}

fn others(report: &Report) -> Markup {
    let others: Vec<&Device> = report.others().collect();
    html! {
        @if !others.is_empty() {
            section {
                h2 { "Other devices of this network" }
                table.cards {
                    thead { tr { th { "Device" } th { "Vendor" } th.number { "Packets" } th.number { "Dropped" } th { "Policies" } } }
                    tbody {
                        @for device in others {
                            tr {
                                th scope="row" { (device.label()) }
                                td data-label="Vendor" { (device.vendor.as_deref().unwrap_or("unknown")) }
                                td.number data-label="Packets" { (grouped(device.sum.packets)) }
                                td.number data-label="Dropped" { (grouped(device.sum.dropped)) }
                                td data-label="Policies" { (device.policies.iter().map(|own| own.policy.clone()).collect::<Vec<_>>().join(", ")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn marks(report: &Report) -> Markup {
    html! {
        @if !report.marks.is_empty() {
            section {
                h2 { "Marks of the operator" }
                p.soft { "The operator states what a mark says. The filter counts a contact for each interval in which a device sent packets to one address, protocol and port." }
                @for (number, one) in report.marks.iter().enumerate() { (mark(report, number + 1, one)) }
            }
        }
    }
}

fn mark(report: &Report, number: usize, mark: &Mark) -> Markup {
    html! {
        h3 { "Mark " (number) ": " (mark.text) }
        p.soft {
            (utc(&mark.at)) " UTC" " · " (mark.kind) " · " (mark.about())
            @if let Some(set) = mark.set_at_another_time() { " · " (set) }
            @for (key, value) in &mark.stated { " · " (key) " " (value) }
        }
        @if let Some(comparison) = &mark.comparison {
            p { "Compared: from " (utc(&comparison.since)) " to the mark, and from the mark to " (utc(&comparison.until)) "." }
            @for device in &comparison.devices { (compared(report, device)) }
            @if comparison.more_devices > 0 {
                p.soft { "and " (grouped(comparison.more_devices)) " further devices" }
            }
        }
    }
}

fn sentences(id: &str, title: &str, sentences: &[String]) -> Markup {
    html! {
        section id=(id) {
            h2 { (title) }
            @if sentences.is_empty() { p { "The data of this period show nothing." } }
            ul { @for sentence in sentences { li { (sentence) } } }
        }
    }
}
