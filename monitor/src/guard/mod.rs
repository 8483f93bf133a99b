//! The lock-out guard: which `drop` policies would cut the gateway's network
//! off from what it needs, and which of them accept that.
//!
//! It judges what would be dropped in effect: after exceptions and after every
//! `allow` that holds at all times for all of the packets that a `drop` is
//! about. A schedule of a `drop` does not matter: what it cuts off at night is
//! refused by day.

mod cut;
mod derived;
mod reach;
mod region;
mod target;
mod words;

use std::net::IpAddr;

use crate::{
    address::Derivation,
    lists::OwnNetwork,
    policy::{Action, Diagnostics, Policy, Rest, Risk, Texts},
};

/// What a gateway has and hands out on the side of its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Where the filter is attached; empty where that is not known.
    pub interfaces: Vec<LanInterface>,
    /// Resolvers that it hands out.
    pub resolvers: Vec<IpAddr>,
    /// DHCP servers of its networks.
    pub dhcp: Vec<IpAddr>,
    /// Networks that those interfaces are in.
    pub networks: Vec<OwnNetwork>,
    /// Which IPv6 addresses carry IPv4 addresses.
    pub derivation: Derivation,
}

/// An interface that the filter is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanInterface {
    /// As the kernel names it.
    pub name: String,
    /// The gateway's own addresses that devices reach through it.
    pub addresses: Vec<IpAddr>,
}

impl Gateway {
    /// Whether each interface is known to be there: what is not needed of the
    /// risk `lan` can be told only then.
    fn is_known(&self) -> bool {
        let mut interfaces = self.interfaces.iter();
        !self.interfaces.is_empty() && interfaces.all(|interface| !interface.addresses.is_empty())
    }
}

/// Refuses each risk that a `drop` of `policies` runs and does not accept, and
/// warns of what is accepted in vain. `texts` are what the policies were read
/// from; without them no line is shown.
#[must_use]
pub fn guard(policies: &[Policy], gateway: &Gateway, texts: &Texts) -> Diagnostics {
    let of_action = |action| {
        let enabled = policies.iter().filter(|policy| policy.enabled());
        enabled.filter(move |policy| policy.written_action() == action)
    };
    let allows: Vec<&Policy> = of_action(Action::Allow).collect();
    let mut out = Diagnostics::default();
    for policy in of_action(Action::Drop).filter(|policy| policy.rest() != Some(Rest::Expired)) {
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
    let others = of_action(Action::Allow).chain(of_action(Action::Count));
    for (policy, risk) in others.flat_map(|policy| Risk::ALL.map(|risk| (policy, risk))) {
        words::warn_unneeded(policy, risk, &mut out);
    }
    out.sort();
    out
}
