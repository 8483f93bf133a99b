//! `monitor reload`: makes a new generation from the current policy files.

use std::time::Duration;

use clap::Args;

use super::{Common, ReachArgs, confirm, print, print_json, tell};
use monitor::control::{Answer, Request, ask};

/// Arguments of `reload`.
#[derive(Args, Debug)]
pub(crate) struct Reload {
    /// Go back to the old policies after this time, such as 60s, unless `monitor confirm` runs before
    #[arg(long, value_name = "TIME", value_parser = confirm::within)]
    confirm: Option<Duration>,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Asks the daemon to read the policies again. Fails if they have errors.
pub(super) fn run(common: &Common, args: &Reload) -> anyhow::Result<()> {
    let reach = args.reach.reach(common)?;
    reach.require_daemon()?;
    let request = Request::Reload {
        confirm: args.confirm.map(|within| within.as_secs()),
    };
    let reloaded = match ask(&reach.settings.socket, &request)? {
        Answer::Reload(reloaded) => reloaded,
        Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
        other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
    };
    if common.json {
        print_json(&reloaded)?;
    }
    for note in &reloaded.notes {
        tell(note);
    }
    let in_force = reloaded.in_force();
    if let Some(error) = reloaded.reload.error {
        anyhow::bail!("{}\nthe reload failed: {in_force}", error.trim_end());
    }
    if !common.json {
        print(&format!("{in_force}\n"))?;
    }
    Ok(())
}
