//! Which flows or events a caller asks for.

use std::{net::IpAddr, time::Duration};

use anyhow::Context as _;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use monitor::{
    address::Destination,
    control::{AskedFlows, MAX_FLOWS},
    flows::FlowFilter,
};

/// Conditions on what is shown.
#[derive(Args, Clone, Debug)]
pub(crate) struct Select {
    /// Only what happened in this time: a length such as 7d or 12h, or a time such as
    /// 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,

    /// Only this device: a MAC, or a name in `devices:`
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
}

impl Select {
    /// The conditions as the daemon reads them.
    pub(super) fn asked(&self) -> AskedFlows {
        AskedFlows {
            since: self.since.map(Timestamp::as_second),
            device: self.device.clone(),
            policy: self.policy.clone(),
            destination: self.destination.clone(),
            limit: self.limit.min(MAX_FLOWS),
        }
    }

    /// The conditions without the names of a daemon's policies.
    pub(super) fn filter(&self) -> anyhow::Result<FlowFilter> {
        let device = self.device.as_deref().map(str::parse).transpose();
        let device = device.context("--device: without a daemon, write a MAC")?;
        let policy = self.policy.as_deref().map(str::parse).transpose();
        let destination = self.destination.as_deref().map(range).transpose()?;
        Ok(FlowFilter {
            since: self.since,
            devices: device.into_iter().collect(),
            policy: policy.context("--policy")?,
            destination,
            limit: self.limit.min(MAX_FLOWS),
        })
    }
}

/// First and last address of a destination.
fn range(text: &str) -> anyhow::Result<(IpAddr, IpAddr)> {
    let destination: Result<Destination, _> = text.parse();
    Ok(
        match destination.with_context(|| format!("--destination {text}"))? {
            Destination::Ipv4(interval) => (interval.first().into(), interval.last().into()),
            Destination::Ipv6(interval) => (interval.first().into(), interval.last().into()),
        },
    )
}

/// Parses a length of time before now, or a time.
fn since(text: &str) -> Result<Timestamp, String> {
    let help = "write a length such as 7d or 12h, or a time such as 2026-11-01T00:00:00Z";
    let length: Option<Duration> = humantime::parse_duration(text).ok();
    let before = length.and_then(|length| SignedDuration::try_from(length).ok());
    let since = match before {
        Some(before) => Timestamp::now().checked_sub(before).ok(),
        None => text.parse().ok(),
    };
    since.ok_or_else(|| help.to_owned())
}
