//! Which flows or events a caller asks for.

use std::{net::IpAddr, time::Duration};

use anyhow::Context as _;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use monitor::{
    address::Destination, control::AskedFlows, device_names::NoDevice, flows::FlowFilter,
    policy::MacAddress,
};

/// Conditions on what is shown.
#[derive(Args, Clone, Debug)]
pub(crate) struct Select {
    /// Only what happened in this time: a length such as 7d or 12h, or a time such as
    /// 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,

    /// Only this device: a MAC, or a name in `devices:` or in the file of names
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Only what this policy matched
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,

    /// Only this address, CIDR or range
    #[arg(long, value_name = "DESTINATION")]
    destination: Option<String>,

    /// The most lines to show; the latest stay
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: usize,

    /// The end of the period. `monitor top` sets it.
    #[arg(skip)]
    until: Option<Timestamp>,
}

impl Select {
    /// Begin of the period.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// The same conditions over another period.
    pub(super) fn within(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        Self {
            since,
            until,
            ..self.clone()
        }
    }

    /// The conditions as the daemon reads them. It shows at most `most` lines.
    pub(super) fn asked(&self, most: usize) -> AskedFlows {
        AskedFlows {
            since: self.since.map(Timestamp::as_second),
            until: self.until.map(Timestamp::as_second),
            device: self.device.clone(),
            policy: self.policy.clone(),
            destination: self.destination.clone(),
            limit: self.limit.min(most),
        }
    }

    /// The conditions, without a daemon. `macs_of` returns the MACs of a name.
    pub(super) fn filter(
        &self,
        most: usize,
        macs_of: impl FnOnce(&str) -> Result<Vec<MacAddress>, NoDevice>,
    ) -> anyhow::Result<FlowFilter> {
        let devices = self.device.as_deref().map(macs_of).transpose();
        let devices = devices.context("--device")?.unwrap_or_default();
        let policy = self.policy.as_deref().map(str::parse).transpose();
        let destination = self.destination.as_deref().map(range).transpose()?;
        Ok(FlowFilter {
            since: self.since,
            until: self.until,
            devices,
            policy: policy.context("--policy")?,
            destination,
            limit: self.limit.min(most),
        })
    }
}

/// First and last address of a destination.
fn range(text: &str) -> anyhow::Result<(IpAddr, IpAddr)> {
    let destination: Result<Destination, _> = text.parse();
    let destination = destination.with_context(|| format!("--destination {text}"))?;
    Ok(destination.bounds())
}

/// Parses a length of time before now, or a time.
pub(super) fn since(text: &str) -> Result<Timestamp, String> {
    let help = "write a length such as 7d or 12h, or a time such as 2026-11-01T00:00:00Z";
    let length: Option<Duration> = humantime::parse_duration(text).ok();
    let before = length.and_then(|length| SignedDuration::try_from(length).ok());
    let since = match before {
        Some(before) => Timestamp::now().checked_sub(before).ok(),
        None => text.parse().ok(),
    };
    since.ok_or_else(|| help.to_owned())
}
