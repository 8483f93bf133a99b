//! `monitor page`: the login of the page.

use clap::Args;
use monitor::control::{Answer, PageLink, Request, ask};

use super::{Common, ReachArgs, print, print_json};

/// Sign in to the page, so that it can block, allow and pause
///
/// For root and the user that runs the daemon. `page: {login: true}` in the config file switches
/// the login on. A link opens one session in one browser, within ten minutes. A session ends
/// after `page.session` (12h), when the daemon ends, or with --logout.
#[derive(Args, Debug)]
pub(crate) struct PageArgs {
    /// Print a link that can be used once
    #[arg(long, required_unless_present = "logout", conflicts_with = "logout")]
    login: bool,
    /// End all sessions and links
    #[arg(long)]
    logout: bool,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Asks the daemon for a link, or to end all sessions.
pub(super) fn run(common: &Common, args: &PageArgs) -> anyhow::Result<()> {
    let reach = args.reach.reach(common)?;
    reach.require_daemon()?;
    let request = if args.login {
        Request::PageLogin {}
    } else {
        Request::PageLogout {}
    };
    match ask(&reach.settings.socket, &request)? {
        Answer::PageLink(link) if common.json => print_json(&link),
        Answer::PageLink(link) => print(&render(&link)),
        Answer::PageEnded(sessions) if common.json => {
            print_json(&serde_json::json!({ "sessions": sessions }))
        }
        Answer::PageEnded(sessions) => print(&format!("{sessions} sessions were ended\n")),
        Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
        other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
    }
}

fn render(link: &PageLink) -> String {
    let mut text = format!(
        "{}\n\nThe link can be used once, until {}. Its user can block, allow and pause.\n",
        link.links.join("\n"),
        link.until
    );
    if let Some(fingerprint) = &link.fingerprint {
        text.push_str(
            "If the browser does not know the certificate, compare its SHA-256 before you go on:\n",
        );
        text.push_str(fingerprint);
        text.push('\n');
    }
    text
}
