//! An overlay as it is typed.

use std::str::FromStr as _;

use super::reader::{Reader, get};
use crate::address::Destination;
use crate::policy::{
    Action, PolicyName, diagnostic::SourcePlace, keys, risk::Acceptance, yaml::Node,
};

/// A change to one policy. It sets at least one of action, exceptions,
/// `enabled` and accepted risks.
#[derive(Debug)]
pub(in crate::policy) struct SourceOverride {
    pub(in crate::policy) policy: PolicyName,
    /// Where the overlay names the policy.
    pub(in crate::policy) place: SourcePlace,
    pub(in crate::policy) action: Option<(Action, SourcePlace)>,
    pub(in crate::policy) except: Vec<(Destination, SourcePlace)>,
    pub(in crate::policy) enabled: Option<bool>,
    pub(in crate::policy) reason: Option<String>,
    pub(in crate::policy) accepted: Option<Acceptance>,
}

impl Reader<'_> {
    pub(super) fn overrides(&mut self, root: &Node<'_>) -> Vec<SourceOverride> {
        let help = "write `overrides:` and below it one `- policy: NAME` for each policy to change";
        if root.entries().is_none() {
            let help = "write `version: 1` and `overrides:`";
            self.wrong_type(root, "an overlay", "a mapping", help);
            return Vec::new();
        }
        self.misspelt = keys::OVERLAY.check(root, self.file, self.out);
        self.version(root);
        let Some(overrides) = get(root, "overrides") else {
            self.missing("overrides", 0..0, "the overlay has no `overrides`", help);
            return Vec::new();
        };
        let Some(elements) = overrides.elements() else {
            self.wrong_type(&overrides, "`overrides`", "a sequence", help);
            return Vec::new();
        };
        elements
            .iter()
            .filter_map(|element| self.one_override(element))
            .collect()
    }

    fn one_override(&mut self, node: &Node<'_>) -> Option<SourceOverride> {
        const HELP: &str = "write `- policy: NAME`, and what to change below it";
        if node.entries().is_none() {
            self.wrong_type(node, "an override", "a mapping", HELP);
            return None;
        }
        self.misspelt = keys::OVERRIDE.check(node, self.file, self.out);
        // Every part is read before the first check, so all errors are
        // reported at once.
        let policy = self.overridden_policy(node, HELP);
        let action = self.new_action(node);
        let except = self.exceptions(node);
        let enabled = get(node, "enabled").map(|enabled| self.truth(&enabled, "enabled"));
        let reason = self.optional_text(node, "reason");
        let accepted = self.acceptance(node);
        let changes = ["action", "except", "enabled", "accept_risk"];
        if changes.iter().all(|key| get(node, key).is_none())
            && !changes.iter().any(|key| self.misspelt.contains(key))
        {
            self.error(
                node.span.clone(),
                "this override changes nothing",
                "write an `action`, `except`, `enabled` or `accept_risk`, or remove the override",
            );
        }
        let (policy, place) = policy?;
        Some(SourceOverride {
            policy,
            place,
            action,
            except,
            enabled,
            reason,
            accepted,
        })
    }

    fn overridden_policy(
        &mut self,
        node: &Node<'_>,
        help: &str,
    ) -> Option<(PolicyName, SourcePlace)> {
        let Some(name) = get(node, "policy") else {
            self.missing(
                "policy",
                node.span.clone(),
                "this override names no `policy`",
                help,
            );
            return None;
        };
        let text = self.text(&name, "`policy`", help)?;
        match PolicyName::from_str(&text) {
            Ok(policy) => Some((policy, self.file.place(name.span))),
            Err(error) => {
                self.error(name.span, error.to_string(), help);
                None
            }
        }
    }

    fn new_action(&mut self, node: &Node<'_>) -> Option<(Action, SourcePlace)> {
        let node = get(node, "action")?;
        let action = self.action_in(&node)?;
        Some((action, self.file.place(node.span)))
    }

    fn exceptions(&mut self, node: &Node<'_>) -> Vec<(Destination, SourcePlace)> {
        let help = "write `except: [192.0.2.64/26]`";
        let Some(node) = get(node, "except") else {
            return Vec::new();
        };
        let Some(elements) = node.elements() else {
            self.wrong_type(&node, "`except`", "a sequence", help);
            return Vec::new();
        };
        let mut except = Vec::new();
        for element in &elements {
            if let Some(destination) = self.address(element) {
                except.push((destination.value, self.file.place(destination.span)));
            }
        }
        except
    }
}
