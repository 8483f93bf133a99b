//! The metrics page of the daemon, and what the demonstration reads from it.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::demo::daemon::PAGE;
use crate::demo::namespace::Namespace;
use crate::demo::topology::TARGETS;
use crate::demo::traffic::DATAGRAMS;

/// The policy of `demo.yaml`.
const DEMO_POLICY: &str = "demo-suspect";
/// The shipped policy for the range that was reported in 2014.
const REPORTED_POLICY: &str = "range-42.62.48.0-24";
const MATCHED: &str = "monitor_policy_packets_total";

/// Fetches the page from within the gateway.
///
/// # Errors
///
/// The daemon does not answer.
pub fn fetch(gateway: &Namespace) -> Result<String> {
    gateway.enter(|| {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(5)))
            .proxy(None)
            .build()
            .new_agent();
        let url = format!("http://{PAGE}/metrics");
        let mut answer = agent.get(&url).call().with_context(|| url.clone())?;
        answer.body_mut().read_to_string().context(url)
    })
}

/// Checks the page after one round and the story. Returns the complaints.
pub(crate) fn complaints(page: &str) -> Vec<String> {
    let at_least = u64::try_from(DATAGRAMS + 1).unwrap_or(u64::MAX);
    let suspects = TARGETS
        .iter()
        .filter(|target| target.what.starts_with("suspect"))
        .count();
    // The connection attempt is at least one packet.
    let dropped = at_least * u64::try_from(suspects).unwrap_or(u64::MAX);
    [
        (DEMO_POLICY, "dropped", dropped),
        (REPORTED_POLICY, "passed", at_least),
    ]
    .into_iter()
    .filter_map(|(policy, verdict, least)| {
        let counted = matched(page, policy, verdict);
        (counted < least).then(|| {
            format!("policy {policy}: {counted} packets {verdict}, expected {least} or more")
        })
    })
    .collect()
}

/// Packets with this verdict that a policy matched.
fn matched(page: &str, policy: &str, verdict: &str) -> u64 {
    let labels = [
        format!("policy=\"{policy}\""),
        format!("verdict=\"{verdict}\""),
    ];
    page.lines()
        .filter(|line| has_name(line, MATCHED) && labels.iter().all(|label| line.contains(label)))
        .filter_map(value)
        .sum()
}

fn has_name(line: &str, name: &str) -> bool {
    line.strip_prefix(name)
        .is_some_and(|rest| rest.starts_with('{'))
}

fn value(line: &str) -> Option<u64> {
    line.rsplit_once("} ")?
        .1
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# TYPE monitor_policy_packets counter
monitor_policy_packets_total{policy=\"demo-suspect\",verdict=\"passed\"} 0
monitor_policy_packets_total{policy=\"demo-suspect\",verdict=\"dropped\"} 24
monitor_policy_packets_total{policy=\"range-42.62.48.0-24\",verdict=\"passed\"} 16
monitor_policy_packets_total_other{policy=\"range-42.62.48.0-24\",verdict=\"passed\"} 900
monitor_generation{interface=\"wlan0\"} 1
# EOF
";

    #[test]
    fn counts_of_one_policy_and_verdict() {
        assert_eq!(matched(PAGE, "demo-suspect", "dropped"), 24);
        assert_eq!(matched(PAGE, "range-42.62.48.0-24", "passed"), 16);
        assert_eq!(matched(PAGE, "range-42.62.48.0-24", "dropped"), 0);
    }

    #[test]
    fn nothing_to_complain_of_when_all_was_counted() {
        assert_eq!(complaints(PAGE), Vec::<String>::new());
    }

    #[test]
    fn complains_of_each_policy_that_counted_too_little() {
        let page = PAGE.replace("} 24", "} 21").replace("} 16", "} 10");
        assert_eq!(
            complaints(&page),
            [
                "policy demo-suspect: 21 packets dropped, expected 22 or more",
                "policy range-42.62.48.0-24: 10 packets passed, expected 11 or more",
            ]
        );
        assert_eq!(complaints("").len(), 2);
    }
}
