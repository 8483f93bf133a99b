//! Counts the frames of `monitor doctor --canary`, by a policy that ends by itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Core, changes::ChangeError};
use crate::{
    control::{CanaryPolicy, ChangeRequest},
    policy::{Effect, Policy, PolicyName},
};

/// The longest time for which a canary is counted, in seconds.
const LONGEST: u64 = 3600;

/// Number of attempts to find an address that no policy names.
const ATTEMPTS: usize = 32;

impl Core {
    /// Puts a policy in force that counts packets to two addresses that no policy names.
    pub(in crate::daemon) fn begin_canary(
        &self,
        seconds: u64,
    ) -> Result<CanaryPolicy, ChangeError> {
        let state = self.state();
        let policies = state.stage.policies().ok_or(ChangeError::Unknown)?;
        let (ipv4, ipv6) = unused(&policies.policies).ok_or(ChangeError::NoCanary)?;
        let effect = Effect::Canary {
            ipv4: destination(ipv4.into())?,
            ipv6: destination(ipv6.into())?,
        };
        self.change(&ChangeRequest {
            effect,
            device: None,
            seconds: Some(seconds.clamp(1, LONGEST)),
            undo: false,
            reason: None,
        })?;
        Ok(CanaryPolicy {
            policy: PolicyName::canary().to_string(),
            ipv4,
            ipv6,
        })
    }

    /// Removes that policy.
    pub(in crate::daemon) fn end_canary(&self) -> Result<(), ChangeError> {
        let runtime = self.state().runtime;
        let mut changes = runtime.changes.iter();
        let canary = changes.find(|change| change.effect.is_canary());
        let canary =
            canary.ok_or_else(|| ChangeError::NothingToUndo("doctor --canary".to_owned()))?;
        let undo = ChangeRequest {
            effect: canary.effect.clone(),
            device: None,
            seconds: None,
            undo: true,
            reason: None,
        };
        self.change(&undo).map(drop)
    }
}

fn destination(address: IpAddr) -> Result<crate::address::Destination, ChangeError> {
    address
        .to_string()
        .parse()
        .map_err(|_| ChangeError::NoCanary)
}

/// Two random addresses of networks that no one uses: for benchmarks (RFC 2544) and for
/// documentation (RFC 3849). `None` if policies cover them.
fn unused(policies: &[Policy]) -> Option<(Ipv4Addr, Ipv6Addr)> {
    for _ in 0..ATTEMPTS {
        let mut random = [0; 16];
        getrandom::fill(&mut random).ok()?;
        let ipv4 = Ipv4Addr::new(198, 18 + random[0] % 2, random[1], random[2]);
        let mut ipv6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0).octets();
        ipv6[4..].copy_from_slice(&random[4..]);
        let ipv6 = Ipv6Addr::from(ipv6);
        let is_free = |policy: &Policy| {
            policy.ipv4().longest_match(ipv4).is_none()
                && policy.ipv6().longest_match(ipv6).is_none()
        };
        if policies.iter().all(is_free) {
            return Some((ipv4, ipv6));
        }
    }
    None
}
