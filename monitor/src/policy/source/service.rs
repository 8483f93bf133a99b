//! Suggestions for texts that are not valid services.

use crate::policy::{InvalidService, Service, diagnostic::near_miss};

/// Common names of services, and what to write for them.
const NAMES: [(&str, &str); 11] = [
    ("http", "`tcp/80`"),
    ("https", "`https`, which is tcp/443 and udp/443"),
    ("quic", "`udp/443`"),
    ("dns", "`udp/53` and `tcp/53`"),
    ("dot", "`tcp/853`"),
    ("doh", "`https`"),
    ("ntp", "`udp/123`"),
    ("ssh", "`tcp/22`"),
    ("mqtt", "`tcp/1883` and `tcp/8883`"),
    ("ping", "`icmp`"),
    ("icmpv6", "`icmp`, which is ICMP and ICMPv6"),
];

/// Suggests what to write in place of `text`; `None` if there is no suggestion.
pub(super) fn meant(text: &str, error: &InvalidService) -> Option<String> {
    match error {
        InvalidService::Protocol(word) => protocol(text, word),
        InvalidService::NoProtocol(ports) => {
            Some(format!("write `tcp/{ports}`, `udp/{ports}`, or both"))
        }
        InvalidService::NoPort(protocol) => Some(format!(
            "write a port as in `{protocol}/443`, or `{protocol}/0-65535` for all of them"
        )),
        InvalidService::PortOfIcmp => Some("write `icmp`".to_owned()),
        InvalidService::Port(word) if matches!(word.as_str(), "*" | "any" | "all") => {
            let (protocol, _) = text.split_once('/')?;
            Some(format!("write `{protocol}/0-65535` for all ports"))
        }
        InvalidService::Port(word) => named(word),
        InvalidService::Backwards(ports) => {
            let (first, last) = ports.split_once('-')?;
            let (protocol, _) = text.split_once('/')?;
            Some(format!("write `{protocol}/{last}-{first}`"))
        }
    }
}

fn protocol(text: &str, word: &str) -> Option<String> {
    if matches!(word, "*" | "any" | "all") {
        return Some("remove `services`: without it the policy is about all of them".to_owned());
    }
    let rewritten = rewritten(text).map(|service| format!("write `{service}`"));
    rewritten.or_else(|| named(word))
}

/// The service, if `text` has protocol and port in another order, with another
/// separator, or misspelt.
fn rewritten(text: &str) -> Option<Service> {
    let halves = text.split_once('/');
    let (before, after) = halves.or_else(|| text.split_once([':', ' ', ',', '.', '_', '-']))?;
    let orders = [(before, after), (after, before)];
    orders.into_iter().find_map(|(protocol, ports)| {
        let protocol = near_miss(protocol, &["tcp", "udp"])?;
        format!("{protocol}/{}", ports.trim()).parse().ok()
    })
}

fn named(word: &str) -> Option<String> {
    let near = near_miss(word, &NAMES.map(|(name, _)| name))?;
    let (_, meant) = NAMES.iter().find(|(name, _)| *name == near)?;
    Some(format!("write {meant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_service_says_what_was_meant() {
        for (text, expected) in [
            ("http", Some("write `tcp/80`")),
            ("HTTPS", Some("write `https`, which is tcp/443 and udp/443")),
            (
                "tcp/https",
                Some("write `https`, which is tcp/443 and udp/443"),
            ),
            ("dns", Some("write `udp/53` and `tcp/53`")),
            ("TCP/443", Some("write `tcp/443`")),
            ("443/tcp", Some("write `tcp/443`")),
            ("udp:8000-9000", Some("write `udp/8000-9000`")),
            ("udp 53", Some("write `udp/53`")),
            ("8000-9000/udp", Some("write `udp/8000-9000`")),
            ("443", Some("write `tcp/443`, `udp/443`, or both")),
            ("80-90", Some("write `tcp/80-90`, `udp/80-90`, or both")),
            ("70000", None),
            ("tcp/*", Some("write `tcp/0-65535` for all ports")),
            ("tcp/9000-80", Some("write `tcp/80-9000`")),
            ("icmp/8", Some("write `icmp`")),
            ("sctp/5", None),
            ("tcp/70000", None),
            ("tcp:70000", None),
            ("tcp/443-", None),
            ("", None),
        ] {
            let error = text.parse::<Service>().unwrap_err();
            assert_eq!(meant(text, &error).as_deref(), expected, "{text}: {error}");
        }
    }
}
