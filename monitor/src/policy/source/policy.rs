//! One policy, as it was typed.

use std::str::FromStr as _;

use serde_yaml::Value;

use super::{Reader, SourceDestination, SourcePolicy, Spanned, get};
use crate::policy::{
    Action, PolicyName, diagnostic::near_miss, keys, observed::Observed, risk::Acceptance,
    runtime::RESERVED, yaml::Node,
};

impl Reader<'_> {
    pub(super) fn policy(&mut self, node: &Node<'_>) -> Option<SourcePolicy> {
        if node.entries().is_none() {
            self.wrong_type(
                node,
                "a policy",
                "a mapping",
                "write `- name: …`, and `action` and `destinations` below it",
            );
            return None;
        }
        self.misspelt = keys::POLICY.check(node, self.file, self.out);
        // Each part is read before any is asked for: all errors at once.
        let name = self.name(node);
        let action = self.action(node);
        let description = self.optional_text(node, "description");
        let observed = self.observed(node);
        let references = self.references(node);
        let enabled = self.enabled(node);
        let derives = self.derives(node);
        let accepted = self.accepted(node);
        let scope = self.scope(node);
        let mut times_valid = true;
        let schedule = self.schedule(node, &mut times_valid);
        let expires = self.expires(node, &mut times_valid);
        let destinations = self.destinations(node);
        Some(SourcePolicy {
            name,
            action,
            description,
            observed,
            references,
            enabled,
            derives,
            accepted,
            scope,
            schedule,
            expires,
            times_valid,
            destinations: destinations?,
        })
    }

    fn name(&mut self, policy: &Node<'_>) -> Option<Spanned<PolicyName>> {
        let help =
            "write a name such as `name: range-192.0.2.0-24`, in quotes if it looks like a number";
        let Some(node) = get(policy, "name") else {
            self.missing(
                "name",
                policy.span.clone(),
                "this policy has no `name`",
                help,
            );
            return None;
        };
        let text = self.text(&node, "`name`", help)?;
        match PolicyName::from_str(&text) {
            Ok(name) if name.as_str().starts_with(RESERVED) => {
                let message = format!("names that begin with `{RESERVED}` are those of commands");
                self.error(node.span, message, help);
                None
            }
            Ok(value) => Some(Spanned {
                value,
                span: node.span,
            }),
            Err(error) => {
                let help = similar_name(&text)
                    .map_or_else(|| help.to_owned(), |name| format!("write `{name}`"));
                self.error(node.span, error.to_string(), help);
                None
            }
        }
    }

    fn action(&mut self, policy: &Node<'_>) -> Option<Action> {
        let Some(node) = get(policy, "action") else {
            self.missing(
                "action",
                policy.span.clone(),
                "this policy has no `action`",
                ACTIONS,
            );
            return None;
        };
        self.action_in(&node)
    }

    pub(super) fn action_in(&mut self, node: &Node<'_>) -> Option<Action> {
        let text = self.text(node, "`action`", ACTIONS)?;
        match text.as_str() {
            "allow" => return Some(Action::Allow),
            "drop" => return Some(Action::Drop),
            "count" => return Some(Action::Count),
            other => {
                let help = match meant_action(other) {
                    Some(action) => format!("did you mean `{action}`?"),
                    None => ACTIONS.to_owned(),
                };
                self.error(
                    node.span.clone(),
                    format!("there is no action `{other}`"),
                    help,
                );
            }
        }
        None
    }

    fn observed(&mut self, policy: &Node<'_>) -> Option<Observed> {
        let node = get(policy, "observed")?;
        let help = "write the year, month or day: `2014`, `2014-07` or `2014-07-31`";
        // A year alone is a number in YAML.
        let text = match node.value {
            Value::Number(number) => number.to_string(),
            _other => self.text(&node, "`observed`", help)?,
        };
        let observed = text.parse().ok();
        if observed.is_none() {
            self.error(node.span, format!("`{text}` is not a date"), help);
        }
        observed
    }

    fn references(&mut self, policy: &Node<'_>) -> Vec<String> {
        let help = "write `references: [https://…]`";
        let Some(node) = get(policy, "references") else {
            return Vec::new();
        };
        let Some(elements) = node.elements() else {
            self.wrong_type(&node, "`references`", "a sequence", help);
            return Vec::new();
        };
        let texts = elements
            .iter()
            .filter_map(|element| self.text(element, "a reference", help));
        texts.collect()
    }

    fn enabled(&mut self, policy: &Node<'_>) -> bool {
        get(policy, "enabled").is_none_or(|node| self.truth(&node))
    }

    /// `derive: none` is its only value; without the key, prefixes are derived.
    fn derives(&mut self, policy: &Node<'_>) -> bool {
        let Some(node) = get(policy, "derive") else {
            return true;
        };
        let text = self.text(&node, "`derive`", DERIVE);
        if let Some(other) = text.filter(|text| text != "none") {
            let message = format!("`derive` is `none` or absent; here it is `{other}`");
            self.error(node.span, message, DERIVE);
        }
        false
    }

    /// In a policy, a reason is one for accepting a risk.
    fn accepted(&mut self, policy: &Node<'_>) -> Option<Acceptance> {
        self.optional_text(policy, "reason");
        if let (Some(reason), None) = (get(policy, "reason"), get(policy, "accept_risk")) {
            self.missing(
                "accept_risk",
                reason.span,
                "this policy gives a `reason` for accepting a risk, and accepts none",
                "write it into `description`, or write `accept_risk` beside it",
            );
        }
        self.acceptance(policy)
    }

    /// The value of `enabled`.
    pub(super) fn truth(&mut self, node: &Node<'_>) -> bool {
        node.value.as_bool().unwrap_or_else(|| {
            self.wrong_type(
                node,
                "`enabled`",
                "`true` or `false`",
                "write `enabled: true` or `enabled: false`",
            );
            false
        })
    }

    fn destinations(&mut self, policy: &Node<'_>) -> Option<Vec<SourceDestination>> {
        let help = "write `destinations:` and below it one `- 192.0.2.0/24` for each CIDR, address or range";
        let Some(node) = get(policy, "destinations") else {
            self.missing(
                "destinations",
                policy.span.clone(),
                "this policy has no `destinations`, so that it would match nothing",
                help,
            );
            return None;
        };
        let Some(elements) = node.elements() else {
            self.wrong_type(&node, "`destinations`", "a sequence", help);
            return None;
        };
        if elements.is_empty() {
            self.error(
                node.span,
                "`destinations` is empty, so that the policy would match nothing",
                help,
            );
            return None;
        }
        Some(
            elements
                .iter()
                .filter_map(|element| self.destination(element))
                .collect(),
        )
    }
}

