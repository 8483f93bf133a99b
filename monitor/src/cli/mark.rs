//! `monitor mark`: puts a mark on the time line.

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use monitor::{
    clock::to_the_second,
    control::{Answer, MarkRequest, Marked, Request, ask},
    evidence::mark::{self, Mark, MarkKind},
    policy::MacAddress,
    store::{FILE, Store},
};

use super::{Common, ReachArgs, names::Names, print, print_json, reach::Reach, select};

/// Put a mark on the time line: what you did at this moment, such as "cloud backup off"
///
/// `monitor report` compares the contacts before and after each mark. For root and the user
/// that runs the daemon. Without a daemon, root writes the mark into the store.
#[derive(Args, Debug)]
pub(crate) struct MarkArgs {
    /// What you did
    #[arg(value_name = "TEXT", value_parser = text)]
    text: String,

    /// The device: a MAC, or a name in `devices:` or in the file of names [default: every device]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// The kind of event
    #[arg(long, value_enum, value_name = "KIND", default_value_t)]
    kind: MarkKind,

    /// Model of the device, as you state it
    #[arg(long, value_name = "TEXT", value_parser = detail)]
    model: Option<String>,

    /// Firmware of the device, as you state it
    #[arg(long, value_name = "TEXT", value_parser = detail)]
    firmware: Option<String>,

    /// Accounts that are set up on the device, as you state it
    #[arg(long, value_name = "TEXT", value_parser = detail)]
    accounts: Option<String>,

    /// The SIM in the device, as you state it
    #[arg(long, value_name = "TEXT", value_parser = detail)]
    sim: Option<String>,

    /// Time of the event: a length before now such as 10m, or a time such as
    /// 2026-11-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = select::since)]
    at: Option<Timestamp>,

    #[command(flatten)]
    reach: ReachArgs,
}

/// Asks the daemon, or writes into the store.
pub(super) fn run(common: &Common, args: MarkArgs) -> anyhow::Result<()> {
    let reach = args.reach.reach(common)?;
    let request = MarkRequest {
        mark: Mark {
            text: args.text,
            kind: args.kind,
            model: args.model,
            firmware: args.firmware,
            accounts: args.accounts,
            sim: args.sim,
            set: None,
        },
        device: args.device,
        at: args.at,
    };
    let marked = if reach.daemon.is_some() {
        match ask(&reach.settings.socket, &Request::Mark(request))? {
            Answer::Marked(marked) => *marked,
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    } else {
        reach.warn_of_other_daemon();
        write(&reach, request)?
    };
    if common.json {
        print_json(&marked)
    } else {
        print(&format!("{marked}\n"))
    }
}

/// Writes the mark into the store.
fn write(reach: &Reach, request: MarkRequest) -> anyhow::Result<Marked> {
    let settings = &reach.settings;
    let now = Timestamp::now();
    let at = request.at.unwrap_or(now);
    anyhow::ensure!(at <= now, "--at: the time is in the future");
    let devices: Vec<MacAddress> = match &request.device {
        Some(device) => Names::read(settings).macs_of(device).context("--device")?,
        None => Vec::new(),
    };
    let state_dir = &settings.state_dir;
    anyhow::ensure!(
        state_dir.join(FILE).exists(),
        "no evidence is stored in {}: `monitor run` records it",
        monitor::printable::path(state_dir)
    );
    let (mut store, _) = Store::open(state_dir, settings.store, now)?;
    let written = store.write_marks(&request.mark, &devices, at, now, false);
    store.close()?;
    written?.context("the store has no room for the mark, or its text is too long")?;
    Ok(Marked {
        at: to_the_second(at),
        devices,
        mark: request.mark,
    })
}

fn text(text: &str) -> Result<String, mark::InvalidMark> {
    mark::line(text, Mark::MOST_TEXT).map(|()| text.to_owned())
}

fn detail(text: &str) -> Result<String, mark::InvalidMark> {
    mark::line(text, Mark::MOST_DETAIL).map(|()| text.to_owned())
}
