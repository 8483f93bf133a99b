//! `monitor flows`: which device contacted which destination, and its names.

use std::collections::BTreeMap;

use clap::Args;
use monitor::{
    control::{Answer, MAX_FLOWS, Request, ask},
    device_book::DeviceBook,
    evidence::FlowsView,
    feeds::DiskAndFeeds,
    flows,
    policy::load_for,
};

use super::{Common, ReachArgs, data, print, print_json, select::Select, tell};

/// Show which device contacted which destination, how much, since when, and under which names
///
/// Only packets that matched a policy are recorded. Without a daemon, root can still read the
/// store and the kernel.
#[derive(Args, Debug)]
pub(crate) struct FlowsArgs {
    #[command(flatten)]
    select: Select,

    #[command(flatten)]
    reach: ReachArgs,
}

/// Asks the daemon, or reads the store and the pinned tables.
pub(super) fn run(common: &Common, args: &FlowsArgs) -> anyhow::Result<()> {
    let reach = args.reach.reach(common)?;
    let flows = if reach.daemon.is_some() {
        let request = Request::Flows(args.select.asked(MAX_FLOWS));
        match ask(&reach.settings.socket, &request)? {
            Answer::Flows(flows) => *flows,
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    } else {
        let settings = &reach.settings;
        let filter = args.select.filter(MAX_FLOWS)?;
        let found = flows::read(&settings.pin_dir, &settings.state_dir, &filter)?;
        let (book, warnings) = DeviceBook::read(&settings.device_files);
        for warning in warnings {
            tell(&warning);
        }
        let files = DiskAndFeeds::new(&settings.state_dir);
        let policies = load_for(&settings.policies, &files, &[]).policies;
        data::with_holders(settings, &policies, found.view(&book, &BTreeMap::new()))
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
