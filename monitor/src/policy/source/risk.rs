//! The accepted risks as they are typed.

use std::collections::BTreeMap;

use super::reader::{Reader, get};
use crate::policy::{
    Risk,
    diagnostic::{SourcePlace, near_miss},
    risk::Acceptance,
    yaml::Node,
};

const HELP: &str =
    "write `accept_risk: [lan]`; the risks are `lan`, `wan`, `private` and `short-prefix`";

impl Reader<'_> {
    /// Reads `accept_risk` with its `reason`; `None` if it is missing or
    /// invalid.
    pub(super) fn acceptance(&mut self, node: &Node<'_>) -> Option<Acceptance> {
        let accepted = get(node, "accept_risk")?;
        let risks = self.risks(&accepted);
        let reason = match get(node, "reason") {
            // A reason of another type was reported as an error of its own.
            Some(reason) => reason.value.as_str().map(str::to_owned)?,
            None => String::new(),
        };
        if reason.trim().is_empty() {
            self.missing(
                "reason",
                accepted.span,
                "a risk is accepted without a `reason`",
                "write `reason: …` beside it, so that later readers know why",
            );
            return None;
        }
        Some(Acceptance {
            risks: risks?,
            reason,
        })
    }

    fn risks(&mut self, node: &Node<'_>) -> Option<BTreeMap<Risk, SourcePlace>> {
        let elements = node.elements().unwrap_or_else(|| vec![node.clone()]);
        if elements.is_empty() {
            let message = "`accept_risk` is an empty sequence, which accepts nothing";
            self.error(node.span.clone(), message, HELP);
            return None;
        }
        let mut risks = BTreeMap::new();
        for element in &elements {
            if let Some(risk) = self.risk(element) {
                let place = self.file.place(element.span.clone());
                risks.entry(risk).or_insert(place);
            }
        }
        Some(risks)
    }

    fn risk(&mut self, node: &Node<'_>) -> Option<Risk> {
        let text = self.text(node, "a risk", HELP)?;
        let known = Risk::ALL.into_iter().find(|risk| risk.name() == text);
        if known.is_none() {
            let help = match near_miss(&text, &Risk::ALL.map(Risk::name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => HELP.to_owned(),
            };
            let message = format!("there is no risk `{text}` to accept");
            self.error(node.span.clone(), message, help);
        }
        known
    }
}
