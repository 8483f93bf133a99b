//! Recognises the commands of other programs by their first words.

use super::{Format, mikrotik, rpsl, tokens};

/// Returns the format whose command `line` is. The command itself may be wrong.
pub(super) fn command_of(line: &str) -> Option<Format> {
    if is_ipset(line) {
        Some(Format::IpsetSave)
    } else if is_nft(line) {
        Some(Format::Nft)
    } else if is_mikrotik(line) {
        Some(Format::Mikrotik)
    } else if is_cisco(line) {
        Some(Format::Cisco)
    } else if is_juniper(line) {
        Some(Format::Juniper)
    } else if is_rpsl(line) {
        Some(Format::Rpsl)
    } else {
        None
    }
}

/// A statement that continues in the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    format: Format,
    /// Number of open braces.
    depth: i32,
}

impl Open {
    /// Returns the statement that is open after `line`, a command of `format`.
    pub(super) fn begin(format: Format, line: &str) -> Option<Self> {
        Self { format, depth: 0 }.after(line)
    }

    pub(super) fn format(self) -> Format {
        self.format
    }

    /// Returns the statement that is open after `line`, which belongs to this statement.
    pub(super) fn after(self, line: &str) -> Option<Self> {
        let end = line.trim_end();
        let (depth, continues) = match self.format {
            Format::Nft | Format::Juniper => {
                (self.depth + tokens::depth(line), end.ends_with(['\\', '=']))
            }
            Format::Mikrotik => (0, end.ends_with('\\')),
            Format::Rpsl => (0, !end.is_empty()),
            _ => (0, false),
        };
        (depth > 0 || continues).then_some(Self { depth, ..self })
    }
}

fn is_ipset(line: &str) -> bool {
    let mut words = line.split_whitespace().peekable();
    words.next_if(|word| *word == "ipset");
    match (words.next(), words.nth(1)) {
        (Some("create" | "-N"), Some(kind)) => is_set_type(kind),
        (Some("add" | "-A" | "del" | "-D"), Some(entry)) => begins_with_address(entry),
        _ => false,
    }
}

fn is_nft(line: &str) -> bool {
    const FAMILIES: [&str; 6] = ["inet", "ip", "ip6", "arp", "bridge", "netdev"];
    let mut words = line.split_whitespace().peekable();
    words.next_if(|word| *word == "nft");
    let (first, second, third) = (words.next(), words.next(), words.next());
    let opens = line.contains('{');
    match (first, second) {
        (Some("define"), Some(name)) => {
            name.contains('=') || third.is_some_and(|word| word.starts_with('='))
        }
        (Some("add" | "create" | "delete" | "destroy"), Some("element" | "set" | "table"))
        | (Some("flush"), Some("ruleset" | "table" | "set")) => true,
        (Some("table"), Some(family)) if FAMILIES.contains(&family) => third.is_some(),
        (Some("table" | "set"), Some(name)) => {
            opens && !name.starts_with('<') && third.is_none_or(|word| word == "{")
        }
        (Some("elements"), Some(mark)) => mark.starts_with('='),
        (Some(first), _) => first.starts_with("elements="),
        (None, _) => false,
    }
}

fn is_mikrotik(line: &str) -> bool {
    if mikrotik::section(line).is_some_and(|section| section.is_address_list) {
        return true;
    }
    let mut words = line.split_whitespace();
    let is_property = |word: &str| word.starts_with("address=") || word.starts_with("list=");
    words.next() == Some("add") && words.any(is_property)
}

fn is_cisco(line: &str) -> bool {
    let mut words = line.split_whitespace().peekable();
    words.next_if(|word| *word == "no");
    matches!(words.next(), Some("ip" | "ipv6")) && words.next() == Some("prefix-list")
}

fn is_juniper(line: &str) -> bool {
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("set" | "delete" | "deactivate"), Some("policy-options")) => {
            words.next() == Some("prefix-list")
        }
        (Some("policy-options"), Some("{")) => true,
        (Some("prefix-list"), Some(_)) | (Some("inactive:"), Some("prefix-list")) => {
            line.contains('{')
        }
        _ => false,
    }
}

fn is_rpsl(line: &str) -> bool {
    let Some((name, value)) = rpsl::attribute(line) else {
        return false;
    };
    if rpsl::has_members(name) {
        return true;
    }
    let after = &line[name.len() + 1..];
    let is_spaced = after.is_empty() || after.starts_with([' ', '\t']);
    let is_network = begins_with_address(value) && value.contains('/') && !value.contains('-');
    let begins = |c: char| c.is_ascii_hexdigit() || c == ':';
    // In the format of PeerGuardian, a name such as `route` may stand before a range.
    rpsl::is_class(name)
        && (is_network || is_spaced && (value.is_empty() || value.starts_with(begins)))
}

/// Returns true for a set type of ipset, such as `hash:net`.
fn is_set_type(word: &str) -> bool {
    ["hash:", "bitmap:", "list:"]
        .iter()
        .any(|method| word.starts_with(method))
}

/// Returns true if the text up to the first `,`, `/` or `-` is an address.
pub(super) fn begins_with_address(word: &str) -> bool {
    let address = word.split([',', '/', '-']).next().unwrap_or_default();
    address.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_other_programs_are_not_taken_for_a_list() {
        for line in [
            "-A INPUT -s 203.0.114.0/24 -j DROP",
            "add chain=forward action=drop",
            "add rule inet filter input",
            "table <bad> persist { 203.0.114.0/24 }",
            "set policy-options community x",
            "ipset",
            "",
        ] {
            assert_eq!(command_of(line), None, "{line}");
        }
    }
}
