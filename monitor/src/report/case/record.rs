//! The run of monitor, marks of the operator, and the record of where all of it is from.

use serde_json::json;

use super::{Case, Iri, Node};
use crate::report::{
    model::{Mark, Program},
    words::{grouped, list, utc},
};

impl<'a> Case<'a> {
    /// Adds the programs, the gateway, the run, the marks, and the record of provenance.
    pub(super) fn add_record(&mut self) {
        let report = self.report;
        for mark in &report.marks {
            self.add_mark(mark);
        }
        let files = self.add_capture_files();
        let results = self.graph.iris();
        let tools: Vec<Iri> = self.add_tools();
        let gateway = self.add_gateway();
        let mut actions = self.add_coverage(&tools);
        actions.extend(self.add_captures(files, gateway, &tools));
        let record = self.provenance(results);
        let record = self.graph.add(record);
        let subjects = report.devices.iter().filter(|device| device.is_subject);
        let subjects: Vec<Iri> = subjects
            .filter_map(|device| self.devices.get(&device.device.as_deref()).copied())
            .collect();
        let run = Node::new("case-investigation:InvestigativeAction")
            .put("uco-core:name", "Observation of packets by monitor")
            .texts("uco-core:description", report.answer.clone())
            .time("uco-action:startTime", &report.period.since)
            .time("uco-action:endTime", &report.period.until)
            .links("uco-action:performer", [gateway])
            .links("uco-action:instrument", tools)
            .links("uco-action:object", subjects)
            .links("uco-action:subaction", actions)
            .links("uco-action:result", [record]);
        self.graph.add(run);
    }

    /// The programs that recorded, each followed by its compiled parts.
    fn add_tools(&mut self) -> Vec<Iri> {
        let mut tools: Vec<Iri> = Vec::new();
        for program in &self.report.program {
            tools.push(self.graph.add(tool(program)));
            let parts = [
                compiled("Compiled filter", &program.sha256),
                compiled(
                    "Compiled classifier of DNS answers",
                    &program.classifier_sha256,
                ),
            ];
            for part in parts.into_iter().flatten() {
                tools.push(self.graph.add(part));
            }
        }
        if tools.is_empty() {
            let node = Node::new("uco-tool:Tool").put("uco-core:name", "monitor");
            tools.push(self.graph.add(node));
        }
        tools
    }

    fn add_gateway(&mut self) -> Iri {
        let gateway = &self.report.gateway;
        let clock = match gateway.clock_synchronised {
            Some(true) => "The clock was synchronised.",
            Some(false) => "The clock was not always synchronised. Times may be wrong.",
            None => "It is not known whether the clock was synchronised. Times may be wrong.",
        };
        let mut description = vec![clock.to_owned()];
        if let Some(kernel) = &gateway.kernel {
            description.push(format!("Kernel {kernel}."));
        }
        if !gateway.addresses.is_empty() {
            let addresses = list(&gateway.addresses);
            description.push(format!(
                "Addresses on the filtered interfaces: {addresses}."
            ));
        }
        let name = gateway.host.as_deref().unwrap_or("gateway");
        let node = Node::new("uco-observable:Device").put("uco-core:name", name);
        self.graph
            .add(node.texts("uco-core:description", description))
    }

    /// One action for each time in which the filter was attached.
    fn add_coverage(&mut self, tools: &[Iri]) -> Vec<Iri> {
        let mut actions = Vec::new();
        for one in &self.report.coverage {
            let what = format!("Filter attached to {} ({})", one.interface, one.mode);
            let node = Node::new("uco-action:Action")
                .put("uco-core:name", what)
                .time("uco-action:startTime", &one.since)
                .time("uco-action:endTime", &one.until)
                .links("uco-action:instrument", tools.iter().copied());
            actions.push(self.graph.add(node));
        }
        actions
    }

