//! `monitor detach`: removes the filter, its counters and its pins.

use super::{Common, ReachArgs, print, print_json};
use monitor::{
    control::{Answer, ask_to_detach},
    datapath,
};

/// Asks the daemon to detach. Without a daemon, detaches through the pins.
pub(super) fn run(common: &Common, args: &ReachArgs) -> anyhow::Result<()> {
    let reach = args.reach(common)?;
    reach.warn_of_other_daemon();
    let interfaces = if reach.daemon.is_some() {
        match ask_to_detach(&reach.settings.socket)? {
            Answer::Detached(interfaces) => interfaces,
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    } else {
        datapath::detach(&reach.settings.pin_dir)?
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
