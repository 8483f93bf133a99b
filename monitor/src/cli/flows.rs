//! `monitor flows`: which device contacted which destination, and its names.

use clap::Args;
use monitor::{
    control::{Answer, Request, ask},
    evidence::FlowsView,
    flows,
};

use super::{Common, ReachArgs, print, print_json, select::Select};

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
        let request = Request::Flows(args.select.asked());
        match ask(&reach.settings.socket, &request)? {
            Answer::Flows(flows) => *flows,
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    } else {
        let filter = args.select.filter()?;
        flows::read(&reach.settings.pin_dir, &reach.settings.state_dir, &filter)?
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