    /// A mark as an event, and the comparisons at it as statements.
    fn add_mark(&mut self, mark: &'a Mark) {
        let device = mark.device.as_deref();
        let device = device.map(|device| self.device(Some(device)));
        let mut description = vec![format!("Stated by the operator: \"{}\".", mark.text)];
        let stated = mark.stated.iter();
        description.extend(stated.map(|(key, value)| format!("Stated {key}: \"{value}\".")));
        let set = mark.set_at_another_time();
        description.extend(set.map(|set| format!("This mark was {set}.")));
        let node = Node::new("uco-core:Event")
            .put("uco-core:eventType", mark.kind.as_str())
            .texts("uco-core:description", description)
            .time("uco-core:startTime", &mark.at)
            .links("uco-core:eventContext", device);
        let event = self.graph.add(node);
        let Some(comparison) = &mark.comparison else {
            return;
        };
        for compared in &comparison.devices {
            let label = compared.device.as_deref();
            let device = self.devices.get(&label).copied();
            let role = if compared.is_control {
                "Control"
            } else {
                "Device of the mark"
            };
            let text = format!("{role}: {}", compared.text.join(" "));
            self.annotate(std::iter::once(event).chain(device), &text);
        }
    }

    fn provenance(&self, objects: Vec<Iri>) -> Node {
        let report = self.report;
        let mut description = report.shows.clone();
        let not_shown = report.does_not_show.iter();
        description.extend(not_shown.map(|text| format!("Not shown: {text}")));
        description.extend(self.losses());
        description.extend(self.rulesets());
        let node = Node::new("case-investigation:ProvenanceRecord")
            .put("uco-core:name", "Evidence that monitor recorded")
            .texts("uco-core:description", description)
            .links("uco-core:object", objects);
        match &report.at {
            Some(at) => node.time("uco-core:objectCreatedTime", at),
            None => node,
        }
    }

    fn losses(&self) -> Vec<String> {
        let losses = &self.report.losses;
        let hours = losses.hours.iter().map(|loss| {
            let policy = loss
                .policy
                .iter()
                .map(|policy| format!(" (policy {policy})"));
            format!(
                "Lost in the hour from {} (UTC): {}{}, {}.",
                utc(&loss.hour),
                grouped(loss.number),
                policy.collect::<String>(),
                loss.meaning
            )
        });
        let mut all: Vec<String> = hours.collect();
        if all.is_empty() && losses.not_recorded.packets == 0 {
            all.push("No loss is recorded.".to_owned());
        }
        all
    }

    fn rulesets(&self) -> impl Iterator<Item = String> {
        self.report.ruleset.iter().map(|ruleset| {
            let until = ruleset.until.as_deref().map(utc);
            format!(
                "The ruleset {} (generation {}) was in force from {} to {} (UTC).",
                ruleset.hash,
                ruleset.generation,
                utc(&ruleset.since),
                until.unwrap_or_else(|| "the end of the period".to_owned())
            )
        })
    }
}

fn tool(program: &Program) -> Node {
    let since = format!("It ran since {} (UTC).", utc(&program.since));
    Node::new("uco-tool:Tool")
        .put("uco-core:name", "monitor")
        .put("uco-tool:version", program.version.as_str())
        .put("uco-tool:toolType", "packet filter")
        .texts("uco-core:description", vec![since])
}

/// A compiled program as its SHA-256; `None` if the store does not know it.
fn compiled(name: &str, sha256: &str) -> Option<Node> {
    let hash = hash(sha256)?;
    let facet = Node::new("uco-observable:ContentDataFacet").parts("uco-observable:hash", [hash]);
    let node = Node::new("uco-observable:ContentData").put("uco-core:name", name);
    Some(node.parts("uco-core:hasFacet", [facet]))
}

/// A SHA-256; `None` if the text is none.
pub(super) fn hash(sha256: &str) -> Option<Node> {
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = json!({"@type": "xsd:hexBinary", "@value": sha256});
    let node = Node::new("uco-types:Hash")
        .put("uco-types:hashMethod", "SHA256")
        .put("uco-types:hashValue", value);
    is_hash.then_some(node)
}
