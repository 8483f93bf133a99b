//! `monitor devices`: which devices there are, and what is known about each.

use clap::Args;
use monitor::{
    control::{Answer, MAX_DEVICES, Request, ask},
    device_list,
    evidence::DevicesView,
};

use super::{
    Common, ReachArgs, names::Names, print, print_json, reach::Reach, select::Select, tell,
};

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
    let (devices, warnings) = read(&reach, &args.select)?;
    for warning in &warnings {
        tell(warning);
    }
    show(common, &devices)
}

/// Reads devices from the daemon, or else from the store and the pinned tables. Returns also
/// messages about the operator's files.
pub(super) fn read(reach: &Reach, select: &Select) -> anyhow::Result<(DevicesView, Vec<String>)> {
    if reach.daemon.is_some() {
        let request = Request::Devices(select.asked(MAX_DEVICES));
        return match ask(&reach.settings.socket, &request)? {
            Answer::Devices(devices) => Ok((*devices, Vec::new())),
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        };
    }
    let settings = &reach.settings;
    let names = Names::read(settings);
    let filter = select.filter(MAX_DEVICES, |text| names.macs_of(text))?;
    let found = device_list::read(&settings.pin_dir, &settings.state_dir, &filter)?;
    let view = found.view(&names.book, names.by_mac());
    Ok((view, names.warnings))
}

fn show(common: &Common, devices: &DevicesView) -> anyhow::Result<()> {
    if common.json {
        print_json(devices)
    } else {
        print(&devices.to_string())
    }
}
