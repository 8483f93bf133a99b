//! What a client asks about flows → a filter.

use std::net::IpAddr;

use jiff::Timestamp;

use super::Core;
use crate::{
    address::Destination,
    control::AskedFlows,
    device_names::{self, NoDevice},
    flows::{self, FlowFilter},
    policy::{InvalidPolicyName, MacAddress},
};

/// Why a client gets no flows.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum FlowsError {
    #[error(transparent)]
    Device(#[from] NoDevice),
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
            until: asked.until.and_then(|at| Timestamp::from_second(at).ok()),
            devices,
            policy: asked.policy.as_deref().map(str::parse).transpose()?,
            destination,
            limit: asked.limit,
        })
    }

    /// The MACs that a text means: a MAC, or a name.
    pub(super) fn macs_of(&self, text: &str) -> Result<Vec<MacAddress>, NoDevice> {
        let names = self.device_names();
        self.evidence
            .with_book(|book| device_names::macs_of(text, &names, book))
    }
}

/// First and last address of a destination as the operator writes it.
fn range(text: &str) -> Result<(IpAddr, IpAddr), FlowsError> {
    let destination: Result<Destination, _> = text.parse();
    let destination = destination.map_err(|_| FlowsError::Destination(text.to_owned()))?;
    Ok(destination.bounds())
}
