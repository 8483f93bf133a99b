//! Texts that the lab prints.

use crate::lab::topology::{PHONE_MAC, TARGETS};
use crate::lab::traffic::{DATAGRAMS, Outcome};

/// Description of the lab's network.
pub(crate) fn network() -> String {
    let mut lines = vec![
        format!("  phone     192.168.50.10  2001:db8:50::10  {PHONE_MAC}"),
        "  gateway   wlan0 192.168.50.1  2001:db8:50::1 (the daemon filters here), wan0 203.0.113.1".to_owned(),
        "  internet  203.0.113.2, and:".to_owned(),
    ];
    lines.extend(
        TARGETS
            .iter()
            .map(|target| format!("            {:<18} {}", target.what, target.address)),
    );
    lines.join("\n")
}

/// Results of the phone's round, one line for each target.
pub(crate) fn outcomes(outcomes: &[Outcome]) -> String {
    let header = format!(
        "  {:<18} {:<18} {:<14} {}",
        "to", "address", "UDP answered", "TCP"
    );
    std::iter::once(header)
        .chain(outcomes.iter().map(|outcome| {
            format!(
                "  {:<18} {:<18} {:<14} {}",
                outcome.target.what,
                outcome.target.address.to_string(),
                format!("{} of {DATAGRAMS}", outcome.udp_answered),
                if outcome.tcp_answered {
                    "answered"
                } else {
                    "no answer"
                },
            )
        }))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Complaints about a round.
pub(crate) fn complaints(outcomes: &[Outcome]) -> Vec<String> {
    outcomes
        .iter()
        .filter(|outcome| !outcome.is_as_expected())
        .map(|outcome| {
            format!(
                "{} ({}): {} of {DATAGRAMS} datagrams answered, TCP {}",
                outcome.target.what,
                outcome.target.address,
                outcome.udp_answered,
                if outcome.tcp_answered {
                    "answered"
                } else {
                    "not answered"
                },
            )
        })
        .collect()
}
