//! Texts that the demonstration prints.

use crate::demo::contacts::Contact;
use crate::demo::topology::{
    GATEWAY_ADDRESS, OTHER_ADDRESS, OTHER_MAC, PHONE_ADDRESS, PHONE_MAC, TARGETS,
};
use crate::demo::traffic::{DATAGRAMS, Outcome};

/// Description of the demonstration's network.
pub(crate) fn network() -> String {
    let mut lines = vec![
        format!("  phone        {PHONE_ADDRESS}  {PHONE_MAC}"),
        format!("  other phone  {OTHER_ADDRESS}  {OTHER_MAC}"),
        format!("  gateway      {GATEWAY_ADDRESS} on wlan0, where the daemon filters"),
        "  internet     42.62.48.0/24, the range that was reported in 2014, and:".to_owned(),
    ];
    lines.extend(
        TARGETS
            .iter()
            .map(|target| format!("               {:<18} {}", target.what, target.address)),
    );
    lines.join("\n")
}

/// The servers of the story that did not answer the phones.
pub(crate) fn answers(silent: &[Contact]) -> String {
    if silent.is_empty() {
        return "Every server of the reported range answers the phones again.".to_owned();
    }
    let words = |contact: &Contact| format!("{} {}", contact.address, contact.service());
    let silent: Vec<_> = silent.iter().map(words).collect();
    format!("The phones get no answer from {}.", silent.join(", "))
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
