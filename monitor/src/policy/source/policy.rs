//! One policy as it is typed.

use std::{ops::Range, str::FromStr as _};

use jiff::Timestamp;
use serde_yaml::Value;

use super::{
    destination::SourceDestination,
    reader::{Reader, Spanned, get},
    scope::SourceScope,
};
use crate::policy::{
    Action, EvidenceLevel, InvalidEvidenceLevel, PolicyName, Schedule, action::InvalidAction, keys,
    observed::Observed, risk::Acceptance, yaml::Node,
};

/// A policy as it is typed. A required part that is `None` was reported as an
/// error; the other parts are kept so that their errors are found too.
#[derive(Debug)]
pub(in crate::policy) struct SourcePolicy {
    pub(in crate::policy) name: Option<Spanned<PolicyName>>,
    pub(in crate::policy) action: Option<Action>,
    pub(in crate::policy) description: Option<String>,
    pub(in crate::policy) observed: Option<Observed>,
    pub(in crate::policy) references: Vec<String>,
    pub(in crate::policy) enabled: bool,
    /// True if IPv6 prefixes are derived from the IPv4 destinations.
    pub(in crate::policy) derives: bool,
    pub(in crate::policy) evidence: EvidenceLevel,
    /// The place of `allow_handshake: true`.
    pub(in crate::policy) allow_handshake: Option<Range<usize>>,
    pub(in crate::policy) accepted: Option<Acceptance>,
    pub(in crate::policy) scope: SourceScope,
    pub(in crate::policy) schedule: Option<Schedule>,
    pub(in crate::policy) expires: Option<Timestamp>,
    /// True if `schedule` and `expires` are both valid or not set.
    pub(in crate::policy) times_valid: bool,
    pub(in crate::policy) destinations: Vec<SourceDestination>,
}

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
        // Every part is read before the first check, so all errors are
        // reported at once.
        let name = self.name(node);
        let action = self.action(node);
        let description = self.optional_text(node, "description");
        let observed = self.observed(node);
        let references = self.references(node);
        let enabled = self.enabled(node);
        let derives = self.derives(node);
        let evidence = self.evidence(node);
        let allow_handshake = self.allow_handshake(node, action);
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
            evidence,
            allow_handshake,
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
            Ok(name) if name.as_str().starts_with(PolicyName::OF_COMMANDS) => {
                let message = format!(
                    "names that begin with `{}` are reserved for commands",
                    PolicyName::OF_COMMANDS
                );
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
                &Action::choice(),
            );
            return None;
        };
        self.action_in(&node)
    }

    pub(super) fn action_in(&mut self, node: &Node<'_>) -> Option<Action> {
        let text = self.text(node, "`action`", &Action::choice())?;
        let read = text.parse();
        if let Err(error) = &read {
            let error: &InvalidAction = error;
            self.error(node.span.clone(), error.to_string(), error.help());
        }
        read.ok()
    }

    fn observed(&mut self, policy: &Node<'_>) -> Option<Observed> {
        let node = get(policy, "observed")?;
        let help = "write the year, month or day: `2014`, `2014-07` or `2014-07-31`";
        // YAML reads a year alone as a number.
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
        get(policy, "enabled").is_none_or(|node| self.truth(&node, "enabled"))
    }

    /// Reads `derive`. Its only value is `none`; without the key, prefixes are
    /// derived.
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

    /// Reads `evidence`. Without the key, names are recorded.
    fn evidence(&mut self, policy: &Node<'_>) -> EvidenceLevel {
        let Some(node) = get(policy, "evidence") else {
            return EvidenceLevel::default();
        };
        let Some(text) = self.text(&node, "`evidence`", EVIDENCE) else {
            return EvidenceLevel::default();
        };
        text.parse().unwrap_or_else(|error: InvalidEvidenceLevel| {
            self.error(node.span, error.to_string(), EVIDENCE);
            EvidenceLevel::default()
        })
    }

    /// Reads `allow_handshake`, and returns its place if it is true.
    fn allow_handshake(
        &mut self,
        policy: &Node<'_>,
        action: Option<Action>,
    ) -> Option<Range<usize>> {
        let node = get(policy, "allow_handshake")?;
        if !self.truth(&node, "allow_handshake") {
            return None;
        }
        if let Some(action) = action.filter(|action| !action.blocks()) {
            let message = format!(
                "`allow_handshake` says what a policy that drops lets pass, and this policy has `action: {action}`"
            );
            self.error(node.span.clone(), message, ALLOW_HANDSHAKE);
        }
        Some(node.span)
    }

    /// Reads the accepted risks. In a policy, `reason` belongs to them.
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

const DERIVE: &str = "write `derive: none`, so that IPv4 destinations hold no NAT64, 6to4 and IPv4-mapped addresses, or remove the key";

const EVIDENCE: &str = "write `evidence: counters`, `evidence: flows` (also who contacted what, and when) or `evidence: names` (the default: also names)";

const ALLOW_HANDSHAKE: &str = "write it beside `action: drop`, or remove the key";

/// Suggests a valid name if more than half of the characters of `text` remain.
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
