//! The author's statement about the destinations, as it is typed.

use super::reader::{Reader, get};
use crate::{
    policy::{About, keys, observed::Observed, yaml::Node},
    registry::Registry,
};

const HELP: &str = "write `about: {holder: Example Ltd, as_of: 2014-07, source: https://…}`";

impl Reader<'_> {
    /// Reads `about`; `None` if it is missing or invalid.
    pub(super) fn about(&mut self, policy: &Node<'_>) -> Option<About> {
        let node = get(policy, "about")?;
        if node.entries().is_none() {
            self.wrong_type(&node, "`about`", "a mapping", HELP);
            return None;
        }
        let misspelt = keys::ABOUT.check(&node, self.file, self.out);
        let as_of = self.date(&node, "as_of");
        let source = self.statement(&node, "source");
        let is_absent = |key| get(&node, key).is_none() && !misspelt.contains(&key);
        if is_absent("holder") {
            let message = "`about` names no `holder`, so it states nothing";
            self.error(node.span.clone(), message, HELP);
        }
        if is_absent("as_of") {
            let message = "`about` has no `as_of`, and the holder of a range can change";
            let help = "write the year, month or day of your knowledge, such as `as_of: 2014-07`";
            self.warning(node.span.clone(), message, help);
        }
        if is_absent("source") {
            let message = "`about` has no `source`, so readers cannot check it";
            let help = "write where you know it from, such as `source: https://…`";
            self.warning(node.span.clone(), message, help);
        }
        let holder = self.statement(&node, "holder")?;
        let place = get(&node, "holder")?.span;
        if let Some(registry) = Registry::only_in(&holder) {
            let message = format!("{registry} is a registry, and `holder` names it");
            let help = "write the organisation that holds the range: a registry registers ranges for its members, and neither holds nor uses them";
            self.warning(place.clone(), &message, help);
        }
        Some(About {
            holder,
            as_of,
            source,
            place: self.file.place(place),
        })
    }

    /// Reads a text that is shown in one line.
    fn statement(&mut self, about: &Node<'_>, key: &'static str) -> Option<String> {
        let text = self.optional_text(about, key)?;
        let span = get(about, key)?.span;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            self.error(span, format!("`{key}` is empty"), HELP);
            return None;
        }
        if text.len() > About::MAX_LEN {
            let message = format!("`{key}` is longer than {} bytes", About::MAX_LEN);
            self.error(span, message, "write less; `description` may be longer");
            return None;
        }
        Some(text)
    }

    /// Reads a year, a month or a day.
    pub(super) fn date(&mut self, parent: &Node<'_>, key: &'static str) -> Option<Observed> {
        let node = get(parent, key)?;
        let help = "write the year, month or day: `2014`, `2014-07` or `2014-07-31`";
        // YAML reads a year alone as a number.
        let text = match node.value {
            serde_yaml::Value::Number(number) => number.to_string(),
            _other => self.text(&node, &format!("`{key}`"), help)?,
        };
        let date = text.parse().ok();
        if date.is_none() {
            self.error(node.span, format!("`{text}` is not a date"), help);
        }
        date
    }
}
