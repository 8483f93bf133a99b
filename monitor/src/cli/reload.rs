//! `monitor reload`: a new generation from the files as they are now.

use super::{Common, ReachArgs, print, print_json};
use monitor::control::{Answer, Request, ask};

/// Asks the daemon to read the policies again. Fails where they have errors.
pub(super) fn run(common: &Common, args: &ReachArgs) -> anyhow::Result<()> {
    let reach = args.reach(common)?;
    reach.require_daemon()?;
    let reloaded = match ask(&reach.settings.socket, &Request::Reload {})? {
        Answer::Reload(reloaded) => reloaded,
        Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
        other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
    };
    if common.json {
        print_json(&reloaded)?;
    }
    for note in &reloaded.notes {
        eprintln!("{note}");
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
