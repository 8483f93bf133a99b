//! Captures: a node for the file, which states its SHA-256, and a node for the action that made
//! the file.

use super::{Case, Iri, Node, record::hash};
use crate::report::Capture;

impl Case<'_> {
    /// Adds the file of each capture whose bytes are known. Returns the file of each capture.
    pub(super) fn add_capture_files(&mut self) -> Vec<Option<Iri>> {
        let captures = self.report.captures.iter();
        let files: Vec<_> = captures.map(file).collect();
        let files = files.into_iter();
        files
            .map(|file| file.map(|file| self.graph.add(file)))
            .collect()
    }

    /// Adds the action of each capture, with its file as the result.
    pub(super) fn add_captures(
        &mut self,
        files: Vec<Option<Iri>>,
        gateway: Iri,
        tools: &[Iri],
    ) -> Vec<Iri> {
        let report = self.report;
        let each = report.captures.iter().zip(files);
        let actions = each.map(|(capture, file)| {
            let name = format!("Capture of packets of the policy {}", capture.policy);
            let node = Node::new("case-investigation:InvestigativeAction")
                .put("uco-core:name", name)
                .texts("uco-core:description", capture.sentences())
                .time("uco-action:startTime", &capture.since)
                .links("uco-action:performer", [gateway])
                .links("uco-action:instrument", tools.iter().copied())
                .links("uco-action:result", file);
            match &capture.until {
                Some(until) => node.time("uco-action:endTime", until),
                None => node,
            }
        });
        let actions: Vec<_> = actions.collect();
        let actions = actions.into_iter();
        actions.map(|action| self.graph.add(action)).collect()
    }
}

/// The file of a capture; `None` if its bytes are not known.
fn file(capture: &Capture) -> Option<Node> {
    let mut description = vec![capture.about_file()];
    if let (Some(first), Some(last)) = (&capture.first, &capture.last) {
        description.push(format!("First packet {first}, last packet {last}."));
    }
    let content = Node::new("uco-observable:ContentDataFacet")
        .put("uco-observable:mimeType", "application/x-pcapng")
        .put("uco-observable:sizeInBytes", capture.bytes?)
        .parts("uco-observable:hash", [hash(capture.sha256.as_deref()?)?]);
    let node = Node::new("uco-observable:File")
        .put(
            "uco-core:name",
            format!("Captured packets of the policy {}, pcapng", capture.policy),
        )
        .texts("uco-core:description", description);
    Some(node.parts("uco-core:hasFacet", [content]))
}
