//! The paths of a document at which addresses stand.

use std::collections::{HashMap, HashSet};

use super::walk::{Kind, Visit};
use crate::lists::{
    dialect::family,
    header::{is_end, is_mask},
};

/// Maximum number of different paths. Beyond it, objects have data as names.
const MAX_PATHS: usize = 2000;

/// Counts the addresses at each path. All elements of an array have one path.
#[derive(Debug)]
pub(super) struct Shape {
    nodes: Vec<ShapeNode>,
    /// The nodes of the open values. `None` is a path beyond the limit.
    open: Vec<Option<usize>>,
    children: HashMap<(usize, Option<String>), usize>,
    /// True if there are more paths than the limit.
    pub(super) is_cut: bool,
    /// True if the `type` of the document is `bundle`, as in STIX.
    pub(super) is_bundle: bool,
    /// True if an object of the bundle is an indicator.
    pub(super) has_indicators: bool,
}

#[derive(Debug)]
struct ShapeNode {
    parent: usize,
    path: String,
    ipv4: usize,
    ipv6: usize,
}

/// A path, and its number of IPv4 and IPv6 addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: String,
    pub(super) ipv4: usize,
    pub(super) ipv6: usize,
    /// True if the value alone is only a part: the end of a range, or the address of a
    /// network whose length stands beside it.
    pub(super) is_part: bool,
}

impl Shape {
    pub(super) fn new() -> Self {
        let root = ShapeNode {
            parent: 0,
            path: "$".to_owned(),
            ipv4: 0,
            ipv6: 0,
        };
        Self {
            nodes: vec![root],
            open: vec![Some(0)],
            children: HashMap::new(),
            is_cut: false,
            is_bundle: false,
            has_indicators: false,
        }
    }

    /// Returns the paths with addresses, in the order of the document.
    pub(super) fn found(&self) -> Vec<Found> {
        // Parents of which a member has the length of a network or the end of a range.
        let parents: HashSet<usize> = self
            .children
            .keys()
            .filter(|(_, name)| {
                name.as_ref()
                    .is_some_and(|name| is_mask(name) || is_end(name))
            })
            .map(|(parent, _)| *parent)
            .collect();
        let with = self.nodes.iter().filter(|node| node.ipv4 + node.ipv6 > 0);
        let each = with.map(|node| Found {
            path: node.path.clone(),
            ipv4: node.ipv4,
            ipv6: node.ipv6,
            is_part: node.path.ends_with(".range[*]") || parents.contains(&node.parent),
        });
        each.collect()
    }

    /// Returns true if the document has one of `paths`.
    pub(super) fn has(&self, paths: &[&str]) -> bool {
        self.nodes
            .iter()
            .any(|node| paths.contains(&node.path.as_str()))
    }

    fn enter(&mut self, name: Option<&str>) {
        let child = self
            .open
            .last()
            .copied()
            .flatten()
            .and_then(|parent| self.child(parent, name));
        self.open.push(child);
    }

    fn child(&mut self, parent: usize, name: Option<&str>) -> Option<usize> {
        let key = (parent, name.map(str::to_owned));
        if let Some(known) = self.children.get(&key) {
            return Some(*known);
        }
        if self.nodes.len() >= MAX_PATHS || name.is_some_and(|name| name.len() > 200) {
            self.is_cut = true;
            return None;
        }
        let before = &self.nodes[parent].path;
        let path = match name {
            None => format!("{before}[*]"),
            Some(name) if is_word(name) => format!("{before}.{name}"),
            Some(name) => format!("{before}[{}]", quoted_name(name)),
        };
        self.nodes.push(ShapeNode {
            parent,
            path,
            ipv4: 0,
            ipv6: 0,
        });
        self.children.insert(key, self.nodes.len() - 1);
        Some(self.nodes.len() - 1)
    }
}

impl Visit for Shape {
    fn name(&mut self, name: &str) {
        self.enter(Some(name));
    }

    fn index(&mut self, _: usize) {
        self.enter(None);
    }

    fn leave(&mut self) {
        self.open.pop();
    }

    fn text(&mut self, text: &str, _: u32) {
        let Some(node) = self.open.last().copied().flatten() else {
            return;
        };
        match text {
            "bundle" => self.is_bundle |= self.nodes[node].path == "$.type",
            "indicator" => self.has_indicators |= self.nodes[node].path == "$.objects[*].type",
            _ => {}
        }
        match family(text) {
            Some(true) => self.nodes[node].ipv4 += 1,
            Some(false) => self.nodes[node].ipv6 += 1,
            None => {}
        }
    }

    fn other(&mut self, _: Kind, _: u32) {}
}

/// Returns true if a JSONPath may have `name` after a dot.
fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns `name` as a text in a JSONPath.
fn quoted_name(name: &str) -> String {
    serde_json::to_string(name).unwrap_or_default()
}
