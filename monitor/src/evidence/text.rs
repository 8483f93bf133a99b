//! Flows as text for people.

use std::fmt::{self, Write as _};

use comfy_table::{CellAlignment, Table, presets};

use super::{FlowView, FlowsView, ModelsView, NameView, NotRecorded};

/// A heading for each device, then one line for each flow and one for each of its names.
impl fmt::Display for FlowsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.flows.is_empty() && self.not_recorded.packets == 0 {
            return writeln!(f, "no flows are recorded");
        }
        for of_device in self.flows.chunk_by(|a, b| a.device == b.device) {
            let device = of_device[0].device.map(|device| device.to_string());
            let device = device.unwrap_or_else(|| "other devices".to_owned());
            writeln!(f, "{device}")?;
            let models = self.models.iter();
            for models in models.filter(|models| Some(models.device) == of_device[0].device) {
                writeln!(f, " {models}")?;
            }
            let mut absences = self.no_names.iter();
            let absence = absences.find(|absence| Some(absence.device) == of_device[0].device);
            for encrypted in absence.iter().flat_map(|absence| &absence.encrypted) {
                writeln!(f, " uses encrypted DNS: {encrypted}")?;
            }
            let table = table(of_device).trim_fmt();
            let mut lines = table.lines();
            writeln!(f, "{}", lines.next().unwrap_or_default())?;
            for (flow, line) in of_device.iter().zip(lines) {
                writeln!(f, "{line}")?;
                for name in &flow.names {
                    writeln!(f, "   {}", described(name))?;
                }
                match absence.filter(|_| flow.has_no_name()) {
                    None => {}
                    // Both times are RFC 3339 in UTC, so their order is that of the text.
                    Some(absence) if flow.last < absence.since => writeln!(
                        f,
                        "   no name is known; DNS answers are remembered only since {}",
                        absence.since
                    )?,
                    Some(absence) => writeln!(f, "   {absence}")?,
                }
                if flow.more_names > 0 {
                    writeln!(f, "   and {} further names", flow.more_names)?;
                }
            }
            writeln!(f)?;
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

impl fmt::Display for ModelsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models = self.models.iter();
        let models: Vec<_> = models
            .map(|stated| format!("{} ({})", stated.model, stated.how))
            .collect();
        write!(f, "states the model {}", models.join(", "))?;
        if self.several {
            write!(f, ": possibly several devices behind this MAC")?;
        }
        Ok(())
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
        let _ = write!(text, " ({})", name.chain.join(" → "));
    }
    if let Some(server) = name.from {
        let _ = write!(text, " by {server}");
    }
    if let Some(ech) = &name.ech {
        let _ = write!(text, ", ECH {ech}");
    }
    text
}
