//! `monitor devices`: which devices there are, and what is known about each.

use clap::Args;
use monitor::{
    control::{Answer, MAX_DEVICES, Request, ask},
    device_book::DeviceBook,
    device_list,
    evidence::DevicesView,
};

use super::{Common, ReachArgs, print, print_json, select::Select, tell};

/// Show the devices: names, vendor, addresses, when they were seen, and what policies matched
///
/// Without a daemon, root can still read the devices whose packets a policy matched.
#[derive(Args, Debug)]
pub(crate) struct DevicesArgs {
    #[command(flatten)]
    select: Select,

    #[command(flatten)]
    reach: ReachArgs,
}

/// Asks the daemon, or reads the store and the pinned tables.
pub(super) fn run(common: &Common, args: &DevicesArgs) -> anyhow::Result<()> {
    let reach = args.reach.reach(common)?;
    let devices = if reach.daemon.is_some() {
        let request = Request::Devices(args.select.asked(MAX_DEVICES));
        match ask(&reach.settings.socket, &request)? {
            Answer::Devices(devices) => *devices,
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    } else {
        let settings = &reach.settings;
        let filter = args.select.filter(MAX_DEVICES)?;
        let found = device_list::read(&settings.pin_dir, &settings.state_dir, &filter)?;
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
