//! `monitor events`: what happened, and what happens.

use std::{fmt::Write as _, thread, time::Duration};

use clap::{Args, ValueEnum};
use monitor::{
    control::{Answer, Request, ask},
    events,
    evidence::event::{EventView, EventsView},
    printable,
};

use super::{Common, ReachArgs, print, print_json, reach::Reach, select::Select, write_on};

/// Time between two looks for new events.
const LOOK: Duration = Duration::from_secs(1);

/// Show first contacts, new names, losses and new rulesets, with their times
///
/// A first contact is the first packet of a device to a destination, protocol and port that the
/// store knows. Without a daemon, root can still read the store.
#[derive(Args, Debug)]
pub(crate) struct EventsArgs {
    /// Go on and show new events as they come
    #[arg(long, short)]
    follow: bool,

    /// Form of the output. `json` and `eve` print one object in each line; `--json` prints one
    /// object with all events, or one object in each line with `--follow`
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,

    #[command(flatten)]
    select: Select,

    #[command(flatten)]
    reach: ReachArgs,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// JSON.
    Json,
    /// EVE JSON, which `EveBox`, Arkime and others read.
    Eve,
}

/// Asks the daemon, or reads the store.
pub(super) fn run(common: &Common, args: &EventsArgs) -> anyhow::Result<()> {
    let reach = args.reach.reach(common)?;
    let mut found = read(&reach, args, None)?;
    let format = match args.format {
        Format::Text if common.json && !args.follow => return print_json(&found),
        Format::Text if common.json => Format::Json,
        format => format,
    };
    if found.events.is_empty() && format == Format::Text && !args.follow {
        return print("no events are stored\n");
    }
    loop {
        let is_read = show(&found, format)?;
        if !args.follow || !is_read {
            return Ok(());
        }
        if !found.more {
            thread::sleep(LOOK);
        }
        found = read(&reach, args, Some(found.last))?;
    }
}

fn read(reach: &Reach, args: &EventsArgs, after: Option<i64>) -> anyhow::Result<EventsView> {
    if reach.daemon.is_none() {
        let filter = args.select.filter()?;
        return Ok(events::read(&reach.settings.state_dir, after, &filter)?);
    }
    let about = args.select.asked();
    match ask(&reach.settings.socket, &Request::Events { after, about })? {
        Answer::Events(events) => Ok(*events),
        Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
        other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
    }
}

/// Prints events, each as one line. Returns false if the reader of the output is gone.
fn show(found: &EventsView, format: Format) -> anyhow::Result<bool> {
    let mut text = String::new();
    for event in &found.events {
        writeln!(text, "{}", line(event, format)?)?;
    }
    match format {
        Format::Text => write_on(&printable::text(&text)),
        Format::Json | Format::Eve => write_on(&printable::json(&text)),
    }
}

fn line(event: &EventView, format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Text => event.to_string(),
        Format::Json => serde_json::to_string(event)?,
        Format::Eve => event.to_eve().to_string(),
    })
}
