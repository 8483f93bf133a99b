//! `monitor detach`: removes the filter, its counters and its pins.

use super::{Common, ReachArgs};
use crate::{
    control::{Answer, Request, ask},
    datapath,
};

/// Asks the daemon where one runs, and does it itself where none does.
pub fn run(common: &Common, args: &ReachArgs) -> anyhow::Result<()> {
    let reach = args.reach(common)?;
    let interfaces = if reach.daemon.is_some() {
        match ask(&reach.settings.socket, Request::Detach)? {
            Answer::Detached(interfaces) => interfaces,
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    } else {
        datapath::detach(&reach.settings.pin_dir)?
    };
    if common.json {
        println!("{}", serde_json::json!({ "detached": interfaces }));
    } else if interfaces.is_empty() {
        println!("no interface was attached; the counters and pins are removed");
    } else {
        println!(
            "detached from {}; the counters and pins are removed",
            interfaces.join(", ")
        );
    }
    Ok(())
}
