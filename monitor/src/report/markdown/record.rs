//! Marks, and how the gateway watched.

use super::{escaped, heading, line, table};
use crate::{
    printable,
    report::{
        captures::HEADERS,
        compare::{Compared, Ends},
        losses::meaning,
        model::{Mark, Report},
        words::{grouped, plural, seconds, utc},
    },
};

pub(super) fn mark_section(out: &mut String, number: usize, mark: &Mark) {
    heading(out, 2, &format!("Mark {number}: {}", escaped(&mark.text)));
    let set = mark.set_at_another_time();
    let set = set.map_or_else(String::new, |set| format!(", {set}"));
    line(
        out,
        &format!(
            "At {}{set}, kind {}, {}. The operator states this.\n",
            mark.at,
            mark.kind,
            escaped(&mark.about())
        ),
    );
    for (key, value) in &mark.stated {
        line(out, &format!("- {key}: {}", escaped(value)));
    }
    let Some(comparison) = &mark.comparison else {
        return;
    };
    line(
        out,
        &format!(
            "\nCompared from {} to {}.\n",
            utc(&comparison.since),
            utc(&comparison.until)
        ),
    );
    for device in &comparison.devices {
        compared(out, device);
    }
    if comparison.more_devices > 0 {
        line(
            out,
            &format!(
                "and {}\n",
                plural(comparison.more_devices, "further device", "further devices")
            ),
        );
    }
}

fn compared(out: &mut String, compared: &Compared) {
    let role = if compared.is_control {
        " (control)"
    } else {
        ""
    };
    line(out, &format!("**{}**{role}\n", escaped(&compared.label())));
    for (key, ends) in [
        ("stayed", &compared.stayed),
        ("went", &compared.went),
        ("came", &compared.came),
    ] {
        line(out, &format!("- {key}: {}", ends_text(ends)));
    }
    line(out, "");
    let text = compared.text.join(" ");
    line(out, &format!("{}\n", escaped(&text)));
}

fn ends_text(ends: &Ends) -> String {
    escaped(&ends.text())
}

pub(super) fn coverage(out: &mut String, report: &Report) {
    heading(out, 2, "How the gateway watched");
    for (key, value) in report.watching() {
        line(out, &format!("- {key}: {}", escaped(&value)));
    }
    line(out, "");
    let rows = report.coverage.iter().map(|one| {
        vec![
            escaped(&one.interface),
            one.mode.clone(),
            utc(&one.since),
            utc(&one.until),
            seconds(one.seconds),
        ]
    });
    table(
        out,
        &["interface", "mode", "attached from", "to", "length"],
        &rows.collect::<Vec<_>>(),
    );
    if !report.findings.is_empty() {
        heading(out, 3, "What the checks found");
        let rows = report.findings.iter().map(|one| {
            vec![
                one.check.clone(),
                escaped(&one.status_text()),
                escaped(&one.what),
                utc(&one.since),
                one.until_text(),
            ]
        });
        table(
            out,
            &["check", "status", "finding", "from", "to"],
            &rows.collect::<Vec<_>>(),
        );
        if report.more_findings > 0 {
            let more = grouped(report.more_findings);
            line(out, &format!("{more} earlier findings are left out."));
        }
    }
    heading(out, 3, "Losses");
    let losses = &report.losses;
    if losses.hours.is_empty() && losses.not_recorded.packets == 0 {
        line(out, "No loss is recorded.");
    }
    for loss in &losses.hours {
        let policy = loss
            .policy
            .as_ref()
            .map(|policy| format!(" (policy {policy})"))
            .unwrap_or_default();
        line(
            out,
            &format!(
                "- {}: {} {}{}",
                loss.hour,
                grouped(loss.number),
                loss.meaning,
                escaped(&policy)
            ),
        );
    }
    for (reason, packets) in &losses.not_recorded.reasons {
        line(
            out,
            &format!(
                "- in no flow, {}: {} {}",
                losses.counted(),
                grouped(*packets),
                meaning(reason)
            ),
        );
    }
}

pub(super) fn captures(out: &mut String, report: &Report) {
    if report.captures.is_empty() {
        return;
    }
    heading(out, 2, "Captures of packets");
    let rows = report.captures.iter().map(|capture| {
        let cells = capture.cells();
        cells.iter().map(|cell| escaped(cell)).collect()
    });
    table(out, &HEADERS, &rows.collect::<Vec<_>>());
    for capture in &report.captures {
        let text = capture.sentences().join(" ");
        line(out, &format!("\n- {}", escaped(&text)));
    }
    if report.more_captures > 0 {
        let more = plural(report.more_captures, "earlier capture", "earlier captures");
        line(out, &format!("\nand {more}"));
    }
}

pub(super) fn rulesets(out: &mut String, report: &Report) {
    heading(out, 2, "Policies and program");
    for program in &report.program {
        line(
            out,
            &format!(
                "- program since {}: version {}, SHA-256 `{}`; classifier `{}`",
                program.since,
                escaped(&program.version),
                program.sha256,
                program.classifier_sha256
            ),
        );
    }
    let rows = report.policies.iter().map(|policy| {
        vec![
            escaped(&policy.policy),
            policy.actions.join(", "),
            policy.seconds.map_or_else(|| "unknown".to_owned(), seconds),
            grouped(policy.packets),
            grouped(policy.dropped),
        ]
    });
    line(out, "");
    table(
        out,
        &[
            "policy",
            "action",
            "in force while attached",
            "packets",
            "dropped",
        ],
        &rows.collect::<Vec<_>>(),
    );
    for ruleset in report.distinct_rulesets() {
        heading(out, 3, &format!("Ruleset `{}`", ruleset.hash));
        line(
            out,
            &format!("In force: {}\n", report.spans_of(&ruleset.hash)),
        );
        match report.policy_texts.get(&ruleset.hash) {
            None => line(out, "The store does not have the text of these policies."),
            Some(policies) => {
                for policy in policies {
                    line(out, &indented(&policy.text()));
                    line(out, "");
                }
            }
        }
    }
}

/// A code block, in which nothing is markup.
fn indented(text: &str) -> String {
    let text = printable::text(text);
    let lines = text.trim_end().lines().map(|line| format!("    {line}"));
    lines.collect::<Vec<_>>().join("\n")
}
