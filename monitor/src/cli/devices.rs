//! `monitor devices`: which devices there are, and what is known about each.

use clap::Args;
use jiff::Timestamp;
use monitor::{
    control::{Answer, MAX_DEVICES, Request, ask},
    device_book::DeviceBook,
    device_list,
    evidence::DevicesView,
};

use super::{
    Common, ReachArgs,
    flows::{Asked, since},
    print, print_json, tell,
};

/// Show the devices: names, vendor, addresses, when they were seen, and what policies matched
///
/// Without a daemon, root can still read the devices whose packets a policy matched.
#[derive(Args, Debug)]
pub(crate) struct DevicesArgs {
    /// Only devices that were seen in this time: a length such as 7d or 12h, or a time such as
    /// 2026-11-01T00:00:00Z. Packets before it do not count
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,

    /// Only this device: a MAC, or a name in `devices:`
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Only devices of which this policy matched packets
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,

    /// Only devices that contacted this address, CIDR or range
    #[arg(long, value_name = "DESTINATION")]
    destination: Option<String>,

    /// The most devices to show; those that were seen last stay
    #[arg(long, value_name = "NUMBER", default_value_t = MAX_DEVICES)]
    limit: usize,

    #[command(flatten)]
    reach: ReachArgs,
}

/// Asks the daemon, or reads the store and the pinned tables.
pub(super) fn run(common: &Common, args: DevicesArgs) -> anyhow::Result<()> {
    let reach = args.reach.reach(common)?;
    let asked = Asked {
        since: args.since,
        device: args.device,
        policy: args.policy,
        destination: args.destination,
        limit: args.limit.min(MAX_DEVICES),
    };
    let devices = if reach.daemon.is_some() {
        let request = Request::Devices(asked.request());
        match ask(&reach.settings.socket, &request)? {
            Answer::Devices(devices) => *devices,
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    } else {
        let settings = &reach.settings;
        let found = device_list::read(&settings.pin_dir, &settings.state_dir, &asked.filter()?)?;
        let (book, warnings) = DeviceBook::read(&settings.device_files);
        for warning in warnings {
            tell(&warning);
        }
        found.view(&book, &std::collections::BTreeMap::new())
    };
    show(common, &devices)
}

fn show(common: &Common, devices: &DevicesView) -> anyhow::Result<()> {
    if common.json {
        print_json(devices)
    } else {
        print(&devices.to_string())
    }
}
