//! Flows as text for people.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};

use super::{FlowView, FlowsView, NameView, NotRecorded};

/// A heading for each device, then one row for each flow and one for each of its names.
impl fmt::Display for FlowsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.flows.is_empty() {
            writeln!(f, "no flows")?;
        }
        for of_device in self.flows.chunk_by(|a, b| a.device == b.device) {
            let device = of_device[0].device.map(|device| device.to_string());
            let device = device.unwrap_or_else(|| "other devices".to_owned());
            writeln!(f, "{device}\n{}\n", table(of_device).trim_fmt())?;
        }
        if self.more {
            writeln!(
                f,
                "there are more flows: narrow the question, or raise --limit\n"
            )?;
        }
        write!(f, "{}", self.not_recorded)
    }
}

impl fmt::Display for NotRecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.packets == 0 {
            return writeln!(f, "every matched packet is in a flow");
        }
        let reasons = self.reasons.iter();
        let reasons: Vec<_> = reasons.map(|(why, n)| format!("{n} {why}")).collect();
        let all = self.packets;
        writeln!(
            f,
            "{all} matched packets are in no flow: {}",
            reasons.join(", ")
        )
    }
}

fn table(flows: &[FlowView]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "Destination",
        "Service",
        "Packets",
        "Bytes",
        "Dropped",
        "First",
        "Last",
        "Policies",
    ]);
    for column in table.column_iter_mut().skip(2).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for flow in flows {
        let policies = flow.policies.iter().map(ToString::to_string);
        table.add_row([
            flow.destination
                .map_or_else(|| "other destinations".to_owned(), |to| to.to_string()),
            service(flow),
            flow.packets.to_string(),
            flow.bytes.to_string(),
            flow.dropped.to_string(),
            flow.first.clone(),
            flow.last.clone(),
            policies.collect::<Vec<_>>().join(", "),
        ]);
        for name in &flow.names {
            table.add_row([format!("  {}", described(name))]);
        }
    }
    table
}

fn service(flow: &FlowView) -> String {
    match (flow.port, &flow.unreadable) {
        (Some(port), _) => format!("{}/{port}", flow.protocol),
        (None, Some(why)) => format!("{} ({why})", flow.protocol),
        (None, None) => flow.protocol.clone(),
    }
}

fn described(name: &NameView) -> String {
    let mut text = format!("{} {}", name.how, name.name);
    if !name.chain.is_empty() {
        text.push_str(&format!(" ({})", name.chain.join(" → ")));
    }
    if let Some(server) = name.from {
        text.push_str(&format!(" by {server}"));
    }
    if let Some(ech) = &name.ech {
        text.push_str(&format!(", ECH {ech}"));
    }
    text
}
