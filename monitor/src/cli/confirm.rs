//! `monitor confirm`: keeps the policies that `--confirm` put in force.

use std::time::Duration;

use super::{Common, ReachArgs, print, print_json, tell};
use monitor::{
    control::{Answer, Confirmed, LONGEST_CONFIRM, Request, ask},
    datapath,
    state_dir::NotConfirmed,
};

/// Asks the daemon to confirm. Without a daemon, confirms through the pins.
pub(super) fn run(common: &Common, args: &ReachArgs) -> anyhow::Result<()> {
    let reach = args.reach(common)?;
    reach.warn_of_other_daemon();
    let confirmed = if reach.daemon.is_some() {
        match ask(&reach.settings.socket, &Request::Confirm {})? {
            Answer::Confirmed(confirmed) => confirmed,
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    } else {
        let (generation, notes) = datapath::confirm(&reach.settings.pin_dir)?;
        NotConfirmed::remove(&reach.settings.state_dir)?;
        Confirmed { generation, notes }
    };
    if common.json {
        print_json(&confirmed)?;
    }
    for note in &confirmed.notes {
        tell(note);
    }
    if common.json {
        return Ok(());
    }
    let generation = confirmed.generation;
    print(&format!(
        "generation {generation} is confirmed, and stays in force\n"
    ))
}

/// Parses the time of `--confirm`.
pub(super) fn within(text: &str) -> Result<Duration, String> {
    let within = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it as 60s or 5m"))?;
    if within < Duration::from_secs(1) || within > LONGEST_CONFIRM {
        return Err("write a time from 1s to 24h".to_owned());
    }
    Ok(within)
}
