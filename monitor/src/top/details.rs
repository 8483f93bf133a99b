//! Texts that fill the screen: everything about a row, the findings, the keys.

use ratatui::text::Line;

use super::{Palette, Top, keys::HELP, rows::Row};
use crate::{doctor::FindingStatus, printable};

/// Everything that is known about a row.
pub(super) fn row(top: &Top, row: &Row, palette: Palette) -> Vec<Line<'static>> {
    let heading = |text: &str| Line::styled(text.to_owned(), palette.heading());
    let mut lines = vec![heading("destination"), plain(&format!("  {}", row.address))];
    lines.extend(row.range.iter().map(|range| plain(&format!("  {range}"))));
    let mut names: Vec<_> = row.flows.iter().flat_map(|flow| &flow.names).collect();
    names.sort_by(|a, b| (&a.at, &a.name, &a.how).cmp(&(&b.at, &b.name, &b.how)));
    names.dedup();
    lines.push(heading("names, with how each was learnt"));
    for name in &names {
        lines.push(plain(&format!("  {}  {}", name.at, name.described())));
    }
    if names.iter().all(|name| name.how == "asked") {
        lines.push(plain(&format!("  {}", absence(top, row))));
    }
    let left_out: u32 = row.flows.iter().map(|flow| flow.more_names).sum();
    if left_out > 0 {
        lines.push(plain(&format!("  and {left_out} further names")));
    }
    lines.push(heading("flows"));
    for flow in &row.flows {
        let policies: Vec<_> = flow.policies.iter().map(ToString::to_string).collect();
        lines.push(plain(&format!(
            "  {} on {}, {}: {} packets, {} dropped, {} bytes",
            flow.service(),
            flow.interface,
            flow.direction,
            flow.packets,
            flow.dropped,
            flow.bytes
        )));
        lines.push(plain(&format!("    {} to {}", flow.first, flow.last)));
        lines.push(plain(&format!("    matched by {}", policies.join(", "))));
    }
    lines.push(heading("device"));
    let facts = top.facts.iter().flat_map(|facts| &facts.devices);
    match facts.clone().find(|device| device.head.device == row.key.0) {
        Some(device) => lines.extend(
            device
                .to_string()
                .lines()
                .map(|line| plain(&format!("  {line}"))),
        ),
        None => lines.push(plain(&format!("  {}", row.device))),
    }
    lines
}

/// Why no name is known, in the words of `monitor flows`.
fn absence(top: &Top, row: &Row) -> String {
    let absences = top.facts.iter().flat_map(|facts| &facts.flows.no_names);
    let mut own = absences.filter(|absence| Some(absence.device) == row.key.0);
    let is_asked = row.flows.iter().any(crate::evidence::FlowView::has_no_name);
    match own.next().filter(|_| is_asked) {
        Some(absence) => absence.to_string(),
        None => "no name is known".to_owned(),
    }
}

/// What the gateway does not see.
pub(super) fn blindness(top: &Top, palette: Palette) -> Vec<Line<'static>> {
    let Some(facts) = &top.facts else {
        return vec![plain("nothing is read yet")];
    };
    let (line, is_blind) = facts.blindness();
    let style = if is_blind {
        palette.alarm()
    } else {
        palette.heading()
    };
    let mut lines = vec![Line::styled(escaped(&line), style)];
    for (status, what, why, fix) in facts.findings() {
        let style = match status {
            FindingStatus::Blind => palette.alarm(),
            _ => palette.heading(),
        };
        lines.push(Line::default());
        lines.push(Line::styled(
            format!("{}: {}", status.word(), escaped(what)),
            style,
        ));
        for text in [why, fix].into_iter().filter(|text| !text.is_empty()) {
            lines.push(plain(&format!("  {text}")));
        }
    }
    lines
}

/// The keys.
pub(super) fn help(palette: Palette) -> Vec<Line<'static>> {
    let mut lines = vec![Line::styled("keys", palette.heading())];
    lines.extend(
        HELP.into_iter()
            .map(|(key, what)| plain(&format!("  {key:<15}{what}"))),
    );
    lines
}

fn plain(text: &str) -> Line<'static> {
    Line::raw(escaped(text))
}

fn escaped(text: &str) -> String {
    printable::escape(text, &[]).into_owned()
}
