//! The checks: pure functions of the facts.

mod egress;
mod forwarded;
mod interface;
mod paths;
#[cfg(test)]
mod tests;
mod working;

use super::{
    facts::Facts,
    finding::{CheckName, Diagnosis, Finding, Remark},
};

/// The function of each check. It says at least one thing.
fn function(check: CheckName) -> fn(&Facts) -> Vec<Remark> {
    match check {
        CheckName::Interface => interface::check,
        CheckName::Mode => paths::mode,
        CheckName::Program => paths::program,
        CheckName::Offload => paths::offload,
        CheckName::Station => paths::station,
        CheckName::Ipv6 => forwarded::ipv6,
        CheckName::Tunnel => forwarded::tunnel,
        CheckName::Policy => working::policy,
        CheckName::Feed => working::feed,
        CheckName::Data => working::data,
        CheckName::Daemon => working::daemon,
        CheckName::Http => working::http,
        CheckName::Kernel => working::kernel,
        CheckName::Capability => working::capability,
        CheckName::Clock => working::clock,
        CheckName::Disk => working::disk,
        CheckName::Evidence => working::evidence,
        // It is not in the list of these checks.
        CheckName::Canary => |_| Vec::new(),
    }
}

/// Runs every check.
#[must_use]
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let each = CheckName::ALL.into_iter().flat_map(|check| {
        let remarks = function(check)(facts);
        remarks
            .into_iter()
            .map(move |remark| Finding { check, remark })
    });
    Diagnosis::new(each.collect())
}
