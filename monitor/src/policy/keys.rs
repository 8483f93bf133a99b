//! The keys that a mapping may have. An unknown key is an error; the message
//! for a key of a later release says so.

use serde_yaml::Value;

use self::DestinationKind::{Cidr, Feed, File, Table};
use super::{
    diagnostic::{Diagnostic, Diagnostics, SourceFile, near_miss},
    yaml::Node,
};

/// The keys of one kind of mapping.
pub(super) struct Keys {
    /// What the mapping is, with its article, for messages.
    pub(super) what: &'static str,
    /// Valid keys.
    pub(super) known: &'static [&'static str],
    /// Keys that a later release will support, and what to do until then.
    pub(super) later: &'static [(&'static str, &'static str)],
    /// Keys that belong to another kind of file, and what to do with them.
    pub(super) elsewhere: &'static [(&'static str, &'static str)],
}

pub(super) const FILE: Keys = Keys {
    what: "a policy file",
    known: &["version", "policies", "devices"],
    later: &[],
    elsewhere: &[(
        "overrides",
        "write them into a file of their own, whose name ends in `.local.yaml`",
    )],
};

pub(super) const OVERLAY: Keys = Keys {
    what: "an overlay (*.local.yaml)",
    known: &["version", "overrides"],
    later: &[],
    elsewhere: &[
        (
            "policies",
            "write them into a file whose name does not end in `.local.yaml`",
        ),
        (
            "devices",
            "write them into a file whose name does not end in `.local.yaml`",
        ),
    ],
};

pub(super) const OVERRIDE: Keys = Keys {
    what: "an override",
    known: &[
        "policy",
        "action",
        "except",
        "enabled",
        "accept_risk",
        "reason",
    ],
    later: &[],
    elsewhere: &[(
        "destinations",
        "write a policy of your own: an override takes away with `except`, and adds nothing",
    )],
};

pub(super) const POLICY: Keys = Keys {
    what: "a policy",
    known: &[
        "name",
        "action",
        "description",
        "observed",
        "about",
        "references",
        "destinations",
        "devices",
        "except_devices",
        "interfaces",
        "services",
        "schedule",
        "expires",
        "enabled",
        "derive",
        "evidence",
        "allow_handshake",
        "accept_risk",
        "reason",
    ],
    later: &[],
    elsewhere: &[],
};

pub(super) const ABOUT: Keys = Keys {
    what: "`about`",
    known: &["holder", "as_of", "source"],
    later: &[],
    elsewhere: &[],
};

pub(super) const GROUP: Keys = Keys {
    what: "a group of devices",
    known: &["interface"],
    later: &[],
    elsewhere: &[("mac", "write the MAC itself: `NAME: \"64:cc:2e:11:22:33\"`")],
};

pub(super) const SCHEDULE: Keys = Keys {
    what: "a schedule",
    known: &["days", "from", "to", "timezone", "outside"],
    later: &[],
    elsewhere: &[],
};

pub(super) const DESTINATION: Keys = Keys {
    what: "a destination",
    known: &DESTINATION_NAMES,
    later: &[
        ("address", "write the address itself: `- 192.0.2.7`"),
        ("range", "write the range itself: `- 192.0.2.10-192.0.2.20`"),
    ],
    elsewhere: &[("url", "write it as a list: `{list: https://…}`")],
};

/// The kind of a destination that is written as a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DestinationKind {
    /// A CIDR or an address.
    Cidr,
    /// A list in a file.
    File,
    /// A list that the daemon fetches.
    Feed,
    /// A table; the policy uses some of its lines.
    Table,
}

/// Every key of a destination, and the kinds in which it is valid.
const DESTINATION_KEYS: [(&str, &[DestinationKind]); 21] = [
    ("cidr", &[Cidr]),
    ("except", &[Cidr]),
    ("list", &[File, Feed]),
    ("format", &[File, Feed]),
    ("min_score", &[File, Feed]),
    ("country", &[File, Feed, Table]),
    ("on_bad_line", &[File, Feed]),
    ("ports", &[File, Feed]),
    ("set", &[File, Feed]),
    ("column", &[File, Feed]),
    ("first", &[File, Feed]),
    ("last", &[File, Feed]),
    ("where", &[File, Feed]),
    ("path", &[File, Feed]),
    ("refresh", &[Feed]),
    ("sha256", &[Feed]),
    ("reserved", &[Feed]),
    ("max_change", &[Feed]),
    ("asn", &[Table]),
    ("table", &[Table]),
    ("comment", &[Cidr, File, Feed, Table]),
];

const DESTINATION_NAMES: [&str; DESTINATION_KEYS.len()] = {
    let mut names = [""; DESTINATION_KEYS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = DESTINATION_KEYS[index].0;
        index += 1;
    }
    names
};

impl DestinationKind {
    /// The keys of other kinds that are not valid in this one.
    pub(super) fn foreign_keys(self) -> impl Iterator<Item = &'static str> {
        let keys = DESTINATION_KEYS.iter();
        let foreign = keys.filter(move |(_, kinds)| !kinds.contains(&self));
        foreign.map(|(key, _)| *key)
    }

    /// The keys that are valid only in this kind.
    pub(super) fn own_keys(self) -> impl Iterator<Item = &'static str> {
        let keys = DESTINATION_KEYS.iter();
        let own = keys.filter(move |(_, kinds)| *kinds == [self]);
        own.map(|(key, _)| *key)
    }
}

impl Keys {
    /// Reports every key of `node` that is not valid here. Returns the known
    /// keys that some of the unknown ones misspell.
    pub(super) fn check(
        &self,
        node: &Node<'_>,
        file: &SourceFile,
        out: &mut Diagnostics,
    ) -> Vec<&'static str> {
        let mut misspelt = Vec::new();
        for (key, _) in node.entries().unwrap_or_default() {
            let place = file.place(key.span);
            let Value::String(name) = key.value else {
                let message = format!("this key of {} is not text", self.what);
                out.push(Diagnostic::error(place, message, self.list()));
                continue;
            };
            if self.known.contains(&name.as_str()) {
                continue;
            }
            if let Some((_, help)) = self.later.iter().find(|(later, _)| later == name) {
                let message = format!("`{name}` in {} is not supported yet", self.what);
                out.push(Diagnostic::error(place, message, *help));
                continue;
            }
            if let Some((_, help)) = self.elsewhere.iter().find(|(key, _)| key == name) {
                let message = format!("`{name}` does not belong in {}", self.what);
                out.push(Diagnostic::error(place, message, *help));
                continue;
            }
            if name == "<<" {
                let message = format!(
                    "{} cannot take its keys from a YAML merge (`<<`)",
                    self.what
                );
                let help = if self.known.contains(&"destinations") {
                    "write the keys out, or use an anchor for one value: `destinations: *name`"
                } else {
                    "write the keys out here"
                };
                out.push(Diagnostic::error(place, message, help));
                // Any key may be in the merged mapping, so none is reported as missing.
                misspelt.extend(self.known);
                continue;
            }
            misspelt.extend(near_miss(name, self.known));
            let message = format!("{} has no key `{name}`", self.what);
            out.push(Diagnostic::error(place, message, self.suggest(name)));
        }
        misspelt
    }

    fn suggest(&self, name: &str) -> String {
        match near_miss(name, self.known) {
            Some(key) => format!("did you mean `{key}`?"),
            None => self.list(),
        }
    }

    fn list(&self) -> String {
        let keys: Vec<String> = self.known.iter().map(|key| format!("`{key}`")).collect();
        format!("{} has the keys {}", self.what, keys.join(", "))
    }
}
