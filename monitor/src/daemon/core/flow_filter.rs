//! What a client asks about flows → a filter.

use jiff::Timestamp;

use super::Core;
use crate::{
    address::Destination,
    control::AskedFlows,
    flows::{self, FlowFilter},
    policy::{InvalidPolicyName, MacAddress, MacPrefix, UnknownDevice},
};

/// Why a client gets no flows.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum FlowsError {
    #[error(transparent)]
    Device(#[from] UnknownDevice),
    #[error("`{0}` is not one device; write a whole MAC, or a name in `devices:`")]
    NoMac(String),
    #[error(transparent)]
    Policy(#[from] InvalidPolicyName),
    #[error("`{0}` is not an address, a network or a range")]
    Destination(String),
    #[error(transparent)]
    Read(#[from] flows::FlowsError),
}

impl Core {
    pub(super) fn flow_filter(&self, asked: &AskedFlows) -> Result<FlowFilter, FlowsError> {
        let devices = match &asked.device {
            Some(device) => self.macs_of(device)?,
            None => Vec::new(),
        };
        let destination = match &asked.destination {
            Some(text) => Some(range(text)?),
            None => None,
        };
        Ok(FlowFilter {
            since: asked.since.and_then(|at| Timestamp::from_second(at).ok()),
            devices,
            policy: asked.policy.as_deref().map(str::parse).transpose()?,
            destination,
            limit: asked.limit,
        })
    }

    /// The MACs that a text means: a MAC, or a name in `devices:`.
    fn macs_of(&self, text: &str) -> Result<Vec<MacAddress>, FlowsError> {
        let devices = self.device_names().named(text)?;
        let macs = devices.iter().map(|device| {
            let prefix = super::devices::mac_prefix(device);
            let whole = prefix.filter(|prefix| prefix.length() == MacPrefix::BITS);
            whole.map(MacPrefix::address)
        });
        let macs: Option<Vec<_>> = macs.collect();
        macs.ok_or_else(|| FlowsError::NoMac(text.to_owned()))
    }
}

/// First and last address of a destination as the operator writes it.
fn range(text: &str) -> Result<(std::net::IpAddr, std::net::IpAddr), FlowsError> {
    let destination: Result<Destination, _> = text.parse();
    let wrong = || FlowsError::Destination(text.to_owned());
    Ok(match destination.map_err(|_| wrong())? {
        Destination::Ipv4(interval) => (interval.first().into(), interval.last().into()),
        Destination::Ipv6(interval) => (interval.first().into(), interval.last().into()),
    })
}
