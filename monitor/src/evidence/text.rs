//! Flows as text for people.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

use comfy_table::{CellAlignment, Table, presets};

use super::{
    FlowView, FlowsView, ModelsView, NameView, NotRecorded, chosen::Chosen, device_text::beside,
};
use crate::policy::MacAddress;

/// A heading for each device, then one line for each flow and one for each of its names.
impl fmt::Display for FlowsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.flows.is_empty() && self.not_recorded.packets == 0 {
            return writeln!(f, "no flows are recorded");
        }
        for of_device in self.flows.chunk_by(|a, b| a.device == b.device) {
            writeln!(f, "{}", self.heading(of_device[0].device))?;
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
            let mut shown = BTreeSet::new();
            writeln!(f, "{}", lines.next().unwrap_or_default())?;
            for (flow, line) in of_device.iter().zip(lines) {
                writeln!(f, "{line}")?;
                // Flows to the same destination repeat nothing.
                if let Some(range) = flow.range_line()
                    && shown.insert(flow.destination)
                {
                    writeln!(f, "   {range}")?;
                }
                for name in &flow.names {
                    writeln!(f, "   {}", name.described())?;
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
        for failed in &self.failed_sources {
            writeln!(f, "{failed}")?;
        }
        write!(f, "{}", self.not_recorded)
    }
}

impl FlowsView {
    /// MAC, name and vendor of a device.
    fn heading(&self, device: Option<MacAddress>) -> String {
        let Some(mac) = device else {
            return "other devices".to_owned();
        };
        let mut heads = self.devices.iter();
        let head = heads.find(|head| head.device == device);
        match head.map(beside).filter(|text| !text.is_empty()) {
            Some(text) => format!("{mac}  {text}"),
            None => mac.to_string(),
        }
    }
}

impl fmt::Display for ModelsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models = self.models.iter();
        let models: Vec<_> = models
            .map(|stated| format!("{} ({})", Chosen(&stated.model), stated.how))
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
            flow.service(),
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

impl FlowView {
    /// Protocol and port: `tcp/443`.
    pub(crate) fn service(&self) -> String {
        match (self.port, &self.unreadable) {
            (Some(port), _) => format!("{}/{port}", self.protocol),
            (None, Some(why)) => format!("{} ({why})", self.protocol),
            (None, None) => self.protocol.clone(),
        }
    }
}

impl NameView {
    /// The name with everything that is known about its source.
    pub(crate) fn described(&self) -> String {
        let mut text = format!("{} {}", self.how, self.name);
        if !self.chain.is_empty() {
            let _ = write!(text, " ({})", self.chain.join(" → "));
        }
        if let Some(server) = self.from {
            let _ = write!(text, " by {server}");
        }
        if let Some(ech) = &self.ech {
            let _ = write!(text, ", ECH {ech}");
        }
        text
    }
}
