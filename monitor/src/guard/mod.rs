//! The lock-out guard: which `drop` policies would cut the gateway's network
//! off from what it needs, and which of them accept that.
//!
//! It judges what would be dropped in effect: after exceptions and after every
//! `allow` that holds at all times for all of the packets that a `drop` is
//! about. A schedule of a `drop` does not matter: what it cuts off at night is
//! refused by day.

mod cut;
mod gateway;
mod parts;
mod reach;
mod target;
mod words;

pub use gateway::{Gateway, LanInterface};

use crate::policy::{Diagnostics, Policy, Rest, Risk, Strength, Texts};

/// Refuses each risk that a `drop` of `policies` runs and does not accept, and
/// warns of what is accepted in vain. `texts` are what the policies were read
/// from; without them no line is shown.
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
    let mut out = Diagnostics::default();
    for policy in drops {
        let cuts = cut::cuts(policy, &allows, gateway);
        for risk in Risk::ALL {
            let cuts: Vec<_> = cuts.iter().filter(|cut| cut.what.risk() == risk).collect();
            if !cuts.is_empty() && !policy.accepts(risk) {
                out.push(words::refusal(policy, risk, &cuts, texts));
            }
            if cuts.is_empty() && (risk != Risk::Lan || gateway.is_known()) {
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
