//! `monitor forget`: erases the evidence of a device, and moves its counters to the past of
//! its policies.

use clap::Args;
use monitor::control::{Answer, Forgotten, Request, ask};

use super::{Common, ReachArgs, print, print_json};

/// Arguments of `forget`.
#[derive(Args, Debug)]
pub(crate) struct Forget {
    /// A MAC, the first bits of one (02:aa:00:00:00:00/16), or a name in `devices:`
    #[arg(value_name = "DEVICE")]
    device: String,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Asks the daemon to forget a device.
pub(super) fn run(common: &Common, args: Forget) -> anyhow::Result<()> {
    let reach = args.reach.reach(common)?;
    reach.require_daemon()?;
    let request = Request::Forget {
        device: args.device,
    };
    let forgotten = match ask(&reach.settings.socket, &request)? {
        Answer::Forgotten(forgotten) => forgotten,
        Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
        other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
    };
    if common.json {
        print_json(&forgotten)
    } else {
        print(&render(&forgotten))
    }
}

fn render(forgotten: &Forgotten) -> String {
    let Forgotten {
        device,
        devices,
        places,
        passed,
        dropped,
    } = forgotten;
    if *places == 0 {
        return format!("the evidence of {device} is erased; the filter has no counters of it\n");
    }
    format!(
        "forgotten: the evidence of {device} is erased; {devices} MACs with {places} places; {} passed and {} dropped packets moved to the past of their policies\n",
        passed.packets, dropped.packets
    )
}
