//! The reasons why the format of a list cannot be recognised.

use super::{Description, Format};

/// The format of a list cannot be recognised. Names the line that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Line number, counted from 1.
    pub line: u32,
    /// The reason.
    pub why: Why,
}

/// The reason why the format of a list cannot be recognised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Why {
    /// The lines have an address and a name, as in /etc/hosts.
    #[error("this is a hosts file: it holds names, and this filter matches addresses")]
    Hosts,
    /// Each line has a domain name.
    #[error("this is a list of domains: it holds names, and this filter matches addresses")]
    Domains,
    /// The lines are rules for ad blockers in browsers.
    #[error("this is a list for ad blockers: it holds names, and this filter matches addresses")]
    AdBlock,
    /// The lines are commands for another filter.
    #[error("these are commands for another filter, not a list of addresses")]
    Commands,
    /// The file is HTML or XML.
    #[error("this is a web page or XML, not a list of addresses")]
    Markup,
    /// The file is a JSON document that is not known.
    #[error("{}", .0.seen)]
    Json(Description),
    /// The file begins as JSON and is not.
    #[error("this begins as JSON, but is damaged or truncated: {why}")]
    DamagedJson {
        /// The error of the JSON parser.
        why: String,
    },
    /// The file is a CSV of which the policy must name a column.
    #[error("{}", .0.seen)]
    Csv(Description),
    /// The file belongs to another program.
    #[error("this is {what}")]
    Other {
        /// The kind of file.
        what: &'static str,
        /// The fix.
        help: &'static str,
    },
    /// Each line has an address and a name without a dot.
    #[error("each line has an address and a name, as in a hosts file")]
    Names,
    /// Each line has an address and a number that may be the length of its network.
    #[error("the number after each address may be a score or the length of a network")]
    Lengths,
    /// The lines have two formats.
    #[error("the format is not clear: this line is `{second}`, line {first_line} is `{first}`")]
    Ambiguous {
        /// The format of most lines.
        first: Format,
        /// The number of the first line in that format.
        first_line: u32,
        /// The format of this line.
        second: Format,
    },
}

impl Why {
    /// Returns the fix.
    #[must_use]
    pub fn help(&self) -> String {
        self.help_for("FILE")
    }

    /// Returns the fix for the command line, and for a policy with the list `name`.
    #[must_use]
    pub fn help_here(&self, name: &str) -> String {
        let (Self::Json(seen) | Self::Csv(seen)) = self else {
            return self.help_for(name);
        };
        if seen.keys.is_empty() {
            return self.help_for(name);
        }
        let name = yaml_path(name);
        let each = seen.keys.iter().map(|key| {
            let options = option_of(key);
            format!("`{options}` here, or `{{list: {name}, {key}}}` in a policy")
        });
        let each: Vec<String> = each.collect();
        format!("write {}", each.join("; or "))
    }

    /// Returns the fix for the list with this name.
    #[must_use]
    pub fn help_for(&self, name: &str) -> String {
        let name = &yaml_path(name);
        match self {
            Self::Hosts | Self::Domains | Self::AdBlock => {
                "use it in a DNS filter; here use a list of CIDRs, addresses or ranges".to_owned()
            }
            Self::Json(seen) | Self::Csv(seen) if !seen.keys.is_empty() => {
                let each = seen
                    .keys
                    .iter()
                    .map(|key| format!("`{{list: {name}, {key}}}`"));
                let each: Vec<String> = each.collect();
                format!("write {}", each.join(" or "))
            }
            Self::Other { help, .. } => (*help).to_owned(),
            Self::Names => "remove the names, or write `#` before each of them".to_owned(),
            Self::Lengths => "write `format: scores`, or write the networks as CIDRs".to_owned(),
            Self::DamagedJson { .. } => "fetch or export the list again".to_owned(),
            Self::Commands | Self::Json(_) | Self::Csv(_) => {
                "write its CIDRs, addresses or ranges into a file, one on each line".to_owned()
            }
            Self::Markup => {
                "fetch the list again: the server may have sent a web page instead".to_owned()
            }
            Self::Ambiguous { first, second, .. } => {
                format!("write `format: {first}` or `format: {second}`")
            }
        }
    }
}

/// Returns keys of a policy as options of `monitor list`.
fn option_of(keys: &str) -> String {
    if let Some(path) = keys.strip_prefix("path: ") {
        return format!("--path {path}");
    }
    let each = keys.split(", ").map(|key| match key.split_once(": ") {
        Some(("ports", _)) => "--ignore-ports".to_owned(),
        Some((key, value)) => format!("--{key} {value}"),
        None => key.to_owned(),
    });
    each.collect::<Vec<_>>().join(" ")
}

/// Returns a path as YAML reads it within braces.
fn yaml_path(path: &str) -> String {
    let is_special = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                ',' | '{' | '}' | '[' | ']' | '#' | '\'' | '"' | '&' | '*' | '!'
            )
    };
    if path.contains(is_special)
        || path.contains(": ")
        || path.starts_with(['-', '?', '@', '%', '|', '>'])
    {
        format!("'{}'", path.replace('\'', "''"))
    } else {
        path.to_owned()
    }
}
