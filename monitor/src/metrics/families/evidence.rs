//! Families about flows: what is recorded, and what is not.

use super::{
    super::family::{Family, Kind, Labels},
    counts::{by_verdict, packets, packets_and_bytes},
};
use crate::snapshot::{EffectiveSnapshot, EvidenceSnapshot, Verdicts};

/// Returns the families of the evidence; no samples if nothing is recorded.
pub(super) fn evidence(evidence: Option<&EvidenceSnapshot>) -> Vec<Family> {
    let policies = evidence.map_or(&[][..], |evidence| &evidence.effective);
    let decided: Vec<_> = policies
        .iter()
        .flat_map(|policy| {
            let direction = policy.direction.word();
            by_verdict(
                &[("policy", policy.policy.as_str()), ("direction", direction)],
                &policy.packets,
            )
        })
        .collect();
    let mut families = Vec::from(packets_and_bytes(
        "monitor_effective",
        "Packets about which the policy decided, by verdict. Each matched packet is counted under one policy.",
        "Bytes of the packets about which the policy decided, layer 2 included, by verdict.",
        &decided,
    ));
    let failed = evidence.map(|evidence| u64::from(evidence.failure.is_some()));
    families.extend([
        Family {
            name: "monitor_not_recorded",
            help: "Packets of monitor_effective that are in no flow. Reason full: the kernel's table of flows had no room. \
                   Reason setting: the policies that matched ask for counters only.",
            unit: Some(packets()),
            kind: Kind::Counter,
            samples: policies.iter().flat_map(not_recorded).collect(),
        },
        Family {
            name: "monitor_evidence_failed",
            help: "1 if the daemon cannot store flows now, so that only the kernel keeps them while it has room, else 0; no series if no flow is recorded.",
            unit: None,
            kind: Kind::Gauge,
            samples: failed.map(|failed| (Labels::new(), failed)).into_iter().collect(),
        },
    ]);
    families
}

fn not_recorded(policy: &EffectiveSnapshot) -> [(Labels, u64); 2] {
    let sample = |reason: &str, verdicts: &Verdicts| {
        let labels = vec![
            ("policy", policy.policy.clone()),
            ("direction", policy.direction.word().to_owned()),
            ("reason", reason.to_owned()),
        ];
        (labels, verdicts.packets())
    };
    [
        sample("full", &policy.full),
        sample("setting", &policy.setting),
    ]
}
