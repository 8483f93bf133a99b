//! The lock-out guard: refuses `drop` policies that would cut devices off from
//! addresses that they need, unless the policy accepts that risk.
//!
//! The guard judges the effect of a `drop` after its exceptions, and after every
//! `allow` that exempts all of its packets at all times. It ignores the schedule of a
//! `drop`. So a `drop` that would lock devices out at night is refused by day too.

mod cut;
mod gateway;
mod parts;
mod reach;
mod target;
mod words;

pub use gateway::{Gateway, LanInterface, WanSide};

use crate::policy::{Diagnostics, Policy, Rest, Risk, Strength, Texts};

/// Returns an error for each risk that a `drop` in `policies` runs without accepting
/// it, and a warning for each accepted risk that a policy does not run. `texts` holds
/// the texts of the files, which the messages quote. Without them, no line is shown.
#[must_use]
pub fn guard(policies: &[Policy], gateway: &Gateway, texts: &Texts) -> Diagnostics {
    let (mut allows, mut drops, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for policy in policies.iter().filter(|policy| policy.enabled()) {
        match policy.written_action().strength() {
            Strength::Exempts => allows.push(policy),
            Strength::Blocks => drops.push(policy),
            Strength::Observes => counts.push(policy),
        }
    }
    drops.retain(|policy| policy.rest() != Some(Rest::Expired));
    let internet = gateway.of_internet();
    let mut out = Diagnostics::default();
    for policy in drops {
        let mut cuts = cut::cuts(policy, &allows, gateway);
        if let Some(internet) = &internet {
            cuts.extend(cut::cuts_of_internet(policy, &allows, internet));
        }
        for risk in Risk::ALL {
            let cuts: Vec<_> = cuts.iter().filter(|cut| cut.risk() == risk).collect();
            if !cuts.is_empty() && !policy.accepts(risk) {
                out.push(words::refusal(policy, risk, &cuts, texts));
            }
            let is_known = match risk {
                Risk::Lan => gateway.is_known(),
                Risk::Wan => internet.as_ref().is_some_and(Gateway::is_known),
                Risk::Private | Risk::ShortPrefix => true,
            };
            if cuts.is_empty() && is_known {
                words::warn_unneeded(policy, risk, &mut out);
            }
        }
    }
    let others = allows.into_iter().chain(counts);
    for (policy, risk) in others.flat_map(|policy| Risk::ALL.map(|risk| (policy, risk))) {
        words::warn_unneeded(policy, risk, &mut out);
    }
    out.sort();
    out
}
