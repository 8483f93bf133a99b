//! How the gateway watched, what was lost, and under which policies.

use maud::{Markup, html};

use crate::report::{
    captures::HEADERS,
    losses::meaning,
    model::{Losses, Report, Ruleset},
    words::{grouped, plural, seconds, utc},
};

pub(super) fn coverage(report: &Report) -> Markup {
    html! {
        section {
            h2 { "How the gateway watched" }
            dl.facts {
                @for (key, value) in report.watching() { div { dt { (key) } dd { (value) } } }
            }
            @if report.coverage.is_empty() {
                p { "The store knows no time in this period at which the filter was attached." }
            } @else {
                table.cards {
                    thead { tr { th { "Interface" } th { "Mode" } th { "Attached from (UTC)" } th { "To (UTC)" } th.number { "Length" } } }
                    tbody {
                        @for one in &report.coverage {
                            tr {
                                th scope="row" { (one.interface) }
                                td data-label="Mode" { (one.mode) }
                                td data-label="Attached from" { (utc(&one.since)) }
                                td data-label="To" { (utc(&one.until)) }
                                td.number data-label="Length" { (seconds(one.seconds)) }
                            }
                        }
                    }
                }
            }
            @if !report.findings.is_empty() {
                h3 { "What the checks found" }
                table.cards {
                    thead { tr { th { "Check" } th { "Status" } th { "Finding" } th { "From (UTC)" } th { "To (UTC)" } } }
                    tbody {
                        @for one in &report.findings {
                            tr {
                                th scope="row" { (one.check) }
                                td data-label="Status" { (one.status_text()) }
                                td data-label="Finding" { (one.what) }
                                td data-label="From" { (utc(&one.since)) }
                                td data-label="To" { (one.until_text()) }
                            }
                        }
                    }
                }
                @if report.more_findings > 0 { p { (grouped(report.more_findings)) " earlier findings are left out." } }
            }
            h3 { "Losses" }
            (losses(&report.losses))
        }
    }
}

fn losses(losses: &Losses) -> Markup {
    html! {
        @if losses.hours.is_empty() && losses.not_recorded.packets == 0 {
            p { "No loss is recorded." }
        } @else {
            ul {
                @for loss in &losses.hours {
                    li {
                        "hour of " (utc(&loss.hour)) ": " (grouped(loss.number)) " (" (loss.reason) ") — " (loss.meaning)
                        @if let Some(policy) = &loss.policy { " (policy " (policy) ")" }
                    }
                }
                @for (reason, packets) in &losses.not_recorded.reasons {
                    li { (grouped(*packets)) " (" (reason) ") in no flow, " (losses.counted()) " — " (meaning(reason)) }
                }
            }
        }
    }
}

pub(super) fn captures(report: &Report) -> Markup {
    html! {
        @if !report.captures.is_empty() {
            section {
                h2 { "Captures of packets" }
                table.cards {
                    thead { tr { @for header in HEADERS { th { (header) } } } }
                    tbody {
                        @for capture in &report.captures {
                            tr {
                                @for (header, cell) in HEADERS.iter().zip(capture.cells()) {
                                    td data-label=(header) { (cell) }
                                }
                            }
                        }
                    }
                }
                ul {
                    @for capture in &report.captures { li { (capture.sentences().join(" ")) } }
                }
                @if report.more_captures > 0 {
                    p.soft { "and " (plural(report.more_captures, "earlier capture", "earlier captures")) }
                }
            }
        }
    }
}

pub(super) fn rulesets(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Policies and program" }
            table.cards {
                thead { tr { th { "Policy" } th { "Action" } th { "In force while attached" } th.number { "Packets" } th.number { "Dropped" } } }
                tbody {
                    @for policy in &report.policies {
                        tr {
                            th scope="row" { (policy.policy) }
                            td data-label="Action" { @if policy.actions.is_empty() { "unknown" } @else { (policy.actions.join(", ")) } }
                            td data-label="In force" { (policy.seconds.map_or_else(|| "unknown".to_owned(), seconds)) }
                            td.number data-label="Packets" { (grouped(policy.packets)) }
                            td.number data-label="Dropped" { (grouped(policy.dropped)) }
                        }
                    }
                }
            }
            @for program in &report.program {
                p.soft {
                    "Program since " (utc(&program.since)) ": version " (program.version) ", SHA-256 "
                    code { (program.sha256) } "; classifier of DNS answers " code { (program.classifier_sha256) }
                }
            }
            @for one in report.distinct_rulesets() { (ruleset(report, one)) }
        }
    }
}

fn ruleset(report: &Report, ruleset: &Ruleset) -> Markup {
    html! {
        h3 { "Ruleset " code { (ruleset.hash) } }
        p.soft { "In force: " (report.spans_of(&ruleset.hash)) }
        @match report.policy_texts.get(&ruleset.hash) {
            None => p { "The store does not have the text of these policies." },
            Some(policies) => {
                @for policy in policies { pre { (policy.text()) } }
            }
        }
    }
}
