//! YAML values → typed values, each with its place. Checks keys and types; the
//! model checks how the values fit together.

mod about;
mod destination;
mod feed;
mod list;
mod overlay;
mod policy;
mod position;
mod reader;
mod risk;
mod schedule;
mod scope;
mod service;
mod time_zone;

use self::reader::{Reader, get};
pub(super) use self::{
    destination::SourceDestination, feed::SourceFeed, list::SourceList, overlay::SourceOverride,
    policy::SourcePolicy, reader::Spanned, scope::SourceDevices,
};
use super::{
    diagnostic::{Diagnostics, SourceFile},
    keys,
    yaml::{Document, Node},
};

/// The content of a policy file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) policies: Vec<SourcePolicy>,
    /// `None` if the devices cannot be read.
    pub(super) devices: Option<Vec<SourceDevices>>,
}

/// Reads all policies and device names of `file`.
pub(super) fn read(file: &SourceFile, out: &mut Diagnostics) -> Contents {
    match Document::parse(file, "policies") {
        Ok(document) => Reader::new(file, out).contents(&document.root()),
        Err(error) => {
            out.push(*error);
            Contents::default()
        }
    }
}

/// Reads all overrides of the overlay `file`.
pub(super) fn read_overlay(file: &SourceFile, out: &mut Diagnostics) -> Vec<SourceOverride> {
    match Document::parse(file, "overrides") {
        Ok(document) => Reader::new(file, out).overrides(&document.root()),
        Err(error) => {
            out.push(*error);
            Vec::new()
        }
    }
}

impl Reader<'_> {
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

    /// Reads the policies. They may be missing only in a file that names
    /// devices.
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
}
