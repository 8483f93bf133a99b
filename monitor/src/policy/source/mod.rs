//! YAML values → what was typed, each part with its place. Knows the keys and
//! their types; what the parts mean together is the model's.

mod destination;
mod feed;
mod list;
mod overlay;
mod policy;
mod risk;
mod schedule;
mod scope;
mod service;
mod time_zone;

use std::ops::Range;

use jiff::Timestamp;
use serde_yaml::Value;

pub(super) use self::{
    feed::SourceFeed,
    list::SourceList,
    overlay::SourceOverride,
    scope::{SourceDevices, SourceScope},
};
use super::{
    Action, PolicyName,
    diagnostic::{Diagnostic, Diagnostics, SourceFile},
    keys,
    observed::Observed,
    risk::Acceptance,
    schedule::Schedule,
    yaml::{Document, Node},
};
use crate::address::Destination;

/// A value, and the bytes of the file that say it.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A policy as it was typed. What is missing here was found wrong, and what is
/// not is still worth a look for other errors.
#[derive(Debug)]
pub(super) struct SourcePolicy {
    pub(super) name: Option<Spanned<PolicyName>>,
    pub(super) action: Option<Action>,
    pub(super) description: Option<String>,
    pub(super) observed: Option<Observed>,
    pub(super) references: Vec<String>,
    pub(super) enabled: bool,
    /// Whether IPv6 prefixes are derived from its IPv4 destinations.
    pub(super) derives: bool,
    pub(super) accepted: Option<Acceptance>,
    pub(super) scope: SourceScope,
    pub(super) schedule: Option<Schedule>,
    pub(super) expires: Option<Timestamp>,
    /// Neither of the two is wrong.
    pub(super) times_valid: bool,
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
    List(SourceList),
    /// A table, once for each selection.
    Table(SourceList),
}

/// What a policy file says.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) policies: Vec<SourcePolicy>,
    /// `None` where they cannot be read.
    pub(super) devices: Option<Vec<SourceDevices>>,
}

/// Reads every policy and every name of `file`.
pub(super) fn read(file: &SourceFile, out: &mut Diagnostics) -> Contents {
    match Document::parse(file, "policies") {
        Ok(document) => Reader::new(file, out).contents(&document.root()),
        Err(error) => {
            out.push(*error);
            Contents::default()
        }
    }
}

/// Reads every override of the overlay `file`.
pub(super) fn read_overlay(file: &SourceFile, out: &mut Diagnostics) -> Vec<SourceOverride> {
    match Document::parse(file, "overrides") {
        Ok(document) => Reader::new(file, out).overrides(&document.root()),
        Err(error) => {
            out.push(*error);
            Vec::new()
        }
    }
}

struct Reader<'a> {
    file: &'a SourceFile,
    out: &'a mut Diagnostics,
    /// Keys of the mapping at hand that are there under a misspelt name.
    misspelt: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a SourceFile, out: &'a mut Diagnostics) -> Self {
        Self {
            file,
            out,
            misspelt: Vec::new(),
        }
    }

    fn contents(&mut self, root: &Node<'_>) -> Contents {
        if root.entries().is_none() {
            self.wrong_type(
                root,
                "a policy file",
                "a mapping",
                "write `version: 1` and `policies:`",
            );
            return Contents::default();
        }
        self.misspelt = keys::FILE.check(root, self.file, self.out);
        self.version(root);
        let devices = self.named_devices(root);
        Contents {
            policies: self.policies(root, get(root, "devices").is_some()),
            devices,
        }
    }

    /// A file that names devices need not have policies.
    fn policies(&mut self, root: &Node<'_>, has_devices: bool) -> Vec<SourcePolicy> {
        let help = "write `policies:` and below it one `- name: …` for each policy";
        let Some(policies) = get(root, "policies") else {
            if !has_devices {
                self.missing("policies", 0..0, "the file has no `policies`", help);
            }
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
            None => self.missing("version", 0..0, "the file has no `version`", help),
            Some(node) if node.value.as_u64() == Some(1) => {}
            Some(node) => self.error(
                node.span,
                "this version of the file format is not known",
                help,
            ),
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

    /// Reports a key that is not there, unless it is there misspelt.
    fn missing(&mut self, key: &str, span: Range<usize>, message: &str, help: &str) {
        if !self.misspelt.contains(&key) {
            self.error(span, message, help);
        }
    }

    fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.out
            .push(Diagnostic::error(self.file.place(span), message, help));
    }

    fn warning(&mut self, span: Range<usize>, message: &str, help: &str) {
        self.out
            .push(Diagnostic::warning(self.file.place(span), message, help));
    }
}

fn get<'a>(node: &Node<'a>, wanted: &str) -> Option<Node<'a>> {
    let entries = node.entries()?.into_iter();
    entries
        .filter(|(key, _)| key.value.as_str() == Some(wanted))
        .map(|(_, value)| value)
        .next()
}
