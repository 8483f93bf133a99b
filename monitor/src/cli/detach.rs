//! `monitor detach`: removes the filter, its counters and its pins.

use clap::Args;

use super::{Common, ReachArgs, print, print_json};
use monitor::{
    control::{Answer, ask_to_detach},
    datapath,
};

/// Remove the filter, its counters and its pins, and end the daemon
#[derive(Args, Debug)]
pub(crate) struct DetachArgs {
    #[command(flatten)]
    reach: ReachArgs,

    /// Succeed if nothing is attached, for the removal of a package
    #[arg(long)]
    if_attached: bool,
}

/// Asks the daemon to detach. Without a daemon, detaches through the pins.
pub(super) fn run(common: &Common, args: &DetachArgs) -> anyhow::Result<()> {
    let reach = args.reach.reach(common)?;
    reach.warn_of_other_daemon();
    let interfaces = if reach.daemon.is_some() {
        match ask_to_detach(&reach.settings.socket)? {
            Answer::Detached(interfaces) => interfaces,
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    } else {
        match datapath::detach(&reach.settings.pin_dir) {
            Err(datapath::Error::NotAttached { .. }) if args.if_attached => Vec::new(),
            detached => detached?,
        }
    };
    if common.json {
        return print_json(&serde_json::json!({ "detached": interfaces }));
    }
    let from = if interfaces.is_empty() {
        "no interface was attached".to_owned()
    } else {
        format!("detached from {}", interfaces.join(", "))
    };
    print(&format!("{from}; the counters and pins are removed\n"))
}
