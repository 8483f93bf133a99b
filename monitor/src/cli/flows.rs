//! `monitor flows`: which device contacted which destination, and its names.

use clap::Args;
use monitor::{
    control::{Answer, MAX_FLOWS, Request, ask},
    evidence::FlowsView,
    flows,
};

use super::{
    Common, ReachArgs, data, names::Names, print, print_json, reach::Reach, select::Select, tell,
};

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
    let (flows, warnings) = read(&reach, &args.select)?;
    for warning in &warnings {
        tell(warning);
    }
    show(common, &flows)
}

/// Reads flows from the daemon, or else from the store and the pinned tables. Returns also
/// messages about the operator's files.
pub(super) fn read(reach: &Reach, select: &Select) -> anyhow::Result<(FlowsView, Vec<String>)> {
    if reach.daemon.is_some() {
        let request = Request::Flows(select.asked(MAX_FLOWS));
        return match ask(&reach.settings.socket, &request)? {
            Answer::Flows(flows) => Ok((*flows, Vec::new())),
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        };
    }
    let settings = &reach.settings;
    let names = Names::read(settings);
    let filter = select.filter(MAX_FLOWS, |text| names.macs_of(text))?;
    let found = flows::read(&settings.pin_dir, &settings.state_dir, &filter)?;
    let view = found.view(&names.book, names.by_mac());
    let view = data::with_holders(settings, &names.policies, view);
    Ok((view, names.warnings))
}

fn show(common: &Common, flows: &FlowsView) -> anyhow::Result<()> {
    if common.json {
        print_json(flows)
    } else {
        print(&flows.to_string())
    }
}
