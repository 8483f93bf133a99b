//! Files of other programs that have addresses, but in a form that is not read.

use super::{Why, words::begins_with_address};

/// A test of one line, the kind of file that has such lines, and what to do with it.
type File = (fn(&str) -> bool, &'static str, &'static str);

const PREFIXES: &str = "write its CIDRs, addresses or ranges into a file, one on each line";

/// The files, each with lines that no list has.
const FILES: [File; 9] = [
    (
        |line| {
            let names = [
                "server",
                "address",
                "ipset",
                "nftset",
                "local",
                "rebind-domain-ok",
            ];
            let value = line.split_once("=/");
            value.is_some_and(|(name, _)| names.contains(&name.trim_start_matches("--")))
        },
        "a configuration of dnsmasq, with names and their servers",
        "use it in dnsmasq; here use a list of CIDRs, addresses or ranges",
    ),
    (
        |line| {
            ["Type: hash:", "Type: bitmap:", "Type: list:"]
                .iter()
                .any(|part| line.starts_with(part))
        },
        "what `ipset list` prints",
        "write the output of `ipset save` into the file",
    ),
    (
        |line| line.starts_with("object-group ") || line.starts_with("network-object "),
        "an object group of a Cisco firewall",
        PREFIXES,
    ),
    (
        |line| line.starts_with("prefix-set ") || line == "end-set",
        "a prefix set of Cisco IOS XR",
        PREFIXES,
    ),
    (
        |line| line.starts_with("acl ") && line.ends_with('{'),
        "an access list of BIND",
        PREFIXES,
    ),
    (
        |line| {
            let mut words = line.split_whitespace();
            let value = words
                .next()
                .filter(|word| begins_with_address(word))
                .and(words.next());
            value.is_some_and(|value| value.len() > 1 && value.ends_with(';'))
                && words.next().is_none()
                || line.starts_with("geo $")
        },
        "a `geo` table of nginx, whose values may exclude addresses",
        "write the CIDRs with one value into a file, one on each line",
    ),
    (
        |line| {
            let rule = line.trim_start_matches(['-', ' ', '\'', '"']);
            let kinds = [
                "IP-CIDR,",
                "IP-CIDR6,",
                "DOMAIN,",
                "DOMAIN-SUFFIX,",
                "GEOIP,",
                "IP-ASN,",
            ];
            line == "payload:" || kinds.iter().any(|kind| rule.starts_with(kind))
        },
        "rules of a proxy such as Clash",
        PREFIXES,
    ),
    (
        |line| {
            line.strip_prefix("- ")
                .is_some_and(|value| begins_with_address(value.trim_matches(['\'', '"'])))
        },
        "YAML",
        PREFIXES,
    ),
    (
        |line| line.starts_with("http://") || line.starts_with("https://"),
        "a list of URLs, and this filter matches addresses",
        "use a list of the addresses",
    ),
];

/// Returns the kind of file that has `line`, if no list has it.
pub(super) fn of(line: &str) -> Option<Why> {
    let line = line.trim();
    let (_, what, help) = FILES.iter().find(|(is_line, ..)| is_line(line))?;
    Some(Why::Other { what, help })
}

#[cfg(test)]
mod tests {
    use crate::lists::{Why, recognise};

    #[test]
    fn files_of_other_programs_are_named() {
        for (text, part) in [
            ("server=/a.example/1.1.1.1\n", "dnsmasq"),
            (
                "Name: x\nType: hash:net\nMembers:\n45.1.0.0/24\n",
                "`ipset list`",
            ),
            (
                "object-group network X\n network-object host 45.1.2.3\n",
                "Cisco firewall",
            ),
            (
                "prefix-set X\n  45.1.0.0/16,\n  45.2.0.0/16\nend-set\n",
                "IOS XR",
            ),
            ("acl \"x\" {\n 45.1.0.0/16;\n !45.1.2.3;\n};\n", "BIND"),
            ("45.1.0.0/16 1;\n8.8.8.0/24 0;\n", "nginx"),
            ("payload:\n  - '45.1.0.0/16'\n", "Clash"),
            ("IP-CIDR,45.1.0.0/16,no-resolve\n", "Clash"),
            ("- 45.1.0.0/16\n", "YAML"),
            ("http://45.1.2.3:80/x\nhttp://45.1.2.4/y\n", "URLs"),
        ] {
            let Err(refused) = recognise(text) else {
                panic!("{text}")
            };
            let Why::Other { .. } = refused.why else {
                panic!("{text}: {:?}", refused.why)
            };
            assert!(
                refused.why.to_string().contains(part),
                "{text}: {}",
                refused.why
            );
        }
    }
}