const ACTIONS: &str =
    "write `count` to see, `drop` to block, or `allow` to exempt from this filter";

const DERIVE: &str = "write `derive: none`, so that IPv4 destinations hold no NAT64, 6to4 and IPv4-mapped addresses, or remove the key";

/// What other filters call the actions, and their own names.
const WORDS: [(&str, &str); 17] = [
    ("allow", "allow"),
    ("drop", "drop"),
    ("count", "count"),
    ("block", "drop"),
    ("deny", "drop"),
    ("reject", "drop"),
    ("blacklist", "drop"),
    ("log", "count"),
    ("monitor", "count"),
    ("observe", "count"),
    ("watch", "count"),
    ("alert", "count"),
    ("accept", "allow"),
    ("permit", "allow"),
    ("pass", "allow"),
    ("whitelist", "allow"),
    ("exempt", "allow"),
];

/// The action that another filter calls `word`, or of which it is a slip.
fn meant_action(word: &str) -> Option<&'static str> {
    let near = near_miss(word, &WORDS.map(|(word, _)| word))?;
    let meant = WORDS.iter().find(|(word, _)| *word == near);
    meant.map(|(_, action)| *action)
}

/// `text` as a name, where little has to change.
fn similar_name(text: &str) -> Option<PolicyName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let replaced: String = text
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    let name = replaced.trim_matches('-');
    let most = name.len() * 2 > text.chars().count();
    name.get(..name.len().min(PolicyName::MAX_LEN))?
        .parse()
        .ok()
        .filter(|_| most)
}
