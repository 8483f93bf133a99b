//! YAML values → what was typed, each part with its place. Knows the keys and
//! their types; what the parts mean together is the model's.

use std::{ops::Range, path::PathBuf, str::FromStr as _};

use serde_yaml::Value;

use super::{
    Action, PolicyName,
    destination::Destination,
    diagnostic::{Diagnostic, Diagnostics, SourceFile, near_miss},
    keys,
    model::Observed,
    yaml::{Document, Node},
};

/// A value, and the bytes of the file that say it.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A policy as it was typed.
#[derive(Debug)]
pub(super) struct SourcePolicy {
    pub(super) name: Spanned<PolicyName>,
    pub(super) action: Action,
    pub(super) description: Option<String>,
    pub(super) observed: Option<Observed>,
    pub(super) references: Vec<String>,
    pub(super) enabled: bool,
    pub(super) destinations: Vec<SourceDestination>,
}

/// A destination as it was typed.
#[derive(Debug)]
pub(super) enum SourceDestination {
    Plain(Spanned<Destination>),
    Except {
        cidr: Spanned<Destination>,
        except: Vec<Spanned<Destination>>,
    },
    List(Spanned<PathBuf>),
}

/// Reads every policy of `file`; a policy with an error is left out.
pub(super) fn read(file: &SourceFile, out: &mut Diagnostics) -> Vec<SourcePolicy> {
    let document = match Document::parse(file) {
        Ok(document) => document,
        Err(error) => {
            out.push(error);
            return Vec::new();
        }
    };
    Reader { file, out }.policies(&document.root())
}

