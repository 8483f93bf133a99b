//! `monitor notify`: the targets of alerts.

use clap::{Args, Subcommand};
use monitor::control::{Answer, Notified, Request, ask};

use super::{Common, ReachArgs, print, print_json, table};

/// The verbs about alerts.
#[derive(Debug, Subcommand)]
pub(crate) enum NotifyVerb {
    /// Send a test to a target, or to all, and say whether it arrived
    ///
    /// For root and the user that runs the daemon. The daemon sends it, with its rights, so a test
    /// that arrives shows that alerts arrive. Quiet hours and limits do not hold for a test.
    Test(Test),
}

/// Arguments of `notify test`.
#[derive(Args, Debug)]
pub(crate) struct Test {
    /// Name of a target in `notify` in the config file [default: all]
    target: Option<String>,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Asks the daemon to send tests.
pub(super) fn run(common: &Common, verb: NotifyVerb) -> anyhow::Result<()> {
    let NotifyVerb::Test(args) = verb;
    let reach = args.reach.reach(common)?;
    reach.require_daemon()?;
    let request = Request::NotifyTest {
        target: args.target,
    };
    let sent = match ask(&reach.settings.socket, &request)? {
        Answer::Notified(sent) => sent,
        Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
        other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
    };
    if common.json {
        print_json(&sent)?;
    } else if sent.is_empty() {
        print("no targets are configured: write them under `notify` in the config file\n")?;
    } else {
        print(&render(&sent))?;
    }
    let failed = sent.iter().filter(|one| one.error.is_some()).count();
    anyhow::ensure!(
        failed == 0,
        "{failed} of {} targets took no test",
        sent.len()
    );
    Ok(())
}

fn render(sent: &[Notified]) -> String {
    let mut rows = table(&["target", "result"]);
    for Notified { target, error } in sent {
        let result = match error {
            None => "sent",
            Some(why) => why,
        };
        rows.add_row([target.as_str(), result]);
    }
    format!("{}\n", rows.trim_fmt())
}
