//! `monitor flows`: which device contacted which destination, and its names.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use monitor::{
    address::Destination,
    control::{Answer, AskedFlows, MAX_FLOWS, Request, ask},
    evidence::FlowsView,
    feeds::DiskAndFeeds,
    flows::{self, FlowFilter},
    policy::load_for,
};

use super::{Common, ReachArgs, data, print, print_json};

/// Show which device contacted which destination, how much, since when, and under which names
///
/// Only packets that matched a policy are recorded. Without a daemon, root can still read the
/// store and the kernel.
#[derive(Args, Debug)]
pub(crate) struct FlowsArgs {
    /// Only flows with a packet in this time: a length such as 7d or 12h, or a time such as
    /// 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,

    /// Only flows of this device: a MAC, or a name in `devices:`
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Only flows that this policy matched
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,

    /// Only flows to this address, CIDR or range
    #[arg(long, value_name = "DESTINATION")]
    destination: Option<String>,

    /// The most flows to show; those with the latest packets stay
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: usize,

    #[command(flatten)]
    reach: ReachArgs,
}

/// Asks the daemon, or reads the store and the pinned tables.
pub(super) fn run(common: &Common, args: FlowsArgs) -> anyhow::Result<()> {
    let reach = args.reach.reach(common)?;
    let flows = if reach.daemon.is_some() {
        let request = Request::Flows(args.asked());
        match ask(&reach.settings.socket, &request)? {
            Answer::Flows(flows) => *flows,
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    } else {
        let filter = args.filter()?;
        let settings = &reach.settings;
        let flows = flows::read(&settings.pin_dir, &settings.state_dir, &filter)?;
        let files = DiskAndFeeds::new(&settings.state_dir);
        let policies = load_for(&settings.policies, &files, &[]).policies;
        data::with_holders(settings, &policies, flows)
    };
    show(common, &flows)
}

fn show(common: &Common, flows: &FlowsView) -> anyhow::Result<()> {
    if common.json {
        print_json(flows)
    } else {
        print(&flows.to_string())
    }
}

impl FlowsArgs {
    fn asked(self) -> AskedFlows {
        AskedFlows {
            since: self.since.map(Timestamp::as_second),
            device: self.device,
            policy: self.policy,
            destination: self.destination,
            limit: self.limit.min(MAX_FLOWS),
        }
    }

    /// The filter, without the names of a daemon's policies.
    fn filter(&self) -> anyhow::Result<FlowFilter> {
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
fn range(text: &str) -> anyhow::Result<(std::net::IpAddr, std::net::IpAddr)> {
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