struct Reader<'a> {
    file: &'a SourceFile,
    out: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn policies(&mut self, root: &Node<'_>) -> Vec<SourcePolicy> {
        if root.entries().is_none() {
            self.wrong_type(
                root,
                "a policy file",
                "a mapping",
                "write `version: 1` and `policies:`",
            );
            return Vec::new();
        }
        keys::FILE.check(root, self.file, self.out);
        self.version(root);
        let help = "write `policies:` and below it one `- name: …` for each policy";
        let Some(policies) = get(root, "policies") else {
            self.error(0..0, "the file has no `policies`", help);
            return Vec::new();
        };
        match policies.elements() {
            Some(elements) if elements.is_empty() => {
                self.error(
                    policies.span,
                    "`policies` holds no policy, so that it would protect nothing",
                    help,
                );
                Vec::new()
            }
            Some(elements) => elements
                .iter()
                .filter_map(|policy| self.policy(policy))
                .collect(),
            None => {
                self.wrong_type(&policies, "`policies`", "a sequence", help);
                Vec::new()
            }
        }
    }

    fn version(&mut self, root: &Node<'_>) {
        let help = "write `version: 1`, the version of the file format";
        match get(root, "version") {
            None => self.error(0..0, "the file has no `version`", help),
            Some(node) if node.value.as_u64() == Some(1) => {}
            Some(node) => self.error(
                node.span,
                "this version of the file format is not known",
                help,
            ),
        }
    }

    fn policy(&mut self, node: &Node<'_>) -> Option<SourcePolicy> {
        if node.entries().is_none() {
            self.wrong_type(
                node,
                "a policy",
                "a mapping",
                "write `- name: …`, and `action` and `destinations` below it",
            );
            return None;
        }
        keys::POLICY.check(node, self.file, self.out);
        // Each part is read before any is asked for: all errors at once.
        let name = self.name(node);
        let action = self.action(node);
        let description = self.optional_text(node, "description");
        let observed = self.observed(node);
        let references = self.references(node);
        let enabled = self.enabled(node);
        let destinations = self.destinations(node);
        Some(SourcePolicy {
            name: name?,
            action: action?,
            description,
            observed,
            references,
            enabled,
            destinations: destinations?,
        })
    }

    fn name(&mut self, policy: &Node<'_>) -> Option<Spanned<PolicyName>> {
        let help =
            "write a name such as `name: range-192.0.2.0-24`, in quotes if it looks like a number";
        let Some(node) = get(policy, "name") else {
            self.error(policy.span.clone(), "this policy has no `name`", help);
            return None;
        };
        let text = self.text(&node, "`name`", help)?;
        match PolicyName::from_str(&text) {
            Ok(value) => Some(Spanned {
                value,
                span: node.span,
            }),
            Err(error) => {
                self.error(
                    node.span,
                    error.to_string(),
                    "shorten it, or put `-` in place of what is not allowed",
                );
                None
            }
        }
    }

    fn action(&mut self, policy: &Node<'_>) -> Option<Action> {
        const ALL: &str =
            "write `count` to see, `drop` to block, or `allow` to exempt from this filter";
        let Some(node) = get(policy, "action") else {
            self.error(policy.span.clone(), "this policy has no `action`", ALL);
            return None;
        };
        let text = self.text(&node, "`action`", ALL)?;
        match text.as_str() {
            "allow" => return Some(Action::Allow),
            "drop" => return Some(Action::Drop),
            "count" => return Some(Action::Count),
            other => {
                let help = match meant_action(other) {
                    Some(action) => format!("did you mean `{action}`?"),
                    None => ALL.to_owned(),
                };
                self.error(node.span, format!("there is no action `{other}`"), help);
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
        let Some(node) = get(policy, "enabled") else {
            return true;
        };
        node.value.as_bool().unwrap_or_else(|| {
            self.wrong_type(
                &node,
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
            self.error(
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

    fn destination(&mut self, node: &Node<'_>) -> Option<SourceDestination> {
        if node.entries().is_none() {
            return self.address(node).map(SourceDestination::Plain);
        }
        if self.split_by_yaml(node) {
            return None;
        }
        keys::DESTINATION.check(node, self.file, self.out);
        self.optional_text(node, "comment");
        match (get(node, "cidr"), get(node, "list")) {
            (Some(cidr), None) => self.except(node, &cidr),
            (None, Some(list)) => self.list(node, &list),
            (Some(_), Some(list)) => {
                self.error(
                    list.span,
                    "this destination has both `cidr` and `list`",
                    "write two destinations",
                );
                None
            }
            (None, None) => {
                let known = |key: &Node<'_>| {
                    key.value
                        .as_str()
                        .is_some_and(|key| matches!(key, "except" | "comment"))
                };
                if node
                    .entries()
                    .unwrap_or_default()
                    .iter()
                    .all(|(key, _)| known(key))
                {
                    self.error(
                        node.span.clone(),
                        "this destination has neither `cidr` nor `list`",
                        "write `{cidr: 192.0.2.0/24, except: […]}` or `{list: lists/NAME.txt}`",
                    );
                }
                None
            }
        }
    }

    /// `- fe80::` is a mapping to YAML, because it ends with a colon.
    fn split_by_yaml(&mut self, node: &Node<'_>) -> bool {
        let entries = node.entries().unwrap_or_default();
        let [(key, value)] = entries.as_slice() else {
            return false;
        };
        let text = key.value.as_str().unwrap_or_default();
        let address = format!("{text}:");
        if !value.value.is_null() || address.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        self.error(
            key.span.clone(),
            format!("YAML reads `{address}` as a key, because it ends with a colon"),
            format!("put it in quotes: `\"{address}\"`"),
        );
        true
    }

    fn except(&mut self, node: &Node<'_>, cidr: &Node<'_>) -> Option<SourceDestination> {
        let outer = self.address(cidr);
        let help = "write `except: [192.0.2.64/26]`";
        let mut except = Vec::new();
        if let Some(holes) = get(node, "except") {
            let Some(elements) = holes.elements() else {
                self.wrong_type(&holes, "`except`", "a sequence", help);
                return None;
            };
            for element in &elements {
                except.push(self.address(element));
            }
        }
        let cidr = outer?;
        if !cidr.value.is_one_network() {
            self.error(
                cidr.span,
                "`cidr` holds a range",
                "write the range as a destination of its own, or as CIDRs",
            );
            return None;
        }
        let except = except.into_iter().collect::<Option<Vec<_>>>()?;
        Some(SourceDestination::Except { cidr, except })
    }

    fn list(&mut self, node: &Node<'_>, list: &Node<'_>) -> Option<SourceDestination> {
        if let Some(except) = get(node, "except") {
            self.error(
                except.span,
                "`except` belongs to a `cidr`, not to a `list`",
                "take the addresses out of the list",
            );
            return None;
        }
        let help = "write a path relative to this file: `{list: lists/NAME.txt}`";
        let text = self.text(list, "`list`", help)?;
        if text.contains("://") {
            self.error(
                list.span.clone(),
                "a `list` that is fetched from a URL is not supported yet",
                "fetch the list into a file, and name that file",
            );
            return None;
        }
        let span = list.span.clone();
        Some(SourceDestination::List(Spanned {
            value: PathBuf::from(text),
            span,
        }))
    }

    fn address(&mut self, node: &Node<'_>) -> Option<Spanned<Destination>> {
        let help = "write a CIDR, an address or a range, or a mapping with `cidr` or `list`";
        let text = self.text(node, "a destination", help)?;
        match text.parse() {
            Ok(value) => Some(Spanned {
                value,
                span: node.span.clone(),
            }),
            Err(error) => {
                let help = if text.ends_with(".txt") {
                    format!("write `{{list: {text}}}` for a list file")
                } else {
                    error.help()
                };
                self.error(node.span.clone(), error.to_string(), help);
                None
            }
        }
    }

    fn optional_text(&mut self, parent: &Node<'_>, key: &'static str) -> Option<String> {
        let node = get(parent, key)?;
        self.text(&node, &format!("`{key}`"), "put the text in quotes")
    }

    fn text(&mut self, node: &Node<'_>, what: &str, help: &str) -> Option<String> {
        match node.value {
            Value::String(text) => Some(text.clone()),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Sequence(_)
            | Value::Mapping(_)
            | Value::Tagged(_) => {
                self.wrong_type(node, what, "text", help);
                None
            }
        }
    }

    fn wrong_type(&mut self, node: &Node<'_>, what: &str, wanted: &str, help: &str) {
        let found = match node.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Sequence(_) => "a sequence",
            Value::Mapping(_) => "a mapping",
            Value::Tagged(_) => "a value with a YAML tag (`!…`)",
        };
        self.error(
            node.span.clone(),
            format!("{what} is {wanted}; here it is {found}"),
            help,
        );
    }

    fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.out
            .push(Diagnostic::error(self.file.place(span), message, help));
    }
}

fn get<'a>(node: &Node<'a>, wanted: &str) -> Option<Node<'a>> {
    let entries = node.entries()?.into_iter();
    entries
        .filter(|(key, _)| key.value.as_str() == Some(wanted))
        .map(|(_, value)| value)
        .next()
}

/// The action that another filter calls `word`, or of which it is a slip.
fn meant_action(word: &str) -> Option<&'static str> {
    match word.to_lowercase().as_str() {
        "block" | "deny" | "reject" | "blacklist" => Some("drop"),
        "log" | "monitor" | "observe" | "watch" | "alert" => Some("count"),
        "accept" | "permit" | "pass" | "whitelist" | "exempt" => Some("allow"),
        other => near_miss(other, &["allow", "drop", "count"]),
    }
}
